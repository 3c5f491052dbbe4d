"""What was read of a connection and is to be carried out, here or in another image."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import TypeAlias

import msgspec

from ringmaster.protocol.framing import Overlong
from ringmaster.rpc.calls import Batch, Call
from ringmaster.rpc.handoff import HandedBatch, HandedConnection, HandedFrame
from ringmaster.rpc.streams import make_follower

Item: TypeAlias = bytes | Overlong | tuple[bytes, Batch]
"""A document, what stands for an overlong one, or a member of a batch."""

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def pack(calls: Iterable[Call], items: Iterable[Item]) -> tuple[tuple[HandedFrame, ...], tuple[HandedBatch, ...]]:
    """Calls that were taken and are begun elsewhere, then items, with the batches they are members of."""
    numbers: dict[Batch, int] = {}
    frames: list[HandedFrame] = []

    def add(data: bytes, batch: Batch | None) -> None:
        number = -1 if batch is None else numbers.setdefault(batch, len(numbers))
        frames.append(HandedFrame(data=data, batch=number))

    for call in calls:
        add(frame_of_rest(call), call.batch)
    for item in items:
        if isinstance(item, Overlong):
            frames.append(HandedFrame(overlong=item.limit))
        elif isinstance(item, tuple):
            add(*item)
        else:
            add(item, None)
    batches = (
        HandedBatch(
            lines=tuple(batch.lines),
            followers=tuple(follower.to_handed() for follower in batch.followers),
        )
        for batch in numbers
    )
    return tuple(frames), tuple(batches)


def frame_of_rest(call: Call) -> bytes:
    """The document from which another image begins a call, which waits there only for what is left of its time."""
    timeout_s = getattr(call.params, "timeout_s", None)
    if timeout_s is None or not call.taken_at:
        return call.frame
    left_s = max(0.0, timeout_s - (perf_counter() - call.taken_at))
    params = msgspec.Raw(msgspec.json.encode(msgspec.structs.replace(call.params, timeout_s=left_s)))
    return msgspec.json.encode(_MEMBERS.decode(call.frame) | {"params": params})


def unpack(handed: HandedConnection) -> list[Item]:
    """The items of a connection that was handed over."""
    batches = [Batch(0) for _ in handed.batches]
    for batch, told in zip(batches, handed.batches, strict=True):
        batch.lines.extend(told.lines)
        batch.followers.extend(make_follower(stream) for stream in told.followers)
    items: list[Item] = []
    for frame in handed.frames:
        if frame.overlong:
            items.append(Overlong(frame.overlong))
        elif 0 <= frame.batch < len(batches):
            # What is not answered is what has a frame.
            batches[frame.batch].remaining += 1
            items.append((frame.data, batches[frame.batch]))
        else:
            items.append(frame.data)
    return items
