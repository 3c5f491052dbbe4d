"""What every part of the supervisor is given: the store, the paths, the clock, the dice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import msgspec
import trio

from ringmaster.agents.base import Account
from ringmaster.bus import Bus, Wakeup
from ringmaster.model.event import Event
from ringmaster.proc.identity import ProcessIdentity
from ringmaster.queue.lease import Leases
from ringmaster.settings import Paths, Settings
from ringmaster.store import Store


class Surroundings(msgspec.Struct, eq=False):
    """Passed down, never global.

    settings: replaced as a whole when they are read again, so nobody keeps a part of them. settings_read: set then,
        for the one who sleeps by them.
    instance_id: of this state; every adopt, kill, land and prune refuses what belongs to another.
    roots: the daemon and its keepers so far, from which the leftovers of a dead shim descend.
    payers: who pays for each agent, by the agent's name, as it was when one last started.
    leases: of the attempts that somebody has pulled, as they run in this process.
    is_continued: this process ran as another image before, so no time has passed without a daemon.
    starts_left: how many attempts may still be begun while a new release proves itself; None for no such bound.
    rng: tokens come from the system's entropy; simulation passes its own.
    id_rng: what new tasks are called need only differ; the system's entropy costs a call and the interpreter lock.
    """

    store: Store
    bus: Bus[Event]
    paths: Paths
    settings: Settings
    instance_id: str
    roots: Callable[[], tuple[ProcessIdentity, ...]] = tuple
    rng: random.Random = msgspec.field(default_factory=random.SystemRandom)
    id_rng: random.Random = msgspec.field(default_factory=random.Random)
    now: Callable[[], float] = time.time
    payers: dict[str, Account] = {}
    leases: Leases = msgspec.field(default_factory=Leases)
    is_continued: bool = False
    starts_left: int | None = None
    settings_read: Wakeup = msgspec.field(default_factory=Wakeup)
    _repository_locks: dict[str, trio.Lock] = {}

    def repository_lock(self, project_id: str) -> trio.Lock:
        """Held around what moves refs of the daemon's repository of a project: git's own ref locks do not wait."""
        return self._repository_locks.setdefault(project_id, trio.Lock())
