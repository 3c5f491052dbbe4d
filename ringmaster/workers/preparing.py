"""Making an attempt's workspace ready: base, branch, files brought along, the project's set-up."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.project import Project
from ringmaster.model.task import Task
from ringmaster.queue.decide import open_decision
from ringmaster.queue.lease import branch_of, workspace_of
from ringmaster.queue.report import begin_work
from ringmaster.store import attempts, decisions, projects, tasks
from ringmaster.store.connection import Connection
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.repository import ensure_repository, tip_for
from ringmaster.workspace.snapshot import take_snapshot
from ringmaster.workspace.user_repository import UserRepository, inspect_user_repository
from ringmaster.workspace.workspaces import copy_files, create_workspace, next_branch

GOES_ON_FROM = ("gate_failed", "needs_decision", "timed_out", "interrupted", "no_changes")
"""After these the next attempt goes on from what the last one had; after the others it begins at the tip."""


class ProjectTrouble(RingmasterError):
    """What went wrong is the project's: its row, or the user's repository. No attempt can do anything about it."""


class Bench(msgspec.Struct, frozen=True):
    """Everything an attempt is worked on with: the rows, the repositories, the directories."""

    project: Project
    task: Task
    attempt: Attempt
    user: UserRepository
    bare: Path
    workspace: Path
    directory: Path


class Rows(msgspec.Struct, frozen=True):
    """The rows an attempt begins with. before: the attempts before it, oldest first."""

    project: Project
    task: Task
    attempt: Attempt
    before: tuple[Attempt, ...]


def read_rows(conn: Connection, attempt_id: str) -> Rows:
    """Read what an attempt needs in one snapshot. Raises ProjectTrouble for a project whose row is damaged."""
    attempt = attempts.attempt_by_id(conn, attempt_id)
    # Earlier rows are only looked at: a damaged one must not keep the task from ever running again.
    before = [a for a in attempts.salvaged_of_task(conn, attempt.task_id) if a.number < attempt.number]
    with _blaming_project(attempt.project_id):
        project = projects.project_by_id(conn, attempt.project_id)
    return Rows(project, tasks.task_by_id(conn, attempt.task_id), attempt, tuple(before))


@contextlib.contextmanager
def _blaming_project(project_id: str) -> Iterator[None]:
    try:
        yield
    except RingmasterError as error:
        raise ProjectTrouble(error.kind, error.message, error.hint) from error
    except OSError as error:
        raise ProjectTrouble(ErrorKind.INTERNAL, str(error)) from error


async def open_bench(sur: Surroundings, rows: Rows, *, is_target_needed: bool = True) -> Bench:
    """Look at the user's repository and name the places; nothing is made yet.

    is_target_needed: False also takes a repository whose target branch is gone. Raises ProjectTrouble.
    """
    project = rows.project
    with _blaming_project(project.id):
        try:
            user = await inspect_user_repository(Path(project.path), project.target)
        except RingmasterError:
            if is_target_needed:
                raise
            user = await inspect_user_repository(Path(project.path))
    return Bench(
        project,
        rows.task,
        rows.attempt,
        user,
        sur.paths.repository(project.id),
        workspace_of(rows.attempt, sur.paths),
        sur.paths.attempt(rows.attempt.id),
    )


async def prepare_workspace(sur: Surroundings, bench: Bench, before: tuple[Attempt, ...]) -> Bench:
    """Make the workspace stand on the attempt's branch; the row then names branch and base.

    A row that names them already is the work of an earlier entry: the workspace may be the agent's by now, who
    may have left the branch, so nothing is touched. Raises RingmasterError.
    """
    attempt, workspace = bench.attempt, bench.workspace
    patterns = bench.project.config.copy
    if attempt.base_commit and is_workspace(workspace):
        return bench
    branch = branch_of(attempt)
    workspace.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with sur.repository_lock(bench.project.id):
        with _blaming_project(bench.project.id):
            await ensure_repository(bench.bare, bench.user)
            tip = await tip_for(bench.bare, bench.user, bench.project.target)
        base, start = tip.commit, None
        last = before[-1] if before else None
        if last is not None and last.outcome in GOES_ON_FROM and last.base_commit and last.head_commit:
            base, start = last.base_commit, last.head_commit
        if is_impostor(workspace):
            await _set_impostor_aside(sur, bench)
        if workspace.exists() and last is not None:
            await _clear(sur, bench, last)
        if workspace.exists():
            await next_branch(bench.bare, workspace, attempt.id, base, branch, start=start)
        else:
            await create_workspace(bench.bare, workspace, attempt.id, base, branch)
            if start is not None:
                await next_branch(bench.bare, workspace, attempt.id, base, branch, start=start)
    if patterns:
        await copy_files(bench.user.path, workspace, patterns)
    # Essential, as is every write of an attempt that has begun: a full disk stops what is new, not what runs.
    row = await sur.store.write_essential(begin_work, attempt.id, attempt.token, branch=branch, base_commit=base)
    return msgspec.structs.replace(bench, attempt=row)


def is_workspace(path: Path) -> bool:
    """Whether a workspace can be there: a directory, and no link to one, which might be anybody's."""
    return path.is_dir() and not path.is_symlink()


def is_impostor(path: Path) -> bool:
    """Whether something that is no workspace has taken its place."""
    return os.path.lexists(path) and not is_workspace(path)


def _free_name(place: Path, number: int) -> Path:
    aside = place.with_name(f"{place.name}.kept-{number}")
    while os.path.lexists(aside):
        aside = aside.with_name(f"{aside.name}x")
    return aside


async def _set_impostor_aside(sur: Surroundings, bench: Bench) -> None:
    """Move a file or link that has taken the workspace's place out of the way, and tell a person: it is not deleted."""
    place = bench.workspace
    aside = _free_name(place, bench.attempt.number)
    question = (
        f"in place of the workspace of {bench.task.id} there was something that is no directory; it is now {aside}:"
        " look, then remove it"
    )
    await sur.store.write_essential(_ask_about_kept, bench.attempt, question, (), sur)
    place.rename(aside)


async def _clear(sur: Surroundings, bench: Bench, last: Attempt) -> None:
    """Keep what the last attempt left before the workspace is used again; what cannot be kept is moved aside."""
    snapshot = await take_snapshot(bench.bare, bench.workspace, last.id, sur.now())
    if not snapshot.unkept:
        return
    aside = bench.workspace.with_name(f"{bench.workspace.name}.kept-{last.number}")
    # Asked before it is moved: killed in between, the next entry finds the question and moves it then.
    question = f"a workspace of {bench.task.id} could not be kept whole and is now {aside}: look, then remove it"
    await sur.store.write_essential(_ask_about_kept, bench.attempt, question, snapshot.unkept, sur)
    bench.workspace.rename(aside)


def _ask_about_kept(
    conn: Connection, attempt: Attempt, question: str, unkept: tuple[str, ...], sur: Surroundings
) -> None:
    if any(known.question == question for known in decisions.salvaged_open(conn, 1000)):
        return
    open_decision(
        conn,
        DecisionKind.NOT_KEPT,
        project_id=attempt.project_id,
        question=question,
        detail="\n".join(unkept),
        rng=sur.rng,
    )
