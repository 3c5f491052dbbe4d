"""The RPC server: accepts, says who a client is, and keeps every connection's trouble to that connection."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterable
from typing import Any

import trio

from ringmaster.model.errors import ErrorKind
from ringmaster.proc.identity import PeerCredentials, peer_credentials
from ringmaster.protocol.codes import REFUSED
from ringmaster.protocol.jsonrpc import Fault, encode_fault
from ringmaster.rpc.calls import Limits
from ringmaster.rpc.connection import Connection
from ringmaster.rpc.discover import discover_method
from ringmaster.rpc.dispatch import Method, bind_methods
from ringmaster.rpc.reactor import Reactor
from ringmaster.rpc.rights import Caller, is_own_uid

log = logging.getLogger("ringmaster.rpc")

ACCEPTS_AT_ONCE = 16
ROOM_RETRY_S = 5.0
"""Descriptors can also become free where this server does not see it."""
TRANSIENT = frozenset({errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM})
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Server:
    """Serves a method table on a Unix socket.

    methods: the literal table; `rpc.discover` is added. services: every handler's `context.services`.
    identify: who a peer is, called once per connection (see `Identification.identify`).
    """

    def __init__(
        self,
        methods: Iterable[Method[Any, Any]],
        services: object,
        identify: Callable[[PeerCredentials], Caller],
        limits: Limits | None = None,
    ) -> None:
        table = tuple(methods)
        self._table = bind_methods([*table, discover_method(table)])
        self._services = services
        self._identify = identify
        self._limits = limits or Limits()
        self._connections: set[Connection] = set()
        self._accepting = trio.CancelScope()
        self._one_closed = trio.Event()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def serve(
        self, listener: socket.socket, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled. The listener stays open and is the caller's; connections are closed.

        Cancelled, it waits for begun mutations, at most `mutation_grace_s`; `drain` first to answer them.
        """
        reactor = Reactor()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reactor.run)
                task_status.started()
                with self._accepting:
                    await self._run_accept(listener, reactor, nursery)
                await trio.sleep_forever()
        finally:
            reactor.close()

    async def drain(self) -> None:
        """Accept nothing more, begin nothing more, and wait until every begun mutation is answered and sent.

        Bound it with a deadline, for it waits for clients to read their answers. Cancel `serve` afterwards.
        New clients wait in the listener's backlog: they are not refused as long as it is open.
        """
        self._accepting.cancel()
        for connection in list(self._connections):
            connection.quiesce()
        while any(connection.is_busy for connection in self._connections):
            busy = next(connection for connection in self._connections if connection.is_busy)
            await busy.wait_unbusy()

    async def _run_accept(self, listener: socket.socket, reactor: Reactor, nursery: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            if not self._accept_some(listener, reactor, nursery):
                await self._wait_for_room()
            await trio.lowlevel.checkpoint()

    def _accept_some(self, listener: socket.socket, reactor: Reactor, nursery: trio.Nursery) -> bool:
        """Accept those that wait, a few at a time. False: there is no room for one more."""
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno in EXHAUSTED:
                    log.warning("cannot accept a connection: %s; waiting for one to close", error.strerror)
                    return False
                if error.errno not in TRANSIENT:
                    raise
                continue
            self._admit(accepted, reactor, nursery)
        return True

    async def _wait_for_room(self) -> None:
        # The backlog keeps them meanwhile. Accepting at once again would only spin.
        self._one_closed = trio.Event()
        with trio.move_on_after(ROOM_RETRY_S):
            await self._one_closed.wait()

    def _admit(self, accepted: socket.socket, reactor: Reactor, nursery: trio.Nursery) -> None:
        accepted.setblocking(False)
        try:
            peer = peer_credentials(accepted)
            if not is_own_uid(peer):
                self._turn_away(accepted, peer)
                return
            caller = self._identify(peer)
        except Exception:
            # Nobody who cannot be identified gets in, and nobody else suffers from it.
            log.exception("cannot say who a client is; it was hung up on")
            accepted.close()
            return
        connection = Connection(accepted, reactor, self._table, self._services, caller, self._limits)
        self._connections.add(connection)
        nursery.start_soon(self._serve_connection, connection)

    def _turn_away(self, accepted: socket.socket, peer: PeerCredentials) -> None:
        fault = Fault(REFUSED, f"this daemon belongs to another user than uid {peer.uid}", kind=ErrorKind.PERMISSION)
        with accepted:
            accepted.send(encode_fault(fault), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)

    async def _serve_connection(self, connection: Connection) -> None:
        try:
            await connection.serve()
        except Exception:
            # Also an ExceptionGroup, in which a nursery wraps whatever escaped from its trio tasks.
            log.exception("a connection (pid %d) failed; the others go on", connection.caller.pid)
        finally:
            self._connections.discard(connection)
            self._one_closed.set()
