"""A document answered without a connection of the Unix socket: what HTTP carries in one request.

Methods, params, rights, idempotency and errors are those of the socket. Only streams are refused: there is nothing that
they could go on in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import msgspec
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.codes import INVALID_REQUEST, REFUSED
from ringmaster.protocol.jsonrpc import Fault, parse_document
from ringmaster.rpc.answers import Answers, MeterLike
from ringmaster.rpc.calls import Batch, Call, Limits
from ringmaster.rpc.dispatch import BoundMethod, Context, Deferred, fault_of, find_method
from ringmaster.rpc.rights import Caller
from ringmaster.rpc.running import Calls

if TYPE_CHECKING:
    from ringmaster.rpc.connection import Connection

ANSWER_BYTES = 16 * 1024 * 1024
"""Members of a batch that come after so much of an answer are not begun: it is held in memory as a whole."""


class SingleDocument:
    """One document and its answer. Handlers see it in the place of a connection.

    It is carried out as a whole once it was taken: a drain waits for the mutations in it, and a switch too.
    """

    is_resumed = False

    def __init__(
        self,
        table: Mapping[str, BoundMethod],
        services: object,
        caller: Caller,
        limits: Limits,
        meter: MeterLike | None = None,
    ) -> None:
        self.caller = caller
        self._table = table
        self._limits = limits
        self._meter = meter
        self._lines: list[bytes] = []
        self._answers = Answers(self._lines, None, meter)
        self._context: Context[Any] = Context(services, caller, cast("Connection", self))
        self._calls = Calls(self._context, self._answers, self._go_on)
        self._members: deque[tuple[bytes, Batch | None]] = deque()
        self._batch: Batch | None = None
        self._counted = self._answer_bytes = 0
        self._answered = trio.Event()
        self._is_closed = False

    # For handlers.

    @property
    def is_closed(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self._is_closed

    def reserve_subscription(self, beginning: msgspec.Struct | None = None) -> int:
        """Raises `RingmasterError`: a stream has nothing to go on in."""
        raise RingmasterError(
            ErrorKind.REFUSED,
            "a stream needs a connection that stays, and this is one request over HTTP",
            "open the websocket /stream, or use the Unix socket",
        )

    def end_stream(self, subscription: int) -> bool:
        """There is none."""
        return False

    # For the server.

    @property
    def is_busy(self) -> bool:
        """Whether a drain should wait for it."""
        return self._calls.mutating > 0

    @property
    def mutations(self) -> list[Call]:
        """Mutations that were begun, or are going to be, and have not ended."""
        return self._calls.mutations

    @property
    def answer(self) -> bytes | None:
        """The answer, empty where nothing asked for one; None while there is none, and when there will be none."""
        return b"".join(self._lines) if self._answered.is_set() and not self._is_closed else None

    async def serve(self, document: bytes) -> None:
        """Carry it out. Cancelled, begun mutations have `mutation_grace_s` to end."""
        async with trio.open_nursery() as nursery:
            self._calls.nursery = self._answers.nursery = nursery
            self._members.append((document, None))
            self._go_on()
            try:
                await self._answered.wait()
            finally:
                self.close()
                self._calls.close(self._limits.mutation_grace_s)
                nursery.cancel_scope.cancel()

    def close(self) -> None:
        """Nobody waits for the answer any more: what only reads is cancelled, what changes something goes on.

        Nothing where there is an answer already: what it tells of has happened.
        """
        if not self._answered.is_set():
            self._is_closed = self._answers.is_closed = True
            self._members.clear()
            self._answered.set()

    async def wait_answered(self) -> None:
        """Until there is an answer, or will be none."""
        await self._answered.wait()

    async def wait_unbusy(self) -> None:
        """Until it is not busy."""
        await self._calls.wait_settled()

    async def wait_settled(self) -> None:
        """Until nothing is unsettled."""
        await self._calls.wait_settled()

    def _go_on(self) -> None:
        """Begin what there is room for; the answer is whole when nothing is left."""
        while self._members and len(self._calls.begun) + len(self._calls.waiting) < self._limits.in_flight:
            self._take(*self._members.popleft())
        if not (self._members or self._calls.begun or self._calls.waiting):
            self._answered.set()

    def _take(self, item: bytes, batch: Batch | None) -> None:
        method: BoundMethod | None = None
        id_json: bytes | None = None
        taken_at = perf_counter()
        try:
            request = parse_document(item)
            if isinstance(request, list):
                if batch is not None:
                    raise Fault(INVALID_REQUEST, "a batch may not hold a batch")
                self._batch = parts = Batch(len(request))
                self._members.extend((member, parts) for member in request)
                return
            id_json = bytes(request.id)
            method = find_method(self._table, request.method, self.caller)
            params = method.decode(request)
            self._refuse_long()
            call = Call(method, params, id_json, batch, item, taken_at)
            if method.is_async or (method.is_mutating and self._calls.waiting):
                self._calls.add(call)
                return
            result = method.handler(self._context, params)
            if isinstance(result, Deferred):
                self._calls.defer(call, result)
            else:
                self._answers.settle(call, result)
        except Exception as error:  # noqa: BLE001 -- the boundary of the connection
            fault = error if isinstance(error, Fault) else fault_of(error, method.name if method else "a request")
            self._answers.answer_fault(id_json, batch, fault)
            if self._meter is not None and method is not None:
                self._meter.note(method.name, perf_counter() - taken_at, fault.kind)

    def _refuse_long(self) -> None:
        if self._batch is None:
            return
        # Only what was answered since: asked for each member, all of it would be counted a thousand times.
        new = self._batch.lines[self._counted :]
        self._counted += len(new)
        self._answer_bytes += sum(map(len, new))
        if self._answer_bytes > ANSWER_BYTES:
            raise Fault(
                REFUSED,
                f"the answers of this batch are longer than {ANSWER_BYTES >> 20} MiB; this member was not begun",
                kind=ErrorKind.REFUSED,
                hint="ask for it by itself",
            )
