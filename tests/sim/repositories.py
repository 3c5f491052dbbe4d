"""Stands in for git where the real steps of a landing move a ref: it can fail, and be cut short before and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.workers import landing
from ringmaster.workspace.landing import Blocked, Landed, Parked, TargetMoved

if TYPE_CHECKING:
    from tests.sim.lives import LifeStore
    from tests.sim.world import World

REF = "main"


class SimulatedRepository:
    """A user's repository as one landing sees it, while the life that it belongs to lasts."""

    common_dir = Path("/nonexistent")

    def __init__(self, world: World, store: LifeStore, attempt: Attempt) -> None:
        self._world = world
        self._store = store
        self._attempt = attempt

    async def land(self, new: str) -> Landed | Parked | TargetMoved | Blocked:
        """Move the target, or say why not; a life may end on either side of it."""
        world = self._world
        if new in world.moved:
            return Landed(REF, new)
        await self._store.hold_up()
        chance = world.rng.random()
        if chance < 0.15:
            return TargetMoved(REF, "f" * 40)
        if chance < 0.2:
            return Blocked("its target is gone", "make it")
        if chance < 0.27:
            raise RingmasterError(ErrorKind.WRONG_STATE, "git failed", "look")
        world.moved[new] = self._attempt.id
        world.tell(f"{self._attempt.id} has moved its target")
        await self._store.hold_up()
        return Parked(REF, new, "it is checked out", "merge") if world.rng.random() < 0.2 else Landed(REF, new)

    def find(self, new: str) -> Landed | None:
        """Where a commit has got to."""
        return Landed(REF, new) if new in self._world.moved else None


async def _land(bare: Path, user: Any, target: str, old: str, new: str, update_checkout: object) -> Any:
    return await user.land(new)


async def _where_landed(  # noqa: ASYNC124 - in the place of one that waits for git
    bare: Path, user: Any, target: str, new: str
) -> Landed | None:
    found: Landed | None = user.find(new)
    return found


async def _foreign(sur: object, common_dir: Path) -> None:  # noqa: ASYNC124 - in the place of one that reads files
    return None


@contextmanager
def standing_in() -> Iterator[None]:
    """Inside of the block landings move the refs of simulated repositories."""
    stand_ins = {"land": _land, "where_landed": _where_landed, "_foreign": _foreign}
    replaced = {name: getattr(landing, name) for name in stand_ins}
    vars(landing).update(stand_ins)
    try:
        yield
    finally:
        vars(landing).update(replaced)
