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
    if not key:
        return fn(conn)
    digest = hashlib.sha256(params).hexdigest()
    row = conn.row(queries.by_key, (key,))
    if row is None:
        answer = fn(conn)
        conn.execute(queries.insert, (key, method, digest, msgspec.json.encode(answer), conn.now))
        return answer
    if (row[0], row[1]) != (method, digest):
        raise RingmasterError(
            ErrorKind.CONFLICT,
            f"idempotency key {key[:60]!r} was used for another request",
            "use a new key for a new request",
        )
    return msgspec.json.decode(row[2], type=result)


def forget_answers(conn: Connection) -> int:
    """Drop answers older than `KEEP_S`; how many went."""
    return conn.execute(queries.forget, (conn.now - KEEP_S,))
