"""A program that follows the feed by websocket and comes back after each reload, and what it must have got by then."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio
from trio_websocket import ConnectionClosed, wrap_client_stream

from tests.fakes.steady_clients import LIMIT_S

RESTART = 1012


class FeedFollower:
    """Follows from the beginning of an attempt's stdout, in a thread, until that has ended.

    text: all of it; seqs: of the events; comebacks: how often it was sent away by a reload. failure: what was wrong.
    """

    def __init__(self, state: Path, attempt_id: str) -> None:
        self.text = ""
        self.seqs: list[int] = []
        self.comebacks = 0
        self.failure = ""
        self._state = state
        self._attempt_id = attempt_id
        self._cursor = ""
        self._offset = 0
        self._is_over = False
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._begun.wait(LIMIT_S), self.failure

    def join(self) -> None:
        """Wait for the end of the output. Fails where it did not come, or something was wrong on the way."""
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "the end of the output did not come"
        assert not self.failure, self.failure

    def _run(self) -> None:
        try:
            trio.run(self._follow)
        except Exception as error:  # noqa: BLE001 - a client would have met it
            self.failure = f"{type(error).__name__}: {error} {getattr(error, 'exceptions', '')}"
        self._begun.set()

    async def _follow(self) -> None:
        while not self._is_over:
            await self._follow_connection()

    async def _follow_connection(self) -> None:
        place = json.loads((self._state / "stream.json").read_bytes())
        token = (self._state / "stream.token").read_text().strip()
        headers = [(b"Authorization", f"Bearer {token}".encode())]
        host = f"127.0.0.1:{place['port']}"
        stream = await trio.open_tcp_stream("127.0.0.1", place["port"])
        async with stream, trio.open_nursery() as nursery:
            ws = await wrap_client_stream(nursery, stream, host, "/stream", extra_headers=headers)
            wanted = {"kind": "subscribe", "output": ["stdout"], "attempt_id": self._attempt_id, "tail_lines": None}
            await ws.send_message(json.dumps({**wanted, "cursor": self._cursor}))
            last: Any = None
            with contextlib.suppress(ConnectionClosed):
                while not self._is_over:
                    with trio.fail_after(LIMIT_S):
                        frame = await ws.get_message()
                    assert isinstance(frame, str)
                    for last in map(json.loads, frame.split("\n")):
                        self._take(last)
            if not self._is_over:
                assert last is not None
                assert (last["kind"], last["reason"]) == ("bye", "reload")
                assert ws.closed is not None
                assert ws.closed.code == RESTART
                self.comebacks += 1
            nursery.cancel_scope.cancel()

    def _take(self, message: Any) -> None:
        kinds: dict[str, Callable[[Any], None]] = {"lines": self._take_lines, "event": self._take_event}
        kinds.get(message["kind"], self._take_other)(message)

    def _take_lines(self, message: Any) -> None:
        assert message["offset"] == self._offset, f"a gap or a double at {self._offset}"
        self._offset = message["next_offset"]
        self.text += message["text"]
        self._is_over = message["is_end"]

    def _take_event(self, message: Any) -> None:
        seq = message["event"]["seq"]
        assert seq > (self.seqs[-1] if self.seqs else 0), "an event came twice"
        self.seqs.append(seq)

    def _take_other(self, message: Any) -> None:
        assert message["kind"] in ("hello", "mark", "bye"), message
        self._cursor = message["cursor"]
        self._begun.set()
