"""The instance whose code is replaced: what every part of reloading works with."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec

from ringmaster.bus import Bus
from ringmaster.model.event import Event
from ringmaster.proc.identity import ProcessIdentity
from ringmaster.settings import Paths, Settings
from ringmaster.store import Store


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """Passed down; nothing in it is closed here.

    settings: those that hold now. id: of this state; what belongs to another is left alone. roots: the daemon and its
    keepers so far, from which the leftovers of a dead shim descend. rng: ids of questions and tasks come from it.
    """

    store: Store
    bus: Bus[Event]
    paths: Paths
    settings: Callable[[], Settings]
    id: str
    roots: Callable[[], tuple[ProcessIdentity, ...]]
    rng: random.Random
