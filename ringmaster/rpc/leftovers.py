"""Gathering what lies about in a state: what gc would take, what is nobody's, what runs though it should not."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import trio

from ringmaster.doctor.facts import LeftoverFacts, RunningJob
from ringmaster.doctor.instance_rules import judge_leftovers as judge
from ringmaster.protocol.doctor import Finding
from ringmaster.settings import Paths
from ringmaster.store import attempts, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.copying import PARTIAL
from ringmaster.workers.cleanup import clean_up
from ringmaster.workers.jobs import is_any_job_held
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.git import run_git
from ringmaster.workspace.refs import KEEP

LOOK_S = 20.0
"""How long the look may wait for a lane that holds a repository."""
STALE_S = 3600.0
"""What nobody has touched for so long is nobody's: what is being made is left out."""


async def judge_leftovers(
    sur: Surroundings, live: frozenset[str], known_projects: frozenset[str]
) -> tuple[Finding, ...]:
    """Look for leftovers of every kind; changes nothing. live: attempts that have not ended."""
    with trio.move_on_after(LOOK_S):
        due = await clean_up(sur, is_dry_run=True)
        kept = await _kept_attempts(sur.paths, known_projects)
        unowned = await sur.store.read(_unowned, sur.paths, known_projects, time.time())
        facts = LeftoverFacts(
            due=due.removed,
            due_bytes=due.freed_bytes,
            kept=due.kept,
            unowned=tuple(map(str, unowned)),
            stale=tuple(map(str, await trio.to_thread.run_sync(find_stale, sur.paths.state, time.time()))),
            unknown=tuple(await sur.store.read(_unknown, kept)),
            running=tuple(await trio.to_thread.run_sync(_running, sur.paths.attempts, live)),
        )
        return judge(facts)
    return (Finding(check="leftovers", level="ok", words="not looked at: a repository is busy with a landing"),)


def _unowned(conn: Connection, paths: Paths, known: frozenset[str], now: float) -> list[Path]:
    """What lies where projects and tasks have theirs, and is none's. Reads directories besides the store.

    What is new is left out: a project that is being added has its copy before its row.
    """
    by_project = (paths.repositories, paths.workspaces, paths.gates, paths.caches / "agent", paths.caches / "gate")
    found = [path for place in by_project for path in _inside(place) if path.name.removesuffix(".git") not in known]
    found += [path for path in _inside(paths.attempts) if not tasks.is_known(conn, path.name)]
    return [path for path in found if is_left(path, now)]


def is_left(path: Path, now: float) -> bool:
    """Whether nobody has touched a path for long; not when it went meanwhile, as what is being made does. Blocking."""
    try:
        return path.lstat().st_mtime + STALE_S < now
    except FileNotFoundError:
        return False


def _inside(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


async def _kept_attempts(paths: Paths, project_ids: frozenset[str]) -> list[str]:
    """Attempts of which the daemon's repositories keep work. One that cannot be read is named by the dry run."""
    found: set[str] = set()
    for project_id in sorted(project_ids):
        bare = paths.repository(project_id)
        if (bare / "HEAD").is_file():
            listed = await run_git("for-each-ref", "--format=%(refname)", f"{KEEP}/", git_dir=bare, ok=(0, 1, 128))
            names = (line[len(KEEP) + 1 :].split("/") for line in listed.text.splitlines())
            found |= {"/".join(parts[:2]) for parts in names}
    return sorted(found)


def _unknown(conn: Connection, attempt_ids: list[str]) -> list[str]:
    return [id for id in attempt_ids if conn.row(attempts.queries.ended_at, (id,)) is None]


def _running(directory: Path, live: frozenset[str]) -> list[RunningJob]:
    """Jobs whose lock is held though their attempt has ended. Blocking."""
    found = []
    for path in (path for task in _inside(directory) if task.is_dir() for path in _inside(task)):
        attempt_id = f"{path.parent.name}/{path.name}"
        if attempt_id not in live and is_any_job_held(path):
            found.append(RunningJob(attempt_id=attempt_id, pid=_shim_of(path)))
    return found


def _shim_of(attempt: Path) -> int:
    for record in attempt.glob("*/run.json"):
        if (record.parent / "exit.json").exists():
            continue
        try:
            said = msgspec.json.decode(record.read_bytes())
            return int(said["shim"]["pid"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return 0


def find_stale(state: Path, now: float) -> list[Path]:
    """What the daemon began for itself and a kill cut short: trials of agents, copies of the database. Blocking."""
    found = [*state.glob("trial-*"), *state.glob(f"*{PARTIAL}")]
    return sorted(path for path in found if is_left(path, now))
