"""The answers of one connection: encoded, gathered where they belong to a batch, followed by their streams."""

from __future__ import annotations

from time import perf_counter
from typing import Protocol

import trio

from ringmaster.protocol.jsonrpc import Fault, encode_batch, encode_fault, encode_result
from ringmaster.rpc.calls import Batch, Call
from ringmaster.rpc.dispatch import BoundMethod, Streaming
from ringmaster.rpc.streams import Follower, Streams


class MeterLike(Protocol):
    """What counts answered calls."""

    def note(self, method: str, wall_s: float, fault_kind: str) -> None:
        """A call was answered `wall_s` after it was taken. fault_kind: of an `ErrorKind`, '' for a result."""


class Sink(Protocol):
    """Where lines go."""

    def append(self, line: bytes, /) -> None:
        """Take one more."""


class Answers:
    """Queues answers for sending; `is_closed`: nobody is left to read them. nursery: where streams run.

    streams: None where there can be none, because no number for one is given out.
    """

    def __init__(self, output: Sink, streams: Streams | None, meter: MeterLike | None) -> None:
        self.nursery: trio.Nursery | None = None
        self.is_closed = False
        self._output = output
        self._streams = streams
        self._meter = meter

    def answer(self, id_json: bytes, batch: Batch | None, result: object, method: BoundMethod, params: object) -> None:
        """Answer with a result, and have its stream follow. Raises what encoding it does."""
        if not isinstance(result, Streaming):
            self.reply(encode_result(id_json, result) if id_json else b"", batch)
        elif id_json:
            assert self._streams is not None
            follower = self._streams.make_follower(result, method.name, params)
            self.reply(encode_result(id_json, result.result), batch, follower)
        else:
            # Without an id nobody would know the number of the subscription: such a stream is not begun.
            self.reply(b"", batch)

    def answer_fault(self, id_json: bytes | None, batch: Batch | None, fault: Fault) -> None:
        """id_json: None while unknown, so that the fault's own is used; empty for a notification."""
        self.reply(b"" if id_json == b"" else encode_fault(fault, id_json or b""), batch)

    def settle(self, call: Call, result: object) -> None:
        """Answer a call that was begun with a result. Raises what encoding it does."""
        self.answer(call.id_json, call.batch, result, call.method, call.params)
        if self._meter is not None:
            self._meter.note(call.method.name, perf_counter() - call.taken_at, "")

    def refuse(self, call: Call, fault: Fault) -> None:
        """Answer a call that was begun with an error."""
        self.answer_fault(call.id_json, call.batch, fault)
        if self._meter is not None:
            self._meter.note(call.method.name, perf_counter() - call.taken_at, fault.kind)

    def reply(self, line: bytes, batch: Batch | None, follower: Follower | None = None) -> None:
        """Queue a line, empty for none, or keep it until its batch is whole; then begin what follows."""
        if self.is_closed:
            return
        followers = [] if follower is None else [follower]
        if batch is not None:
            if not batch.settle(line, follower):
                return
            line = encode_batch(batch.lines) if batch.lines else b""
            followers = batch.followers
        if line:
            self._output.append(line)
        for one in followers:
            assert self.nursery is not None
            assert self._streams is not None
            self._streams.begin(self.nursery, one)
