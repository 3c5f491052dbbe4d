"""The RPC server: accepts, says who a client is, and keeps every connection's trouble to that connection."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any

import trio

from ringmaster.model.errors import ErrorKind
from ringmaster.proc.identity import PeerCredentials, peer_credentials
from ringmaster.protocol.codes import REFUSED
from ringmaster.protocol.jsonrpc import Fault, encode_fault
from ringmaster.rpc.answers import MeterLike
from ringmaster.rpc.calls import Call, Limits
from ringmaster.rpc.connection import Connection
from ringmaster.rpc.discover import discover_method
from ringmaster.rpc.dispatch import Method, bind_methods
from ringmaster.rpc.handoff import HandedConnection, open_handed
from ringmaster.rpc.reactor import Reactor
from ringmaster.rpc.rights import Caller, is_own_uid
from ringmaster.rpc.single import SingleDocument

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
    meter: told of every call that was answered.

    An exec in place goes `quiesce`, `wait_settled` (bounded), `hand_over`, then cancel `serve`; the next image
    gives what it got to its own `serve`. Until `hand_over`, `resume` undoes it all.
    """

    def __init__(
        self,
        methods: Iterable[Method[Any, Any]],
        services: object,
        identify: Callable[[PeerCredentials], Caller],
        limits: Limits | None = None,
        meter: MeterLike | None = None,
    ) -> None:
        table = tuple(methods)
        self._table = bind_methods([*table, discover_method(table)])
        self._services = services
        self._identify = identify
        self._limits = limits or Limits()
        self._meter = meter
        # A dict for its order: they are handed over in the order in which they came.
        self._connections: dict[Connection, None] = {}
        self._singles: dict[SingleDocument, None] = {}
        self._nursery: trio.Nursery | None = None
        self._accepting = trio.CancelScope()
        self._may_accept = trio.Event()
        self._may_accept.set()
        self._one_closed = trio.Event()

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def serve(
        self,
        listener: socket.socket,
        handed: Sequence[HandedConnection] = (),
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled. The listener stays open and is the caller's; connections are closed.

        handed: connections of another image, whose descriptors become the server's; they go on before any other
        is accepted. Cancelled, it waits for begun mutations, at most `mutation_grace_s`; `drain` first to answer them.
        """
        reactor = Reactor()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(reactor.run)
                self._nursery = nursery
                for one in handed:
                    self._take_over(one, reactor, nursery)
                task_status.started()
                while True:
                    with self._accepting:
                        await self._run_accept(listener, reactor, nursery)
                    await self._may_accept.wait()
        finally:
            self._nursery = None
            reactor.close()

    async def answer(self, document: bytes, caller: Caller) -> bytes | None:
        """Answer a document that came by another way than the socket; empty where nothing in it asks for an answer.

        None: nothing is begun now, or what only reads was cut short by a switch; ask again. Cancelled, what changes
        something goes on, and what only reads does not.
        """
        if self._nursery is None or not self._may_accept.is_set():
            return None
        single = SingleDocument(self._table, self._services, caller, self._limits, self._meter)
        self._singles[single] = None
        self._nursery.start_soon(self._serve_single, single, document)
        try:
            await single.wait_answered()
        except trio.Cancelled:
            single.close()
            raise
        return single.answer

    async def drain(self) -> None:
        """Accept nothing more, begin nothing more, and wait until every begun mutation is answered and sent.

        Bound it with a deadline, for it waits for clients to read their answers. Cancel `serve` afterwards.
        New clients wait in the listener's backlog: they are not refused as long as it is open.
        """
        self._stop_accepting()
        for connection in list(self._connections):
            connection.stop_taking()
        while busy := [one for one in self._served() if one.is_busy]:
            await busy[0].wait_unbusy()
        self._cut_singles()

    def quiesce(self) -> None:
        """Accept, read and begin nothing more; what has begun goes on, and answers are sent.

        Nobody is refused: new clients wait in the listener's backlog, requests in the kernel's buffers.
        """
        self._stop_accepting()
        for connection in list(self._connections):
            connection.quiesce()

    def unsettled(self) -> tuple[str, ...]:
        """Methods of the mutations that were begun and are not answered, a name for each."""
        return tuple(call.method.name for one in self._served() for call in one.mutations)

    async def wait_settled(self) -> None:
        """Wait until every begun mutation is answered, though the answer may not be sent. Always a checkpoint.

        Only after `quiesce`. Bound it with a deadline; cancelled, nothing has changed.
        """
        await trio.lowlevel.checkpoint()
        while unsettled := [one for one in self._served() if one.mutations]:
            await unsettled[0].wait_settled()

    def lasting(self, than_s: float) -> tuple[str, ...]:
        """Methods of the mutations that have been under way for longer than that, a name for each."""
        return tuple(call.method.name for call in self._lasting(than_s))

    async def wait_lasting(self, than_s: float) -> None:
        """Wait until no mutation has been under way for longer than that. Nothing is held back meanwhile."""
        while lasting := self._lasting(than_s):
            lasting[0].ended = lasting[0].ended or trio.Event()
            await lasting[0].ended.wait()

    def _lasting(self, than_s: float) -> list[Call]:
        since = perf_counter() - than_s
        return [call for one in self._served() for call in one.mutations if call.taken_at < since]

    def resume(self) -> None:
        """Go on as if there had been no `quiesce`."""
        if not self._may_accept.is_set():
            self._accepting = trio.CancelScope()
            self._may_accept.set()
        for connection in list(self._connections):
            connection.resume()

    def hand_over(self) -> tuple[HandedConnection, ...]:
        """Let go of every connection: nothing is read or sent any more, and the descriptors are the caller's, open.

        Reads and streams are cancelled: they begin again where they are handed to. Cancel `serve` afterwards; it
        touches none of the descriptors. Raises RuntimeError unless quiesced and settled: `unsettled` says by what.
        """
        if self._may_accept.is_set() or self.unsettled():
            raise RuntimeError(f"cannot hand over: {', '.join(self.unsettled()) or 'the server is not quiesced'}")
        self._cut_singles()
        records = [connection.hand_over() for connection in list(self._connections)]
        return tuple(record for record in records if record is not None)

    def _served(self) -> list[Connection | SingleDocument]:
        return [*self._connections, *self._singles]

    def _cut_singles(self) -> None:
        """What is left of them only reads: who asked is told to ask again."""
        for single in list(self._singles):
            single.close()

    def _stop_accepting(self) -> None:
        self._accepting.cancel()
        if self._may_accept.is_set():
            self._may_accept = trio.Event()

    def _take_over(self, handed: HandedConnection, reactor: Reactor, nursery: trio.Nursery) -> None:
        opened = open_handed(handed.fd)
        if opened is not None:
            connection = self._make_connection(opened, reactor, handed.caller)
            connection.take_over(handed)
            nursery.start_soon(self._serve_connection, connection)

    def _make_connection(self, opened: socket.socket, reactor: Reactor, caller: Caller) -> Connection:
        connection = Connection(opened, reactor, self._table, self._services, caller, self._limits, self._meter)
        self._connections[connection] = None
        return connection

    async def _run_accept(self, listener: socket.socket, reactor: Reactor, nursery: trio.Nursery) -> None:
        while True:
            await trio.lowlevel.wait_readable(listener)
            if not self._may_accept.is_set():
                # It was readable before accepting stopped, which is noticed only at a checkpoint.
                await trio.lowlevel.checkpoint()
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
        connection = self._make_connection(accepted, reactor, caller)
        nursery.start_soon(self._serve_connection, connection)

    def _turn_away(self, accepted: socket.socket, peer: PeerCredentials) -> None:
        fault = Fault(REFUSED, f"this daemon belongs to another user than uid {peer.uid}", kind=ErrorKind.PERMISSION)
        with accepted:
            accepted.send(encode_fault(fault), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)

    async def _serve_single(self, single: SingleDocument, document: bytes) -> None:
        try:
            await single.serve(document)
        except Exception:
            log.exception("a document (pid %d) failed; the others go on", single.caller.pid)
        finally:
            single.close()
            self._singles.pop(single, None)

    async def _serve_connection(self, connection: Connection) -> None:
        try:
            await connection.serve()
        except Exception:
            # Also an ExceptionGroup, in which a nursery wraps whatever escaped from its trio tasks.
            log.exception("a connection (pid %d) failed; the others go on", connection.caller.pid)
        finally:
            self._connections.pop(connection, None)
            self._one_closed.set()
