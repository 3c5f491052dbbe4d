"""What a connection keeps of a call and of a batch until they are answered, and how much of it."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from ringmaster.rpc.dispatch import BoundMethod
from ringmaster.rpc.streams import Follower


class Limits(msgspec.Struct, frozen=True):
    """Bounds of one connection.

    in_flight: calls begun or waiting to begin; no more are read until some are answered. streams: open ones.
    output_bytes: unsent answers beyond which nothing more is read. stall_s: a client that takes not a byte
    of its output for so long is dropped. mutation_grace_s: how long a mutation may go on without its client.
    """

    in_flight: int = 128
    streams: int = 32
    output_bytes: int = 1024 * 1024
    stall_s: float = 30.0
    mutation_grace_s: float = 30.0


class Batch:
    """Answers of a batch, until all are there. Members without an answer count too."""

    __slots__ = ("followers", "lines", "remaining")

    def __init__(self, size: int) -> None:
        self.remaining = size
        self.lines: list[bytes] = []
        self.followers: list[Follower] = []

    def settle(self, line: bytes, follower: Follower | None) -> bool:
        """Take a member's answer, empty for none. True: that was the last."""
        self.remaining -= 1
        if line:
            self.lines.append(line)
        if follower is not None:
            self.followers.append(follower)
        return self.remaining == 0


class Call(msgspec.Struct, eq=False):
    """A decoded request that waits for a runner, or has begun.

    id_json: empty for a notification. frame: the document it came as, from which another image can begin it.
    taken_at: of `perf_counter`; 0 where nobody measures. ended: set at its end, where somebody waits for that.
    """

    method: BoundMethod
    params: Any
    id_json: bytes
    batch: Batch | None
    frame: bytes
    taken_at: float
    ended: trio.Event | None = None
