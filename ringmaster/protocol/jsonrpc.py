"""JSON-RPC 2.0 envelopes: what a line asks for, and how an answer is written. No sockets, no methods.

`params` and `id` stay raw JSON. The method's own decoder takes the first; the second goes back byte for byte,
so that no number or escape in it is changed on the way. Both are views into the line: copy before keeping.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ringmaster.model.errors import RETRYABLE, ErrorKind, RingmasterError
from ringmaster.protocol.codes import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    MAX_BATCH,
    PARSE_ERROR,
    PROTOCOL_VERSION,
    REFUSED,
)

NOTHING = msgspec.Raw()


class Request(msgspec.Struct, gc=False):
    """One call. Without an `id` it is a notification: it is carried out and never answered."""

    jsonrpc: Literal["2.0"]
    method: str
    params: msgspec.Raw = NOTHING
    id: msgspec.Raw = NOTHING


class Fault(Exception):
    """An answer that is an error. message: one line; id_json: raw id of the request, `null` where unknown."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        kind: ErrorKind = ErrorKind.USAGE,
        hint: str = "",
        id_json: bytes = b"null",
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.kind = kind
        self.hint = hint
        self.id_json = id_json

    @classmethod
    def from_error(cls, error: RingmasterError) -> Fault:
        """The fault that tells a client of an expected failure."""
        return cls(REFUSED, error.message, kind=error.kind, hint=error.hint)


_REQUEST = msgspec.json.Decoder(Request)
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_ANY_RAW = msgspec.json.Decoder(msgspec.Raw)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode

_ID_STARTS = frozenset(b'"-0123456789n')


def parse_document(line: bytes) -> Request | list[bytes]:
    """What a line asks for: a request, or a batch as the raw documents in it (copied, at least one).

    Raises `Fault` for whatever is neither, with the request's id where it has a usable one.
    """
    try:
        request = _REQUEST.decode(line)
    except msgspec.ValidationError as error:
        return _parse_unusual(line, error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(error) from None
    id_json = bytes(request.id)
    if id_json and not _is_id(id_json):
        raise Fault(INVALID_REQUEST, "the id must be a string, a number or null")
    if request.params and bytes(request.params)[0] not in b"{[":
        raise Fault(INVALID_REQUEST, "params must be an object or an array", id_json=id_json or b"null")
    return request


def _is_id(id_json: bytes) -> bool:
    if id_json.isascii():
        return id_json[0] in _ID_STARTS
    try:
        return id_json[0] in _ID_STARTS and bool(id_json.decode())
    except UnicodeDecodeError:
        return False


def _parse_unusual(line: bytes, error: msgspec.ValidationError) -> list[bytes]:
    """A document that is JSON at least up to where it stopped being a request."""
    try:
        line.decode()  # the decoder below skips strings without looking into them
        document = bytes(_ANY_RAW.decode(line))
        if document[:1] == b"[":
            members = _RAWS.decode(line)
            if not members:
                raise Fault(INVALID_REQUEST, "a batch may not be empty")
            if len(members) > MAX_BATCH:
                raise Fault(INVALID_REQUEST, f"a batch holds at most {MAX_BATCH} requests, this one {len(members)}")
            return [bytes(member) for member in members]
        if document[:1] != b"{":
            raise Fault(INVALID_REQUEST, "a request is a JSON object, or an array of them")
        id_json = bytes(_MEMBERS.decode(line).get("id", b""))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as unreadable:
        raise _unreadable(unreadable) from None
    if not id_json or not _is_id(id_json):
        id_json = b"null"
    raise Fault(INVALID_REQUEST, f"not a JSON-RPC 2.0 request: {error}", id_json=id_json)


def _unreadable(error: Exception) -> Fault:
    if isinstance(error, RecursionError):
        return Fault(PARSE_ERROR, "the document is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Fault(PARSE_ERROR, f"the document is not UTF-8: byte {error.start} is invalid")
    return Fault(PARSE_ERROR, f"the document is not JSON: {error}")


def decode_params(decoder: msgspec.json.Decoder[Any], fields: Sequence[str], params: msgspec.Raw) -> Any:
    """Parameters of a method as its struct. An array is taken in the order of `fields`; none is `{}`.

    Raises `Fault`; its id is the caller's to fill in.
    """
    try:
        if not params:
            return decoder.decode(b"{}")
        document = bytes(params)
        if document[:1] == b"[":
            document = _by_name(_RAWS.decode(document), fields)
        return decoder.decode(document)
    except msgspec.ValidationError as error:
        raise Fault(INVALID_PARAMS, f"invalid params: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unreadable(error) from None


def _by_name(values: list[msgspec.Raw], fields: Sequence[str]) -> bytes:
    if len(values) > len(fields):
        raise Fault(INVALID_PARAMS, f"invalid params: at most {len(fields)} by position, got {len(values)}")
    pairs = (b'"%b":%b' % (name.encode(), bytes(value)) for name, value in zip(fields, values, strict=False))
    return b"{%b}" % b",".join(pairs)


def encode_result(id_json: bytes, result: object) -> bytes:
    """The line that answers a request."""
    return b'{"jsonrpc":"2.0","result":%b,"id":%b}\n' % (_encode(result), id_json)


def encode_fault(fault: Fault, id_json: bytes = b"") -> bytes:
    """The line that refuses a request; `id_json` where the fault does not know it itself."""
    return b'{"jsonrpc":"2.0","error":%b,"id":%b}\n' % (
        _encode(error_object(fault)),
        id_json or fault.id_json,
    )


def error_object(fault: Fault) -> dict[str, object]:
    """The `error` member: code, message, and data {kind, retryable, hint, protocol}."""
    return {
        "code": fault.code,
        "message": fault.message,
        "data": {
            "kind": fault.kind,
            "retryable": fault.kind in RETRYABLE,
            "hint": fault.hint,
            "protocol": PROTOCOL_VERSION,
        },
    }


def encode_batch(lines: Sequence[bytes]) -> bytes:
    """The line that answers a batch, from the lines that answer its members."""
    return b"[%b]\n" % b",".join(line[:-1] for line in lines)


def encode_notification(method: str, params: object) -> bytes:
    """A line that asks for no answer."""
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}\n' % (_encode(method), _encode(params))
