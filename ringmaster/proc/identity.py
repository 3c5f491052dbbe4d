"""Who a process is, whether it lives, and from whom it descends."""

from __future__ import annotations

import os
import socket
import struct
from enum import StrEnum
from functools import cache
from typing import Protocol

import msgspec

from ringmaster.proc import shim_procfs
from ringmaster.proc.shim_child import NONCE_VARIABLE
from ringmaster.proc.shim_procfs import Stat, read_small, read_stat

ANCESTRY_TRIES = 5
ANCESTRY_MOST = 1000


class ProcessIdentity(msgspec.Struct, frozen=True):
    """Names one process for ever. `start_time` is in clock ticks since the boot `boot_id`."""

    pid: int
    start_time: int
    boot_id: str

    @property
    def key(self) -> tuple[int, int]:
        """(pid, start time), as snapshots of /proc name processes."""
        return self.pid, self.start_time


@cache
def current_boot_id() -> str:
    """The id of this boot."""
    return shim_procfs.read_boot_id()


def read_identity(pid: int) -> ProcessIdentity | None:
    """Identity of `pid`, zombies included; None when it is gone or hidden."""
    stat = read_stat(pid)
    return None if stat is None else ProcessIdentity(stat.pid, stat.start_time, current_boot_id())


def own_identity() -> ProcessIdentity:
    """Identity of this process. It stays the same through exec."""
    identity = read_identity(os.getpid())
    assert identity is not None, "/proc must be mounted"
    return identity


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether exactly this process is there and not a zombie."""
    if identity.boot_id != current_boot_id():
        return False
    stat = read_stat(identity.pid)
    return stat is not None and stat.start_time == identity.start_time and not stat.is_dead


class AncestryEnd(StrEnum):
    """Why a chain of ancestors ends where it does."""

    TOP = "top"
    """At a process without a parent here: pid 1, or the top of a pid namespace."""
    GONE = "gone"
    """The process asked about is not there (any more), or pid 0: another namespace."""
    HIDDEN = "hidden"
    """The next parent exists and cannot be seen (hidepid)."""


class Ancestry(msgspec.Struct, frozen=True):
    """The process itself and its ancestors, nearest first, and why there are no more."""

    chain: tuple[ProcessIdentity, ...]
    end: AncestryEnd


def ancestry(pid: int) -> Ancestry:
    """Walk from `pid` up to pid 1.

    A pid on the way can be reused between two readings, so each child is read again after its
    parent: unless it still has that start time and that parent, the walk begins anew. A chain that will not
    hold still after several tries is GONE, which grants nothing.
    """
    for _ in range(ANCESTRY_TRIES):
        found = _walk(pid)
        if found is not None:
            return found
    return Ancestry((), AncestryEnd.GONE)


def _walk(pid: int) -> Ancestry | None:
    """One try of `ancestry`; None when the tree changed under it."""
    boot_id = current_boot_id()
    stat = read_stat(pid) if pid > 0 else None
    if stat is None or stat.is_dead:
        return Ancestry((), AncestryEnd.GONE)
    chain = [ProcessIdentity(stat.pid, stat.start_time, boot_id)]
    while stat.parent != 0 and len(chain) < ANCESTRY_MOST:
        parent = read_stat(stat.parent)
        if not _is_unchanged(stat):
            return None
        if parent is None:
            return Ancestry(tuple(chain), AncestryEnd.HIDDEN)
        chain.append(ProcessIdentity(parent.pid, parent.start_time, boot_id))
        stat = parent
    return Ancestry(tuple(chain), AncestryEnd.TOP)


def _is_unchanged(before: Stat) -> bool:
    after = read_stat(before.pid)
    return after is not None and after.key == before.key and after.parent == before.parent


class PeerCredentials(msgspec.Struct, frozen=True):
    """Who connected to a Unix socket, as the kernel noted it at connect time. pid 0: not of this namespace."""

    pid: int
    uid: int
    gid: int


class _HasSocketOptions(Protocol):
    def getsockopt(self, level: int, option: int, length: int, /) -> bytes: ...


def peer_credentials(peer: _HasSocketOptions) -> PeerCredentials:
    """SO_PEERCRED of a connected Unix socket, standard library's or trio's."""
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return PeerCredentials(*struct.unpack("3i", raw))


def read_nonce(pid: int) -> str | None:
    """The job nonce in the environment that `pid` was started with; None without or where unreadable."""
    prefix = NONCE_VARIABLE.encode() + b"="
    for entry in (read_small(f"/proc/{pid}/environ") or b"").split(b"\0"):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode(errors="replace")
    return None
