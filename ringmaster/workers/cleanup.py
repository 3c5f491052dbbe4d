"""Garbage collection: what ended tasks left, once it has been kept for `keep_days`.

The order is fixed: a snapshot, then the workspace, then files of attempts, then the homes of agents, then refs, then
objects. A workspace that cannot be kept whole stays, and a person is asked once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import trio

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import RingmasterError
from ringmaster.model.ids import make_attempt_id
from ringmaster.model.states import ENDED_TASK_STATES
from ringmaster.protocol.daemon import GcResult
from ringmaster.queue.decide import open_decision
from ringmaster.store import attempts, decisions, projects, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.idempotency import forget_answers
from ringmaster.workers.jobs import is_any_job_held, is_of_another
from ringmaster.workers.output_cap import Output, endings_of, find_outputs, is_in_use, remove_output
from ringmaster.workers.preparing import is_workspace
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.environment import agent_home
from ringmaster.workspace.gc import DAY_S, collect_garbage
from ringmaster.workspace.git_directory import remove_tree
from ringmaster.workspace.snapshot import remove_workspace, take_snapshot

TASKS_AT_ONCE = 100
"""In one read: others wait for the same thread."""
UNFINISHED = (".removing", ".creating", ".git.ringmaster-new", ".git.ringmaster-old")


class Keeping(msgspec.Struct, frozen=True):
    """How long a project's leftovers are kept. removed_at: when the project became history, None while it is not."""

    project_id: str
    keep_s: float
    removed_at: float | None


class Leftover(msgspec.Struct, frozen=True):
    """A task with a workspace. attempt_id: its newest, or that which was pulled, in whose name the workspace is kept.

    ended_at: when that ended; None while the task has not.
    """

    task_id: str
    attempt_id: str
    ended_at: float | None


class _Sweep:
    """One run. Gathers in words what went and what stays. gone: directories, in a dry run those that would be."""

    def __init__(self, sur: Surroundings, is_dry_run: bool) -> None:
        self.sur = sur
        self.is_dry_run = is_dry_run
        self.removed: list[str] = []
        self.kept: list[str] = []
        self.freed_bytes = 0
        self.gone: set[Path] = set()

    async def remove(self, path: Path, words: str) -> None:
        """Remove a directory of which nothing is worth keeping."""
        self.gone.add(path)
        self.freed_bytes += await trio.to_thread.run_sync(size_of_tree, path)
        self.removed.append(words)
        if not self.is_dry_run:
            await trio.to_thread.run_sync(remove_tree, path)

    def result(self) -> GcResult:
        return GcResult(
            removed=tuple(self.removed),
            kept=tuple(self.kept),
            freed_bytes=self.freed_bytes,
            is_dry_run=self.is_dry_run,
        )


async def clean_up(sur: Surroundings, *, is_dry_run: bool = False, actor: str = "daemon") -> GcResult:
    """Remove what has been kept long enough, in every project; with `is_dry_run` only say what would go.

    May be repeated after a kill at any moment. Cancelled between two steps. A project whose repository is
    in trouble is named among `kept` and keeps none of the others from being cleaned.
    """
    sweep = _Sweep(sur, is_dry_run)
    for keeping in await sur.store.read(_keepings):
        try:
            async with sur.repository_lock(keeping.project_id):
                await _clean_project(sweep, keeping)
        except (RingmasterError, OSError) as error:
            sweep.kept.append(f"project {keeping.project_id}: {error}")
    await _cap_output(sweep)
    if not is_dry_run:
        # Essential, as it gives room: on a full disk it is what a person is told to do.
        await sur.store.write_essential(_note, len(sweep.removed), sweep.freed_bytes, actor)
    return sweep.result()


async def _cap_output(sweep: _Sweep) -> None:
    """Bring the output of all attempts together within `logs_bytes`: what ended first goes first."""
    sur = sweep.sur
    cap_bytes = sur.settings.limits.logs_bytes
    if not cap_bytes:
        return
    found = await trio.to_thread.run_sync(find_outputs, sur.paths.attempts)
    # Without what a dry run has only named.
    found = [output for output in found if output.directory not in sweep.gone]
    over = sum(output.size for output in found) - cap_bytes
    if over <= 0:
        return
    for output in await _by_their_end(sur, found):
        if over <= 0:
            return
        if await trio.to_thread.run_sync(is_in_use, output, sur.instance_id):
            sweep.kept.append(f"{output.directory}: a job in it still runs, or it belongs to another instance")
            continue
        # Its task may have been taken up again meanwhile.
        if output.attempt_id not in await sur.store.read(endings_of, [output.task_id]):
            continue
        if not sweep.is_dry_run:
            try:
                await trio.to_thread.run_sync(remove_output, output, sur.now())
            except OSError as error:
                sweep.kept.append(f"{output.directory}: {error}")
                continue
        over -= output.size
        sweep.freed_bytes += output.size
        sweep.removed.append(f"the output of {output.attempt_id}: all output is more than logs_bytes ({cap_bytes})")
    if over > 0:
        sweep.kept.append(f"{over} bytes of output more than logs_bytes, of tasks that go on or wait for a person")


