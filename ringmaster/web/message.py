"""What comes in and goes out over HTTP, as values: a request that was read, an answer, a refusal."""

from __future__ import annotations

import http
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate

import msgspec

from ringmaster.model.errors import ErrorKind

HEAD_BYTES = 16 * 1024
HEAD_LINES = 100
"""A longer head is refused, and one of more lines: reading thousands of them holds up everybody else."""

ALWAYS = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"X-Frame-Options", b"DENY"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
)
"""Sent with every answer, whatever it is."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request's head. head: its bytes as read. headers: by lower-case name; of those that matter none comes twice.

    path: undecoded, without the query; query: behind the `?`, undecoded; '' for none.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    head: bytes
    is_http_11: bool
    has_body: bool

    def header(self, name: str) -> str:
        """What a header says; '' where there is none."""
        return self.headers.get(name, "")

    @property
    def is_upgrade(self) -> bool:
        """Whether it asks for a websocket."""
        return self.header("upgrade").lower() == "websocket"

    @property
    def may_go_on(self) -> bool:
        """Whether the client would send another request after this one."""
        words = {word.strip().lower() for word in self.header("connection").split(",")}
        return self.is_http_11 and "close" not in words


class Answer(msgspec.Struct, frozen=True):
    """An answer as a whole. headers: besides length, type and those that always are there."""

    status: int
    body: bytes = b""
    type: str = "application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Upgrade(msgspec.Struct, frozen=True):
    """In the place of an answer: the connection is handed on.

    caller: who it is, as whoever takes it knows callers. wait_over: returns, with words for the client, once what let
    it in holds no more; the connection has to end then.
    """

    caller: object
    wait_over: Callable[[], Awaitable[str]]


class Refusal(Exception):
    """A request is not served. words: one line, with what to do in `hint`; the connection is closed after it."""

    def __init__(
        self,
        status: int,
        words: str,
        hint: str = "",
        *,
        kind: ErrorKind = ErrorKind.REFUSED,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(words)
        self.status = status
        self.words = words
        self.hint = hint
        self.kind = kind
        self.headers = headers

    @property
    def answer(self) -> Answer:
        """What the client is told."""
        told = {"error": {"kind": self.kind, "message": self.words, "hint": self.hint}}
        return Answer(self.status, msgspec.json.encode(told) + b"\n", headers=self.headers)


def json_answer(status: int, value: object, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Answer:
    """An answer with a JSON document that nobody may keep."""
    return Answer(status, msgspec.json.encode(value) + b"\n", headers=((b"Cache-Control", b"no-store"), *headers))


def encode_answer(answer: Answer, *, is_last: bool, is_head: bool, now: float) -> bytes:
    """The bytes of an answer. is_last: the connection ends after it. is_head: the body is left out."""
    lines = [f"HTTP/1.1 {answer.status} {_reason(answer.status)}".encode()]
    lines.append(b"Date: " + formatdate(now, usegmt=True).encode())
    if answer.status not in (204, 304):
        lines.append(b"Content-Length: %d" % len(answer.body))
        lines.append(b"Content-Type: " + answer.type.encode())
    lines.extend(name + b": " + value for name, value in (*ALWAYS, *answer.headers))
    if is_last:
        lines.append(b"Connection: close")
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    return head if is_head or answer.status in (204, 304) else head + answer.body


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
