"""Parked work whose target went another way: merge the stack onto it and gate it again."""

from __future__ import annotations

from pathlib import Path

from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report as reporting
from ringmaster.queue.decide import pause_project
from ringmaster.store.connection import Connection
from ringmaster.workers.checkout import read_standing_use, take_checkout
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.gate import find_receipt, note_gate, run_gate
from ringmaster.workers.landing import ask_about_block, note_parked
from ringmaster.workers.preparing import Bench
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.git import run_git
from ringmaster.workspace.landing import Blocked, Landed, Parked, drop_parked, land
from ringmaster.workspace.merge import Conflict, History, LandingCommit, NothingToLand, make_landing_commit
from ringmaster.workspace.obstacles import UpdateCheckout
from ringmaster.workspace.repository import Tip

PREFIX = "restack-gate"


async def restack(sur: Surroundings, bench: Bench, control: AttemptControl, checkout: Path, tip: Tip) -> bool | None:
    """Merge the parked stack onto the target, gate that commit and land or park it.

    None when there is a new tip, True when the attempt has ended or waits for a person, False when the gate was ended.
    It runs on behalf of the attempt at the head of the lane, in whose directory its gate's job lies. A conflict
    or a red gate pauses the project and is one decision; the attempt goes back to the queue uncounted.
    """
    assert tip.parked is not None
    project = bench.project
    made = await _make_commit(sur, bench, checkout, tip, tip.parked)
    if isinstance(made, NothingToLand):
        # The user took the content by another way (a squash, a cherry-pick): there is nothing left to bring over.
        async with sur.repository_lock(project.id):
            await drop_parked(bench.bare, bench.user, project.target, tip.parked)
            await sur.store.write_essential(note_parked, project.id, "")
        return None
    if isinstance(made, Conflict):
        where = ", ".join(made.files[:5]) or "unrelated histories"
        words = f"landed work and {project.target} went apart and do not merge: {where}"
        await sur.store.write_essential(_stop, bench.attempt, words, _how_to_mend(bench), sur)
        return True
    if project.config.gate and await find_receipt(sur, bench, made.commit) is None:
        run = await run_gate(sur, bench, control, checkout, made.commit, prefix=PREFIX)
        if run is None:
            return False
        if not run.is_green:
            words = f"landed work on top of the new {project.target} does not pass its gate: {run.words}"
            await sur.store.write_essential(_stop, bench.attempt, words, _how_to_mend(bench), sur)
            return True
    return await _land(sur, bench, tip, made.commit)


async def _make_commit(
    sur: Surroundings, bench: Bench, checkout: Path, tip: Tip, parked: str
) -> LandingCommit | Conflict | NothingToLand:
    """The merge of the stack onto the target; one whose gate was begun is left as it stands in the checkout."""
    use = await read_standing_use(checkout)
    if use is not None and (use.attempt_id, use.prefix) == (bench.attempt.id, PREFIX):
        found = await run_git("rev-list", "--parents", "-n1", use.commit, git_dir=bench.bare, ok=(0, 128))
        if found.text.split()[1:] == [tip.target, parked]:
            return LandingCommit(commit=use.commit, tree="")
    await take_checkout(sur, checkout)
    async with sur.repository_lock(bench.project.id):
        made = await make_landing_commit(
            bench.bare,
            checkout,
            bench.attempt.id,
            tip.target,
            parked,
            history=History.MERGE,
            message=f"Bring landed work onto {bench.project.target}\n",
            trailers={"Ringmaster-Project": bench.project.id},
            at=bench.attempt.lane_at,
            cache_paths=bench.project.config.cache,
        )
    if isinstance(made, LandingCommit):
        await note_gate(bench, checkout, made.commit, prefix=PREFIX, work="")
    return made


async def _land(sur: Surroundings, bench: Bench, tip: Tip, commit: str) -> bool | None:
    target, update = bench.project.target, UpdateCheckout(bench.project.config.update_checkout)
    async with sur.repository_lock(bench.project.id):
        done = await land(bench.bare, bench.user, target, tip.target, commit, update)
        if isinstance(done, Landed | Parked):
            parked = done.commit if isinstance(done, Parked) else ""
            await sur.store.write_essential(note_parked, bench.project.id, parked)
    if isinstance(done, Blocked):
        await sur.store.write_essential(ask_about_block, bench, done, sur)
        return True
    return None


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
