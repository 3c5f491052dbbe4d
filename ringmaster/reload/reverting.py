"""The lane that a bad release closed: reverting the commit when a person says so, opening it when the target is good.

All that is to be done follows from the rows and from what the target says, so a kill at any moment repeats it: the
same revert is the same commit.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import trio

from ringmaster.bus import Wakeup
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.generation import StageResult
from ringmaster.queue import bad_release
from ringmaster.queue.bad_release import Closed
from ringmaster.reload.evidence import find_commits, find_good
from ringmaster.reload.instance import Instance
from ringmaster.reload.revert_gate import RevertGate, judge_revert
from ringmaster.reload.reverted import Reverted, find_reverted, make_revert
from ringmaster.reload.snapshot import CANDIDATES, open_trees
from ringmaster.reload.watching import self_project
from ringmaster.workspace.landing import Blocked, Landed, Parked, TargetMoved, land, take_command
from ringmaster.workspace.obstacles import UpdateCheckout
from ringmaster.workspace.ownership import Owner, foreign_owner
from ringmaster.workspace.refs import is_ancestor
from ringmaster.workspace.repository import Tip, ensure_repository, tip_for
from ringmaster.workspace.user_repository import UserRepository, inspect_user_repository

log = logging.getLogger("ringmaster.reload")

TRIES = 5
WAKES = ("decision.answered", "generation.good", "generation.bad", "generation.restored", "project.unparked")


class Ground(NamedTuple):
    """Where it is reverted: the daemon's repository and the user's, and where the next landing goes on top."""

    bare: Path
    user: UserRepository
    tip: Tip


class Reverting:
    """One trio task. lock_of: held around what moves refs of a project."""

    def __init__(self, instance: Instance, *, lock_of: Callable[[str], trio.Lock]) -> None:
        self._store = instance.store
        self._bus = instance.bus
        self._paths = instance.paths
        self._instance_id = instance.id
        self._roots = instance.roots
        self._lock_of = lock_of
        self._rng = instance.rng
        self._wakeup = Wakeup()

    def wake(self) -> None:
        """The target may have moved."""
        self._wakeup.set()

    async def run(self) -> None:
        """Look at once, and after whatever may have changed something, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._wake_on_events)
            self._wakeup.set()
            while True:
                await self._wakeup.wait()
                try:
                    await self._look()
                except (RingmasterError, OSError) as error:
                    # The next hint or answer is the next look.
                    log.warning("the lane that a bad release closed stays so: %s", error)

    async def _wake_on_events(self) -> None:
        with self._bus.open_subscription(lambda event: event.type in WAKES) as events:
            while True:
                await events.receive_batch()
                self._wakeup.set()

    async def _look(self) -> None:
        project = await self._store.read(self_project)
        closed = await self._store.read(bad_release.find_closed, project.id) if project is not None else None
        if closed is None or await self._is_opened(closed) or not closed.is_revert_wanted:
            return
        try:
            await self._revert(closed)
        except RingmasterError as error:
            log.warning("generation %d could not be reverted: %s", closed.generation.id, error.message)
            await self._store.write_essential(bad_release.refuse_revert, closed, error.message, rng=self._rng)
            return
        await self._is_opened(closed)

    async def _is_opened(self, closed: Closed) -> bool:
        """Open the lane where the target has the content of a good generation."""
        project = closed.project
        user = await inspect_user_repository(Path(project.path), project.target)
        trees = await open_trees(self._paths.state, user.common_dir)
        good = await find_good(self._store, trees, user.target_commit)
        if good is None:
            return False
        await self._note_landed(closed, trees, user.target_commit)
        words = f"{project.target} is at {user.target_commit[:12]}, which is what generation {good.id} is made of"
        if await self._store.write_essential(bad_release.open_lane, closed, words):
            log.info("the lane of %s is open again: %s", project.id, words)
        return True

    async def _note_landed(self, closed: Closed, trees: Path, target: str) -> None:
        """Tell of the revert that has opened the lane where a kill came between the ref and the telling."""
        commit = closed.generation.commit
        if not closed.is_revert_wanted or not await is_ancestor(trees, commit, target):
            return
        done = await find_reverted(trees, commit, target)
        if done and done[:12] not in closed.project.paused_reason:
            await self._store.write_essential(bad_release.note_revert, closed, done)

    async def _revert(self, closed: Closed) -> None:
        """Revert on top of the tip, gate it, land it. Raises RingmasterError for what only a person can mend."""
        project = closed.project
        trees = await open_trees(self._paths.state, Path(project.common_dir))
        commits = await find_commits(self._store, trees, closed.generation.commit)
        for _ in range(TRIES):
            async with self._lock_of(project.id):
                ground = await self._open_ground(closed)
                done = await find_reverted(ground.bare, commits[0], ground.tip.commit)
                if done:
                    is_landed = await is_ancestor(ground.bare, done, ground.tip.target)
                    parked = "" if is_landed else take_command(ground.user, project.target)
                    await self._store.write_essential(bad_release.note_revert, closed, done, parked=parked)
                    return
                made = await make_revert(
                    ground.bare, self._checkout, ground.tip.commit, commits, closed.generation, closed.decision
                )
            await self._judge(closed, made)
            if await self._land(closed, ground, made):
                return
        raise RingmasterError(ErrorKind.CONFLICT, f"'{project.target}' moves faster than the gate runs", "")

    @property
    def _checkout(self) -> Path:
        # Not the lane's: a gate that was begun before the lane closed may stand on that.
        return self._paths.state / CANDIDATES / "revert"

    async def _open_ground(self, closed: Closed) -> Ground:
        """Raises RingmasterError: the repository is another instance's, or no longer has the commit on its target."""
        project = closed.project
        user = await inspect_user_repository(Path(project.path), project.target)
        owner = Owner(self._instance_id, self._paths.name, str(self._paths.state))
        other = await trio.to_thread.run_sync(foreign_owner, user.common_dir, owner)
        if other is not None:
            words = f"{user.common_dir} belongs to the ringmaster instance '{other.state_name}' ({other.state_dir})"
            raise RingmasterError(ErrorKind.REFUSED, words, "")
        bare = self._paths.repository(project.id)
        await ensure_repository(bare, user)
        tip = await tip_for(bare, user, project.target)
        if not await is_ancestor(bare, closed.generation.commit, tip.commit):
            words = f"'{project.target}' does not contain {closed.generation.commit[:12]} any more"
            raise RingmasterError(ErrorKind.REFUSED, words, "")
        return Ground(bare, user, tip)

    async def _judge(self, closed: Closed, made: Reverted) -> None:
        """The project's gate on the revert; a tree on which it passed before is not run again. Raises REFUSED."""
        gate = RevertGate(self._store, self._paths, self._instance_id, tuple(self._roots()))
        receipt = await judge_revert(gate, closed, made)
        if receipt.result not in (StageResult.PASSED, StageResult.SKIPPED):
            raise RingmasterError(ErrorKind.REFUSED, f"its gate: {receipt.words.splitlines()[0]}", "")
        log.info("the revert %s of generation %d may land: %s", made.commit[:12], closed.generation.id, receipt.words)

    async def _land(self, closed: Closed, ground: Ground, made: Reverted) -> bool:
        """Move the target, or park it; False when the target has moved. Raises REFUSED."""
        project = closed.project
        update_checkout = UpdateCheckout(project.config.update_checkout)
        async with self._lock_of(project.id):
            done = await land(ground.bare, ground.user, project.target, ground.tip.target, made.commit, update_checkout)
            if isinstance(done, Landed | Parked):
                parked = done.command if isinstance(done, Parked) else ""
                await self._store.write_essential(bad_release.note_revert, closed, done.commit, parked=parked)
                where = f"waits beside {project.target}, take it by: {parked}" if parked else f"is on {project.target}"
                log.info("the revert %s of generation %d %s", made.commit[:12], closed.generation.id, where)
                return True
        if isinstance(done, Blocked):
            by_hand = f"git -C {shlex.quote(project.path)} revert"
            raise RingmasterError(ErrorKind.REFUSED, f"{done.reason} ({done.hint}; or {by_hand})", "")
        assert isinstance(done, TargetMoved)
        return False
