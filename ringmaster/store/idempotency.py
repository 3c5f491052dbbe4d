"""Answers kept under the key of the request, so that a repeat changes nothing and hears the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries

queries = load_queries("idempotency")
T = TypeVar("T")
KEEP_S = 7 * 86400.0


def once(conn: Connection, key: str, method: str, params: bytes, result: type[T], fn: Callable[[Connection], T]) -> T:
    """Run `fn` once per key: a repeat gets the stored answer, from the same transaction as the effect.

    An empty key runs `fn` each time. An error is not kept, since it changed nothing.

    Raises:
        RingmasterError: CONFLICT when the key was used for another request.
    """
    answer = answered(conn, key, method, params, result)
    if answer is None:
        answer = fn(conn)
        if key:
            values = (key, method, _digest(params), msgspec.json.encode(answer), conn.now)
            conn.execute(queries.insert, values)
    return answer


def answered(conn: Connection, key: str, method: str, params: bytes, result: type[T]) -> T | None:
    """The stored answer to a request under its key, None when it has none: for asking before an outside effect.

    Raises:
        RingmasterError: CONFLICT when the key was used for another request.
    """
    row = conn.row(queries.by_key, (key,)) if key else None
    if row is None:
        return None
    if (row[0], row[1]) != (method, _digest(params)):
        raise RingmasterError(
            ErrorKind.CONFLICT,
            f"idempotency key {key[:60]!r} was used for another request",
            "use a new key for a new request",
        )
    return msgspec.json.decode(row[2], type=result)


def _digest(params: bytes) -> str:
    return hashlib.sha256(params).hexdigest()


def forget_answers(conn: Connection) -> int:
    """Drop answers older than `KEEP_S`; how many went."""
    return conn.execute(queries.forget, (conn.now - KEEP_S,))