async def _by_their_end(sur: Surroundings, found: list[Output]) -> list[Output]:
    """Those that may go, the first to end first."""
    task_ids = sorted({output.task_id for output in found})
    ended: dict[str, float] = {}
    for begin in range(0, len(task_ids), TASKS_AT_ONCE):
        ended |= await sur.store.read(endings_of, task_ids[begin : begin + TASKS_AT_ONCE])
    mortal = [output for output in found if output.attempt_id in ended]
    return sorted(mortal, key=lambda output: (ended[output.attempt_id], output.attempt_id))


def _keepings(conn: Connection) -> list[Keeping]:
    found = [Keeping(p.id, p.config.keep_days * DAY_S, None) for p in projects.salvaged_projects(conn)]
    return found + [Keeping(p.id, p.keep_days * DAY_S, p.removed_at) for p in projects.removed_projects(conn)]


def _note(conn: Connection, removed: int, freed_bytes: int, actor: str) -> None:
    forget_answers(conn)
    if removed:
        conn.emit("daemon.cleaned_up", actor=actor, data={"removed": removed, "freed_bytes": freed_bytes})


async def _clean_project(sweep: _Sweep, keeping: Keeping) -> None:
    sur = sweep.sur
    holding = await _clean_workspaces(sweep, keeping)
    await _clean_homes(sweep, keeping, {*holding, *await _clean_attempts(sweep, keeping)})
    bare = sur.paths.repository(keeping.project_id)
    if not (bare / "HEAD").is_file():
        return
    live = set(await sur.store.read(_attempts_to_hold, keeping.project_id, holding))
    if keeping.removed_at is not None and keeping.removed_at + keeping.keep_s < sur.now() and not holding:
        await sweep.remove(bare, f"the copy of the removed project {keeping.project_id}")
        for place in (sur.paths.gates, sur.paths.caches / "agent", sur.paths.caches / "gate"):
            if (place / keeping.project_id).exists():
                await sweep.remove(place / keeping.project_id, f"{place.name} of {keeping.project_id}")
        return
    upkeep = await collect_garbage(
        bare, live, bool(holding), keeping.keep_s / DAY_S, sur.now(), is_dry_run=sweep.is_dry_run
    )
    sweep.removed += [f"the kept work of {attempt_id}" for attempt_id in upkeep.expired]
    sweep.freed_bytes += max(0, upkeep.size_before_kib - upkeep.size_after_kib) * 1024


async def _clean_workspaces(sweep: _Sweep, keeping: Keeping) -> list[str]:
    """Remove workspaces of ended tasks; the ids of the tasks that still have one."""
    directory = sweep.sur.paths.workspaces / keeping.project_id
    holding: list[str] = []
    for name in sorted(os.listdir(directory)) if directory.is_dir() else []:
        path = directory / name
        if name.endswith(UNFINISHED):
            # Half of a step that a kill cut short. Nobody else makes one: the project's lock is held.
            await sweep.remove(path, f"the unfinished workspace {name}")
            continue
        leftover = await sweep.sur.store.read(_leftover, name) if is_workspace(path) else None
        if leftover is None:
            sweep.kept.append(f"{path}: it is no workspace of a task, look and remove it by hand")
            # Set aside by hand or because it could not be kept whole: it may still borrow objects.
            holding.append(name.partition(".kept-")[0])
            continue
        is_due = leftover.ended_at is not None and leftover.ended_at + keeping.keep_s < sweep.sur.now()
        if not is_due or not await _remove_workspace(sweep, keeping.project_id, path, leftover):
            holding.append(leftover.task_id)
    return holding


def _leftover(conn: Connection, name: str) -> Leftover | None:
    """Whose workspace the name is: a task's, or TASK-N for an attempt that was pulled."""
    task_id, owner = name, None
    if not tasks.is_known(conn, name):
        task_id, _, number = name.rpartition("-")
        owner = make_attempt_id(task_id, int(number)) if number.isdecimal() else ""
        if conn.value(attempts.queries.is_known, (owner,)) is None:
            return None
    task = tasks.row_by_id(conn, task_id).task
    newest = conn.value(attempts.queries.newest_of_task, (task_id,))
    if newest is None:
        return None
    # The attempt's end and not the row's last change: a question about the task changes that.
    ended_at = conn.value(attempts.queries.ended_at, (newest,))
    return Leftover(task_id, owner or newest, ended_at if task.state in ENDED_TASK_STATES else None)


