"""Who may do what: decided once, when a connection is accepted, by where the peer stands among the processes.

Not by what it says: an agent inherits and can set any environment, but it cannot leave the tree below its
shim, which is a subreaper. This stops a confused agent, not a hostile one of the same uid.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Right(StrEnum):
    """What a method asks of its caller."""

    NONE = "none"
    """Anyone of the right uid, also one that may do nothing else."""
    READ = "read"
    """Look at state."""
    OPERATE = "operate"
    """Change state as a person does."""
    ATTEMPT = "attempt"
    """Say something about one attempt: the attempt itself (with its token), or a person."""


class CallerKind(StrEnum):
    """What stands at the other end of a connection."""

    OPERATOR = "operator"
    ATTEMPT = "attempt"
    NONE = "none"


RIGHTS: dict[CallerKind, frozenset[Right]] = {
    CallerKind.OPERATOR: frozenset(Right),
    CallerKind.ATTEMPT: frozenset({Right.NONE, Right.READ, Right.ATTEMPT}),
    CallerKind.NONE: frozenset({Right.NONE}),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. attempt_id: only of an attempt; words: why it was decided so, for people.

    is_weakened: the ancestry could not be read to its end, so an attempt may pass for a person.
    """

    kind: CallerKind
    words: str
    attempt_id: str = ""
    pid: int = 0
    is_weakened: bool = False

    @property
    def rights(self) -> frozenset[Right]:
        """What this caller may ask for."""
        return RIGHTS[self.kind]


class Identity(Protocol):
    """A process, not to be mistaken for a later one with its pid: hashable by pid, start time and boot."""

    @property
    def pid(self) -> int:
        """Its process id."""

    def __hash__(self) -> int: ...

    def __eq__(self, other: object, /) -> bool: ...


def decide_caller(
    chain: Sequence[Identity],
    *,
    shims: Mapping[Identity, str],
    daemon: Identity | None,
    keeper: Identity | None,
    nonce_attempt_id: str = "",
) -> Caller:
    """Judge a peer by its ancestors.

    chain: the peer first, then its parents up to pid 1; shorter when one could not be read, empty when the
    peer is gone or in another pid namespace. shims: the live shims of this instance and the attempt each runs.
    nonce_attempt_id: the attempt whose nonce is in the peer's environment; counts only for a cut chain.
    """
    if not chain:
        return Caller(CallerKind.NONE, "its process is gone or cannot be seen from here")
    pid = chain[0].pid
    for process in chain:
        attempt_id = shims.get(process)
        if attempt_id is not None:
            return Caller(CallerKind.ATTEMPT, f"it runs below the shim of attempt {attempt_id}", attempt_id, pid)
    if chain[0] == daemon:
        return Caller(CallerKind.OPERATOR, "it is the daemon itself", pid=pid)
    for process in chain:
        if process in (daemon, keeper):
            name = "daemon" if process == daemon else "keeper"
            return Caller(CallerKind.NONE, f"it descends from the {name} but from no live attempt", pid=pid)
    if chain[-1].pid == 1:
        return Caller(CallerKind.OPERATOR, "it descends from no attempt", pid=pid)
    if nonce_attempt_id:
        return Caller(
            CallerKind.ATTEMPT,
            f"its environment carries the nonce of attempt {nonce_attempt_id}",
            nonce_attempt_id,
            pid,
            is_weakened=True,
        )
    return Caller(
        CallerKind.OPERATOR,
        "its ancestry is hidden from the daemon (hidepid), and it carries no attempt's nonce",
        pid=pid,
        is_weakened=True,
    )


@dataclass(frozen=True, slots=True)
class Peer:
    """The credentials of a peer at the moment it connected (SO_PEERCRED). pid 0: another pid namespace."""

    pid: int
    uid: int
    gid: int


def peer_of(connection: socket.socket) -> Peer:
    """The credentials of a connected Unix socket's other end."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return Peer(*struct.unpack("3i", credentials))


def is_own_uid(peer: Peer) -> bool:
    """Whether the peer's user may speak to this daemon at all: the daemon's own, or root, who can anyhow."""
    return peer.uid in (os.geteuid(), 0)


@dataclass(frozen=True, slots=True)
class Identification:
    """What it takes to say who a peer is: the facts of the instance, each read anew for each connection.

    ancestry: a pid's chain as `decide_caller` wants it; must read start times before and after its walk.
    shims: live shims now. nonce_attempt_id: the attempt whose nonce a pid's environment carries, or "".
    """

    ancestry: Callable[[int], Sequence[Identity]]
    shims: Callable[[], Mapping[Identity, str]]
    daemon: Identity | None = None
    keeper: Callable[[], Identity | None] = lambda: None
    nonce_attempt_id: Callable[[int], str] = lambda pid: ""

    def identify(self, peer: Peer) -> Caller:
        """Decide who a peer is: a walk up `/proc`, some 50 µs a level. Nothing is cached, for pids recur."""
        chain = self.ancestry(peer.pid) if peer.pid > 0 else ()
        is_cut = bool(chain) and chain[-1].pid != 1
        return decide_caller(
            chain,
            shims=self.shims(),
            daemon=self.daemon,
            keeper=self.keeper(),
            nonce_attempt_id=self.nonce_attempt_id(peer.pid) if is_cut else "",
        )
