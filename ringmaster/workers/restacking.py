"""Parked work whose target went another way: merge the stack onto it and gate it again."""

from __future__ import annotations

from pathlib import Path

from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report as reporting
from ringmaster.queue.decide import pause_project
from ringmaster.store.connection import Connection
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.gate import find_receipt, run_gate
from ringmaster.workers.landing import note_parked
from ringmaster.workers.preparing import Bench
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.landing import Landed, Parked, land
from ringmaster.workspace.merge import Conflict, History, NothingToLand, make_landing_commit
from ringmaster.workspace.obstacles import UpdateCheckout
from ringmaster.workspace.repository import Tip


async def restack(sur: Surroundings, bench: Bench, control: AttemptControl, checkout: Path, tip: Tip) -> bool:
    """Merge the parked stack onto the target, gate that commit and land or park it. True when there is a new tip.

    It runs on behalf of the attempt at the head of the lane, in whose directory its gate's job lies. A conflict
    or a red gate pauses the project and is one decision; the attempt goes back to the queue uncounted.
    """
    assert tip.parked is not None
    project = bench.project
    async with sur.repository_lock(project.id):
        made = await make_landing_commit(
            bench.bare,
            checkout,
            bench.attempt.id,
            tip.target,
            tip.parked,
            history=History.MERGE,
            message=f"Bring landed work onto {project.target}\n",
            trailers={"Ringmaster-Project": project.id},
            at=bench.attempt.lane_at,
            cache_paths=project.config.cache,
        )
    if isinstance(made, NothingToLand):
        return True
    if isinstance(made, Conflict):
        where = ", ".join(made.files[:5]) or "unrelated histories"
        words = f"landed work and {project.target} went apart and do not merge: {where}"
        await sur.store.write_essential(_stop, bench.attempt, words, _how_to_mend(bench), sur)
        return False
    if project.config.gate and await find_receipt(sur, bench, made.commit) is None:
        run = await run_gate(sur, bench, control, checkout, made.commit, prefix="restack-gate")
        if run is None:
            return False
        if not run.is_green:
            words = f"landed work on top of the new {project.target} does not pass its gate: {run.words}"
            await sur.store.write_essential(_stop, bench.attempt, words, _how_to_mend(bench), sur)
            return False
    async with sur.repository_lock(project.id):
        done = await land(
            bench.bare,
            bench.user,
            project.target,
            tip.target,
            made.commit,
            UpdateCheckout(project.config.update_checkout),
        )
    if isinstance(done, Landed | Parked):
        parked = done.commit if isinstance(done, Parked) else ""
        await sur.store.write_essential(note_parked, project.id, parked)
    return True


def _how_to_mend(bench: Bench) -> str:
    branch = f"ringmaster/landed/{bench.project.target}"
    return f"git -C {bench.user.path} merge {branch}\nthen: rmctl project edit {bench.project.id} --resume"


def _stop(conn: Connection, attempt: Attempt, words: str, detail: str, sur: Surroundings) -> None:
    pause_project(
        conn,
        attempt.project_id,
        DecisionKind.DIVERGED,
        question=f"{attempt.project_id} is paused: {words}",
        reason=words,
        detail=detail,
        rng=sur.rng,
    )
    reporting.end_attempt(conn, attempt.id, attempt.token, Outcome.INTERRUPTED, words, rng=sur.rng)