async def _remove_workspace(sweep: _Sweep, project_id: str, path: Path, leftover: Leftover) -> bool:
    """Keep a workspace in the daemon's repository and remove it; False when it stays."""
    words = f"the workspace of {leftover.task_id}"
    size = await trio.to_thread.run_sync(size_of_tree, path)
    if sweep.is_dry_run:
        sweep.removed.append(words)
        sweep.freed_bytes += size
        return True
    bare = sweep.sur.paths.repository(project_id)
    snapshot = await take_snapshot(bare, path, leftover.attempt_id, sweep.sur.now())
    if snapshot.unkept:
        sweep.kept.append(f"{path}: {snapshot.unkept[0]}")
        await sweep.sur.store.write(_ask_about_unkept, project_id, leftover, str(path), snapshot.unkept, sweep.sur)
        return False
    await remove_workspace(bare, path, snapshot)
    sweep.removed.append(f"{words}, kept as {snapshot.ref}")
    sweep.freed_bytes += size
    return True


def _ask_about_unkept(
    conn: Connection, project_id: str, leftover: Leftover, place: str, unkept: tuple[str, ...], sur: Surroundings
) -> None:
    """Ask once, whatever the answer was."""
    known = decisions.salvaged_of_task(conn, leftover.task_id)
    if any(decision.kind is DecisionKind.NOT_KEPT for decision in known):
        return
    open_decision(
        conn,
        DecisionKind.NOT_KEPT,
        project_id=project_id,
        task_id=leftover.task_id,
        attempt_id=leftover.attempt_id,
        question=f"the workspace of {leftover.task_id} cannot be kept whole and stays at {place}: look, then remove it",
        detail="\n".join(unkept),
        rng=sur.rng,
    )


async def _clean_attempts(sweep: _Sweep, keeping: Keeping) -> set[str]:
    """Remove prompts and jobs of attempts that ended long ago. The directories themselves say which there are.

    Returns the tasks of any project of which something is left.
    """
    root = sweep.sur.paths.attempts
    holding: set[str] = set()
    for task_id in sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []:
        ended = await sweep.sur.store.read(_ended_attempts, task_id, keeping.project_id)
        gone: set[Path] = set()
        for attempt_id, ended_at in ended:
            path = sweep.sur.paths.attempt(attempt_id)
            if not path.is_dir() or ended_at + keeping.keep_s >= sweep.sur.now():
                continue
            if await trio.to_thread.run_sync(is_any_job_held, path):
                sweep.kept.append(f"{path}: a job in it still runs")
                continue
            if await trio.to_thread.run_sync(is_of_another, path, sweep.sur.instance_id):
                sweep.kept.append(f"{path}: it belongs to another instance")
                continue
            await sweep.remove(path, f"the files of {attempt_id}")
            gone.add(path)
        if any(path not in gone for path in (root / task_id).iterdir()):
            holding.add(task_id)
        elif not sweep.is_dry_run and ended:
            (root / task_id).rmdir()
    return holding


async def _clean_homes(sweep: _Sweep, keeping: Keeping, holding: set[str]) -> None:
    """Remove the homes of agents whose task has neither a workspace nor files of an attempt any more.

    An agent gets its home after its workspace, which is made under the project's lock: none is missed by being new.
    """
    caches = sweep.sur.paths.caches
    held = {agent_home(caches, keeping.project_id, task_id) for task_id in holding}
    for home in sorted((caches / "home").glob(f"{keeping.project_id}-*")):
        # The digest has no dash in it: another project's name may begin as this one's does.
        if home.name.rpartition("-")[0] == keeping.project_id and home not in held:
            await sweep.remove(home, f"the agents' home {home.name}")


def _ended_attempts(conn: Connection, task_id: str, project_id: str) -> list[tuple[str, float]]:
    return [
        (attempt.id, attempt.ended_at)
        for attempt in attempts.salvaged_of_task(conn, task_id)
        if attempt.ended_at is not None and attempt.project_id == project_id
    ]


def _attempts_to_hold(conn: Connection, project_id: str, task_ids: list[str]) -> list[str]:
    """Attempts whose refs stay whatever their age: they live, or their task's workspace borrows from them."""
    live = [attempt.id for attempt in attempts.salvaged_live(conn) if attempt.project_id == project_id]
    borrowed = [attempt.id for task_id in task_ids for attempt in attempts.salvaged_of_task(conn, task_id)]
    return live + borrowed


def size_of_tree(path: Path) -> int:
    """Bytes on the disk below a path; what vanishes meanwhile does not count. Blocking."""
    return sum(_sizes(path))


def _sizes(path: Path) -> Iterator[int]:
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                yield os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                continue
