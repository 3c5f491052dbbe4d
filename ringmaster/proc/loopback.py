"""Which process holds the other end of a TCP connection of this machine, as `/proc` knows it."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sys
from collections import deque
from enum import StrEnum
from pathlib import Path

import msgspec

RECENT = 16
"""Processes that are looked at first: a page and a script come again and again."""

End = tuple[str, int]


class HolderState(StrEnum):
    """What was found of a connection's other end."""

    FOUND = "found"
    GONE = "gone"
    """It was on this machine, and is closed."""
    HIDDEN = "hidden"
    """It is there, and the process that has it cannot be seen (hidepid, or it is not dumpable)."""
    ELSEWHERE = "elsewhere"
    """It is on another machine, or in another network namespace."""
    UNKNOWN = "unknown"
    """`/proc` has no table in which even this end would be."""


class Holder(msgspec.Struct, frozen=True):
    """Who holds an end. uid: of its socket, -1 unknown. pid, link: where FOUND; the link in /proc that names it."""

    state: HolderState
    uid: int = -1
    pid: int = 0
    link: str = ""
    inode: int = 0

    @property
    def is_current(self) -> bool:
        """Whether the process that was found has that socket still: otherwise its number may be another's by now."""
        return _names(self.link, self.inode)


class LoopbackPeers:
    """Looks for the holders of connections. proc: where the process table is, replaced only in tests."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = os.fspath(proc)
        self._recent: deque[int] = deque(maxlen=RECENT)

    def find(self, local: End, remote: End) -> Holder:
        """Who has the other end of the connection from `local` (this end) to `remote`. Blocking: milliseconds.

        All of /proc is looked through for a process that was not seen lately, the newest first.
        """
        table = self._read_table(local)
        own, other = row_of(table, local, remote), row_of(table, remote, local)
        if other is None or not other.inode:
            is_here = remote[0] == local[0] or ipaddress.ip_address(remote[0]).is_loopback
            if own is None:
                return Holder(HolderState.UNKNOWN)
            return Holder(HolderState.GONE if is_here else HolderState.ELSEWHERE)
        for pid in (*list(self._recent), *self._pids()):
            link = self._link_of(pid, other.inode)
            if link:
                if pid not in self._recent:
                    self._recent.appendleft(pid)
                return Holder(HolderState.FOUND, other.uid, pid, link, other.inode)
        again = row_of(self._read_table(local), remote, local)
        # It may have ended while it was looked for.
        is_there = again is not None and again.inode == other.inode
        return Holder(HolderState.HIDDEN if is_there else HolderState.GONE, other.uid)

    def _read_table(self, end: End) -> str:
        name = "tcp6" if ":" in end[0] else "tcp"
        try:
            with open(f"{self._proc}/net/{name}", encoding="ascii") as file:
                return file.read()
        except OSError:
            return ""

    def _pids(self) -> list[int]:
        return sorted((int(name) for name in os.listdir(self._proc) if name.isdigit()), reverse=True)

    def _link_of(self, pid: int, inode: int) -> str:
        folder = f"{self._proc}/{pid}/fd"
        # It ended meanwhile, or is another user's.
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                if _names(f"{folder}/{name}", inode):
                    return f"{folder}/{name}"
        return ""


class Row(msgspec.Struct, frozen=True):
    """A socket in the table. inode: 0 once its process has closed it."""

    uid: int
    inode: int


def row_of(table: str, local: End, remote: End) -> Row | None:
    """The row of a socket from `local` to `remote` in a text as `/proc/net/tcp` has it. Pure."""
    place = table.find(f": {_hex(local)} {_hex(remote)} ")
    if place < 0:
        return None
    fields = table[place : table.find("\n", place)].split()
    return Row(uid=int(fields[7]), inode=int(fields[9]))


def _hex(end: End) -> str:
    """An address as the kernel prints it: each word of it as a number of this machine."""
    packed = ipaddress.ip_address(end[0].partition("%")[0]).packed
    words = (packed[index : index + 4] for index in range(0, len(packed), 4))
    return "".join(f"{int.from_bytes(word, byteorder=sys.byteorder):08X}" for word in words) + f":{end[1]:04X}"


def _names(link: str, inode: int) -> bool:
    try:
        return os.readlink(link) == f"socket:[{inode}]"
    except OSError:
        return False
