"""Going on with a stream that another image began: its handler is called again, and its answer is not sent again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ringmaster.protocol.codes import METHOD_NOT_FOUND
from ringmaster.protocol.jsonrpc import Fault, decode_params
from ringmaster.rpc.dispatch import BoundMethod, Context, Streaming, find_method
from ringmaster.rpc.streams import Follower

if TYPE_CHECKING:
    from ringmaster.rpc.connection import Connection


class Resumed:
    """What a handler sees of its connection then: the number of the stream is the one its client knows."""

    is_resumed = True

    def __init__(self, connection: Connection, follower: Follower) -> None:
        self._connection = connection
        self._follower = follower

    @property
    def is_closed(self) -> bool:
        """As of the connection."""
        return self._connection.is_closed

    def reserve_subscription(self, beginning: msgspec.Struct | None = None) -> int:
        """The number it has."""
        if beginning is not None:
            self._follower.params = beginning
        return self._follower.subscription

    def end_stream(self, subscription: int) -> bool:
        """As of the connection."""
        return self._connection.end_stream(subscription)


async def begin_again(
    table: Mapping[str, BoundMethod], services: object, connection: Connection, follower: Follower
) -> Streaming[Any]:
    """What the handler of a stream answers now.

    Raises what the handler does, and `Fault` when this code has no such method, or the caller no right to it.
    """
    method = find_method(table, follower.method, connection.caller)
    params = decode_params(method.decoder, method.fields, cast(msgspec.Raw, follower.params))
    context = Context(services, connection.caller, cast("Connection", Resumed(connection, follower)))
    result = method.handler(context, params)
    if method.is_async:
        result = await result
    if not isinstance(result, Streaming):
        raise Fault(METHOD_NOT_FOUND, f"{follower.method} does not stream any more")
    return result
