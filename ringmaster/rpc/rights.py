"""Who may do what: decided once, when a connection is accepted, by where the peer stands among the processes.

Not by what it says: an agent inherits and can set any environment, but it cannot leave the tree below its
shim, which is a subreaper. This stops a confused agent, not a hostile one of the same uid.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from enum import StrEnum

import msgspec

from ringmaster.proc.identity import (
    Ancestry,
    AncestryEnd,
    PeerCredentials,
    ProcessIdentity,
    ancestry,
    read_nonce,
)


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


class Caller(msgspec.Struct, frozen=True):
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


def decide_caller(
    ancestry: Ancestry,
    *,
    shims: Mapping[ProcessIdentity, str],
    daemon: ProcessIdentity | None,
    keeper: ProcessIdentity | None,
    nonce_attempt_id: str = "",
) -> Caller:
    """Judge a peer by its ancestors. Pure.

    ancestry: the peer and its parents. shims: the live shims of this instance and the attempt each runs.
    nonce_attempt_id: the attempt whose nonce is in the peer's environment; counts only for a hidden ancestry.
    """
    chain = ancestry.chain
    if not chain or ancestry.end is AncestryEnd.GONE:
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
    if ancestry.end is AncestryEnd.TOP:
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


def is_own_uid(peer: PeerCredentials) -> bool:
    """Whether the peer's user may speak to this daemon at all: the daemon's own, or root, who can anyhow."""
    return peer.uid in (os.geteuid(), 0)


class Identification(msgspec.Struct, frozen=True):
    """What it takes to say who a peer is: the facts of the instance, each asked for anew per connection.

    shims: the live shims now, and the attempt each runs. attempt_of_nonce: the attempt a job's nonce belongs
    to, or "". ancestry, nonce: how /proc is read; replaced only in tests.
    """

    shims: Callable[[], Mapping[ProcessIdentity, str]]
    daemon: ProcessIdentity | None
    keeper: Callable[[], ProcessIdentity | None]
    attempt_of_nonce: Callable[[str], str]
    ancestry: Callable[[int], Ancestry] = ancestry
    nonce: Callable[[int], str | None] = read_nonce

    def identify(self, peer: PeerCredentials) -> Caller:
        """Decide who a peer is: a walk up `/proc`, some 50 µs a level. Nothing is cached, for pids recur."""
        found = self.ancestry(peer.pid)
        nonce = self.nonce(peer.pid) if found.end is AncestryEnd.HIDDEN else None
        return decide_caller(
            found,
            shims=self.shims(),
            daemon=self.daemon,
            keeper=self.keeper(),
            nonce_attempt_id=self.attempt_of_nonce(nonce) if nonce else "",
        )
