"""The feed as one stream of messages, over reconnects: each once, none left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ringmaster.client.client import Client

Message = dict[str, Any]


class FeedReader:
    """Reads `feed.subscribe` until it ends, from the last mark on again where the connection is lost.

    Messages are held back until the mark behind them has come, at most a quarter of a second: what a lost connection
    brought without one is brought again by the next, perhaps cut at other places, and would be there twice.

    cursor: behind all that `messages` gave; '' until it has begun.
    """

    def __init__(self, client: Client, params: Mapping[str, Any]) -> None:
        self.cursor = str(params.get("cursor", ""))
        self._client = client
        self._params = dict(params)
        self._held: list[Message] = []

    def messages(self) -> Iterator[Message]:
        """Every message in order; `hello` once. Without end, but for an attempt that is named and over.

        Raises:
            RingmasterError: what was refused; UNREACHABLE when the daemon stays away.
        """
        has_begun = False
        for batch in self._client.stream("feed.subscribe", self._params, resume=self._resume):
            for message in batch:
                kind = message["kind"]
                if kind == "hello":
                    # Another connection: it begins at the mark, and so does what it sends.
                    self._held.clear()
                    if has_begun:
                        continue
                    has_begun, self.cursor = True, message["cursor"]
                    yield message
                elif kind in ("mark", "bye"):
                    held, self._held = self._held, []
                    yield from held
                    self.cursor = message["cursor"]
                    yield message
                else:
                    self._held.append(message)
        yield from self._held

    def _resume(self, batch: list[Message]) -> Mapping[str, Any]:
        return {"cursor": self.cursor}
