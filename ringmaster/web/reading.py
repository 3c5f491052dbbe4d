"""Bytes to requests, without I/O: h11 reads them, and what other readers might read otherwise is refused before."""

from __future__ import annotations

import re

import h11

from ringmaster.model.errors import ErrorKind
from ringmaster.web.message import HEAD_BYTES, HEAD_LINES, Refusal, Request

END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\n(?i:content-length)[ \t]*:([^\r]*)")
ONCE = ("host", "origin", "authorization", "content-type", "content-length", "transfer-encoding", "upgrade", "expect")
"""Headers on which something is decided: where one comes twice, two readers may each see another."""


def cut_head(buffer: bytearray, looked: int = 0) -> bytes | None:
    """The first head in `buffer`, taken out of it with its blank line; None while it is not whole.

    looked: how much of the buffer was there at the last call: no byte is looked at again and again, or one who sends
    them one by one would keep the daemon busy. Raises `Refusal` for one that is too long, or that is none.
    """
    # A blank line before a request is tolerated, as RFC 9112 2.2 asks for.
    while buffer.startswith(b"\r\n"):
        del buffer[:2]
        looked = 0
    end = buffer.find(END, max(0, looked - len(END) + 1), HEAD_BYTES + len(END))
    size = end + len(END) if end >= 0 else min(len(buffer), HEAD_BYTES + 1)
    _check_lines(bytes(buffer[max(0, looked - 2) : size]), is_begun=looked > 1, is_end=end >= 0)
    if end >= 0:
        head = bytes(buffer[:size])
        del buffer[:size]
        if head.count(b"\r\n") > HEAD_LINES:
            raise Refusal(431, f"the head has more than {HEAD_LINES} lines", kind=ErrorKind.PROTOCOL)
        return head
    if size > HEAD_BYTES:
        raise Refusal(431, f"the head is longer than {HEAD_BYTES} bytes", kind=ErrorKind.PROTOCOL)
    return None


def _check_lines(part: bytes, *, is_begun: bool, is_end: bool) -> None:
    """Raises `Refusal` for a part of a head with a line that another reader may end elsewhere.

    is_begun: its first two bytes were looked at before, as the end of the part before. is_end: nothing follows it.
    """
    if b"\r\n " in part or b"\r\n\t" in part:
        raise _malformed("its head has a folded line")
    if is_begun:
        # Of a line's end that was cut the first half is needed, and the second alone is none.
        part = part[1:]
        part = part[1:] if not part.startswith(b"\r") else part
    if not is_end and part.endswith(b"\r"):
        # The last byte may be the first half of a line's end.
        part = part[:-1]
    ends = part.count(b"\r\n")
    if part.count(b"\n") != ends or part.count(b"\r") != ends or b"\x00" in part:
        raise _malformed("its head has a line that does not end with CR LF, or a NUL")


class Reader:
    """One request: its head, and then its body piece by piece."""

    def __init__(self, head: bytes) -> None:
        """Raises `Refusal` for a head that cannot be read in one way alone."""
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        try:
            self._h11.receive_data(head)
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise _malformed(str(error)) from None
        if not isinstance(event, h11.Request):
            raise _malformed("its head is not whole")
        self.request = _request_of(event, head)

    def feed(self, data: bytes) -> None:
        """Take what was read behind the head; empty: nothing comes any more."""
        try:
            self._h11.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise _malformed(str(error)) from None

    def next_data(self) -> bytes | None:
        """The next piece of the body, empty while more has to be read; None at its end. Raises `Refusal`."""
        try:
            event = self._h11.next_event()
        except h11.RemoteProtocolError as error:
            raise _malformed(str(error)) from None
        if event is h11.NEED_DATA:
            return b""
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if isinstance(event, h11.EndOfMessage):
            return None
        raise _malformed("its body ends before its length")

    def rest(self) -> bytes:
        """What was fed and lies behind the body."""
        return bytes(self._h11.trailing_data[0])


def _malformed(words: str) -> Refusal:
    return Refusal(400, f"this is no request: {words}", kind=ErrorKind.PROTOCOL)


def _request_of(event: h11.Request, head: bytes) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in event.headers:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        if name in headers and name in ONCE:
            raise _malformed(f"{name} is there twice")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    # h11 takes equal lengths for one, in a list too.
    lengths = LENGTH.findall(head)
    if len(lengths) > 1 or not all(length.strip().isdigit() for length in lengths):
        raise _malformed("it says its length in two ways")
    if event.http_version not in (b"1.0", b"1.1"):
        raise Refusal(505, "this is HTTP/1.1", kind=ErrorKind.PROTOCOL)
    is_http_11 = event.http_version == b"1.1"
    if "transfer-encoding" in headers and ("content-length" in headers or not is_http_11):
        raise _malformed("it says its length in two ways")
    target = event.target.decode("ascii")
    if not target.startswith("/"):
        raise _malformed("its target is no path")
    path, _, query = target.partition("?")
    return Request(
        method=event.method.decode("ascii"),
        path=path,
        query=query,
        headers=headers,
        head=head,
        is_http_11=is_http_11,
        has_body="transfer-encoding" in headers or headers.get("content-length", "0") != "0",
    )
