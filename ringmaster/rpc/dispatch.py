"""The shape of a method, and how a request finds it: a table entry, its params decoded, its errors told."""

from __future__ import annotations

import inspect
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.codes import INTERNAL_ERROR, METHOD_NOT_FOUND, REFUSED
from ringmaster.protocol.jsonrpc import Fault, Request, decode_params
from ringmaster.rpc.rights import Caller, CallerKind, Right
from ringmaster.store.interface import Done

if TYPE_CHECKING:
    from ringmaster.rpc.connection import Connection
    from ringmaster.rpc.streams import Stream

log = logging.getLogger("ringmaster.rpc")

S = TypeVar("S")
P = TypeVar("P", bound=msgspec.Struct)
R = TypeVar("R")


class Context(msgspec.Struct, Generic[S], frozen=True):
    """What a handler gets besides its params. services: whatever the daemon gave the server."""

    services: S
    caller: Caller
    connection: Connection


class Streaming(msgspec.Struct, Generic[R], frozen=True):
    """A handler's result when notifications follow: the answer is sent first, then `produce` runs.

    subscription: from `Connection.reserve_subscription`. notification: the method of the notifications, whose
    params are {subscription, item}. produce: sends with `await stream.send(*items)` until it returns (the
    client is told that the stream is over), raises `RingmasterError` (the client is told why) or is cancelled:
    unsubscribed, disconnected, or the server is leaving.
    """

    result: R
    subscription: int
    notification: str
    produce: Callable[[Stream], Awaitable[None]]


class Deferred(msgspec.Struct, Generic[R], frozen=True):
    """A plain handler's result when the answer comes by a callback, which spares the call a trio task.

    begin: starts what leads to the answer, and neither blocks nor waits. It calls what it is given once, later,
    on the loop. What has begun is not cancelled, so it must not wait for what may never come.
    """

    begin: Callable[[Callable[[Done[R]], None]], None]


class Method(msgspec.Struct, Generic[P, R], frozen=True):
    """An entry of the method table.

    handler: `async def`, run concurrently with the connection's other calls, begun in the order they were
    sent; or a plain `def` for what only looks at memory or defers its answer, called inline (no checkpoint, at
    most 100 µs). One that is plain and mutating is begun in that order too.
    is_mutating: once taken it is carried out though its client hangs up, so it must not wait for what may
    never come. summary: one line for the reference.
    """

    name: str
    params: type[P]
    result: type[R]
    handler: Callable[[Context[Any], P], Awaitable[R | Streaming[R]] | R | Streaming[R] | Deferred[R]]
    right: Right
    is_mutating: bool
    summary: str


class BoundMethod:
    """A method made ready for calls: its decoder built, its kind of handler known."""

    __slots__ = ("decoder", "fields", "handler", "is_async", "is_mutating", "name", "right")

    def __init__(self, method: Method[Any, Any]) -> None:
        self.name = method.name
        self.right = method.right
        self.is_mutating = method.is_mutating
        self.handler: Callable[..., Any] = method.handler
        self.is_async = inspect.iscoroutinefunction(method.handler)
        self.fields = method.params.__struct_encode_fields__
        self.decoder = msgspec.json.Decoder(_strict(method.params))

    def decode(self, request: Request) -> Any:
        """The params of a request. Raises `Fault`."""
        return decode_params(self.decoder, self.fields, request.params)


def _strict(params: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The same struct, refusing members it does not know: a misspelt parameter must not be ignored."""
    if params.__struct_config__.forbid_unknown_fields:
        return params
    return msgspec.defstruct(params.__name__, [], bases=(params,), forbid_unknown_fields=True)


def bind_methods(methods: Iterable[Method[Any, Any]]) -> dict[str, BoundMethod]:
    """The table as the server uses it. Raises ValueError when two methods share a name."""
    bound: dict[str, BoundMethod] = {}
    for method in methods:
        if method.name in bound:
            raise ValueError(f"two methods are called {method.name}")
        bound[method.name] = BoundMethod(method)
    return bound


def find_method(table: Mapping[str, BoundMethod], name: str, caller: Caller) -> BoundMethod:
    """The method a caller may call under this name. Raises `Fault`."""
    bound = table.get(name)
    if bound is None:
        raise Fault(
            METHOD_NOT_FOUND,
            f"unknown method {name[:80]}",
            kind=ErrorKind.PROTOCOL,
            hint="`rmctl rpc rpc.discover` lists what this daemon knows; restart it if rmctl is newer",
        )
    if bound.right not in caller.rights:
        raise Fault(
            REFUSED,
            f"{name} is not for this caller: {caller.words}",
            kind=ErrorKind.PERMISSION,
            hint=""
            if caller.kind is CallerKind.NONE
            else "an attempt may look at things and report on itself; ask a person with `rmctl ask`",
        )
    return bound


def fault_of(error: BaseException, what: str) -> Fault:
    """What a client is told of a handler's error; one that nobody expected is logged under an id."""
    expected = _only_leaf(error)
    if isinstance(expected, RingmasterError):
        return Fault.from_error(expected)
    if isinstance(expected, Fault):
        return expected
    error_id = secrets.token_hex(4)
    log.error("error %s in %s", error_id, what, exc_info=error)
    return Fault(
        INTERNAL_ERROR,
        f"internal error {error_id} in {what}",
        kind=ErrorKind.INTERNAL,
        hint=f"the daemon's log has the details under {error_id}",
    )


def _only_leaf(error: BaseException) -> BaseException:
    # A handler with a nursery of its own raises groups, even around a single expected error.
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def rest_of(group: BaseExceptionGroup[BaseException]) -> BaseException | None:
    """What a group holds besides the cancellation, which must go on its way; None: it is nothing else.

    A client that hangs up on a handler with a nursery of its own is no error.
    """
    return group.split(trio.Cancelled)[1]
