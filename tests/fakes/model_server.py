"""A scripted model on loopback: what real coding agents ask, and answers that a test has written down.

It speaks as much of the two wire forms as the agents use: `POST /v1/messages` (with `HEAD /` and
`count_tokens`) and `POST /v1/responses`, both streamed. A prompt names its script with a line
`model script: NAME`; the script is a function from the turn to a reply. Every answer is recorded with the
usage it stated, so a test can compare figures with what was really served.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fakes import model_wire
from tests.fakes.model_wire import Fail, Reply, Say, Silence, Usage, Use

SCRIPT = re.compile(r"model script: (\w+)")
ATTEMPT = re.compile(r"This is attempt (\d+)")


@dataclass(frozen=True)
class Turn:
    """One request, as a script sees it.

    number: answers given since the prompt, from 0; attempt: as the prompt says, else 1; prompt: its text.
    results: what the tools said since the prompt. body: the whole request.
    """

    number: int
    attempt: int
    prompt: str
    results: tuple[str, ...]
    body: dict[str, Any]


Script = Callable[[Turn], Reply]


@dataclass(frozen=True)
class Served:
    """One answer. usage: None where the answer stated none."""

    script: str
    model: str
    status: int
    usage: Usage | None


@dataclass
class ModelServer:
    """The scripted model. url: without a trailing slash."""

    url: str
    scripts: dict[str, Script] = field(default_factory=dict)
    served: list[Served] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    closing: threading.Event = field(default_factory=threading.Event)

    def script(self, name: str, *replies: Reply) -> None:
        """Give these replies in turn after each prompt, the last one again and again."""
        self.scripts[name] = lambda turn: replies[min(turn.number, len(replies) - 1)]

    def wait_for(self, wanted: Callable[[list[Served]], bool], seconds: float = 30.0) -> None:
        """Return once what was served is as wanted."""
        with self._changed:
            if not self._changed.wait_for(lambda: wanted(self.served), seconds):
                raise AssertionError(f"the model was not asked as expected: {self.served}")

    def note(self, served: Served) -> None:
        """Record an answer, before its first byte."""
        with self._changed:
            self.served.append(served)
            self._changed.notify_all()

    def total(self, script: str = "") -> Usage:
        """The sum of what was stated, of one script or of all."""
        found = [one.usage for one in self.served if one.usage is not None and script in ("", one.script)]
        return Usage(*(sum(parts) for parts in zip(*((u.input, u.output, u.cached) for u in found), strict=True)))

    def answer(self, turn: Turn) -> tuple[str, Reply]:
        """The script's name and its reply; a request without a script is small talk of the agent's own."""
        # Titles and the like are asked for without tools, with the prompt quoted.
        found = SCRIPT.findall(turn.prompt) if turn.body.get("tools") else []
        name = found[-1] if found else ""
        if name not in self.scripts:
            return name, Say("ok")
        return name, self.scripts[name](turn)


def turn_of(messages: list[tuple[str, str, bool]], body: dict[str, Any]) -> Turn:
    """Read a conversation. messages: role, text, and whether it is a tool's result."""
    at = max((i for i, (role, text, _) in enumerate(messages) if role == "user" and SCRIPT.search(text)), default=0)
    prompt = messages[at][1] if messages else ""
    after = messages[at + 1 :]
    attempt = ATTEMPT.findall(prompt)
    return Turn(
        number=sum(role == "assistant" for role, _, _ in after),
        attempt=int(attempt[-1]) if attempt else 1,
        prompt=prompt,
        results=tuple(text for _, text, is_result in after if is_result),
        body=body,
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self._plain(200, b"")

    def do_GET(self) -> None:
        self._plain(404, b"{}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        model = self.server.model
        model.keys.add(self.headers.get("x-api-key") or self.headers.get("Authorization") or "")
        path = self.path.partition("?")[0]
        if path.endswith("/count_tokens"):
            self._plain(200, json.dumps({"input_tokens": 10}).encode())
        elif path.endswith("/messages"):
            self._reply(turn_of(model_wire.read_messages(body), body), model_wire.message_events)
        elif path.endswith("/responses"):
            self._reply(turn_of(model_wire.read_input(body), body), model_wire.response_events)
        else:
            self._plain(404, b"{}")

    def _reply(self, turn: Turn, events: Callable[[str, int, Say | Use], Iterator[bytes]]) -> None:
        model = self.server.model
        name, reply = model.answer(turn)
        asked = str(turn.body.get("model", ""))
        status = reply.status if isinstance(reply, Fail) else 200
        usage = reply.usage if isinstance(reply, Say | Use) else None
        model.note(Served(name, asked, status, usage))
        if isinstance(reply, Silence):
            # The connection stays open without a byte until the client or the test goes.
            model.closing.wait()
            self.close_connection = True
        elif isinstance(reply, Fail):
            self._plain(reply.status, json.dumps(model_wire.error_body(reply)).encode(), dict(reply.headers))
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            for header, value in reply.headers:
                self.send_header(header, value)
            self.end_headers()
            for event in events(asked, len(model.served), reply):
                self.wfile.write(event)
            self.close_connection = True

    def _plain(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for header, value in (headers or {}).items():
            self.send_header(header, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what was served is recorded."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    model: ModelServer

    def handle_error(self, request: object, client_address: object) -> None:
        """An agent that was killed in the middle of an answer is what some tests are about."""


@contextmanager
def open_model_server() -> Iterator[ModelServer]:
    """A scripted model that listens on a free port of loopback until the block is left."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.model = ModelServer(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.model
        finally:
            server.model.closing.set()
            server.shutdown()
            thread.join()
