"""Making an attempt's workspace ready: base, branch, files brought along, the project's set-up."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.project import Project
from ringmaster.model.task import Task
from ringmaster.queue.decide import open_decision
from ringmaster.queue.report import begin_work
from ringmaster.store import attempts, projects, tasks
from ringmaster.store.connection import Connection
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.repository import ensure_repository, tip_for
from ringmaster.workspace.snapshot import take_snapshot
from ringmaster.workspace.user_repository import UserRepository, inspect_user_repository
from ringmaster.workspace.workspaces import copy_files, create_workspace, is_on_branch, next_branch

GOES_ON_FROM = ("gate_failed", "needs_decision", "timed_out", "interrupted", "no_changes")
"""After these the next attempt goes on from what the last one had; after the others it begins at the tip."""


class Bench(msgspec.Struct, frozen=True):
    """Everything an attempt is worked on with: the rows, the repositories, the directories."""

    project: Project
    task: Task
    attempt: Attempt
    user: UserRepository
    bare: Path
    workspace: Path
    directory: Path
    copied: tuple[str, ...] = ()


class Rows(msgspec.Struct, frozen=True):
    """The rows an attempt begins with. before: the attempts before it, oldest first."""

    project: Project
    task: Task
    attempt: Attempt
    before: tuple[Attempt, ...]


def read_rows(conn: Connection, attempt_id: str) -> Rows:
    """Read what an attempt needs in one snapshot."""
    attempt = attempts.attempt_by_id(conn, attempt_id)
    before = [a for a in attempts.attempts_of_task(conn, attempt.task_id) if a.number < attempt.number]
    return Rows(
        projects.project_by_id(conn, attempt.project_id),
        tasks.task_by_id(conn, attempt.task_id),
        attempt,
        tuple(before),
    )


async def open_bench(sur: Surroundings, rows: Rows) -> Bench:
    """Look at the user's repository and name the places; nothing is made yet. Raises RingmasterError."""
    project = rows.project
    user = await inspect_user_repository(Path(project.path), project.target)
    return Bench(
        project,
        rows.task,
        rows.attempt,
        user,
        sur.paths.repository(project.id),
        sur.paths.workspace(project.id, rows.task.id),
        sur.paths.attempt(rows.attempt.id),
    )


async def prepare_workspace(sur: Surroundings, bench: Bench, before: tuple[Attempt, ...]) -> Bench:
    """Make the workspace stand on the attempt's branch; the row then names branch and base.

    A row that names them already, and a workspace on that branch, is the work of an earlier entry: the
    files in it may be the agent's by now, so nothing is touched. Raises RingmasterError.
    """
    attempt, workspace = bench.attempt, bench.workspace
    patterns = bench.project.config.copy
    if attempt.base_commit and is_on_branch(workspace, attempt.branch):
        return bench
    branch = f"ringmaster/{bench.task.id}-{attempt.number}"
    workspace.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with sur.repository_lock(bench.project.id):
        await ensure_repository(bench.bare, bench.user)
        tip = await tip_for(bench.bare, bench.user, bench.project.target)
        base, start = tip.commit, None
        last = before[-1] if before else None
        if last is not None and last.outcome in GOES_ON_FROM and last.base_commit and last.head_commit:
            base, start = last.base_commit, last.head_commit
        if workspace.exists() and last is not None:
            await _clear(sur, bench, last)
        if workspace.exists():
            await next_branch(bench.bare, workspace, attempt.id, base, branch, start=start)
        else:
            await create_workspace(bench.bare, workspace, attempt.id, base, branch)
            if start is not None:
                await next_branch(bench.bare, workspace, attempt.id, base, branch, start=start)
    copied = tuple(await copy_files(bench.user.path, workspace, patterns)) if patterns else ()
    row = await sur.store.write(begin_work, attempt.id, attempt.token, branch=branch, base_commit=base)
    return msgspec.structs.replace(bench, attempt=row, copied=copied)


async def _clear(sur: Surroundings, bench: Bench, last: Attempt) -> None:
    """Keep what the last attempt left before the workspace is used again; what cannot be kept is moved aside."""
    snapshot = await take_snapshot(bench.bare, bench.workspace, last.id, sur.now())
    if not snapshot.unkept:
        return
    aside = bench.workspace.with_name(f"{bench.workspace.name}.kept-{last.number}")
    bench.workspace.rename(aside)
    await sur.store.write(_ask_about_unkept, bench.attempt, str(aside), snapshot.unkept, sur)


def _ask_about_unkept(
    conn: Connection, attempt: Attempt, place: str, unkept: tuple[str, ...], sur: Surroundings
) -> None:
    open_decision(
        conn,
        DecisionKind.NOT_KEPT,
        project_id=attempt.project_id,
        question=f"a workspace of {attempt.task_id} could not be kept whole and is now {place}: look, then remove it",
        detail="\n".join(unkept),
        rng=sur.rng,
    )
