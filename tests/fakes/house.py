"""A supervisor at work on a toy repository: real store, real git, real shims, the scripted agent; no socket."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from ringmaster.bus import Bus, Lagged
from ringmaster.model.attempt import Attempt
from ringmaster.model.decision import Decision
from ringmaster.model.event import Event
from ringmaster.model.project import ProjectConfig
from ringmaster.model.task import Limits, Task
from ringmaster.proc.identity import own_identity
from ringmaster.protocol.task import TaskAddParams
from ringmaster.queue.control import spawn_worker
from ringmaster.queue.intake import add_task
from ringmaster.settings import LimitSettings, Paths, Settings
from ringmaster.store import attempts, decisions, projects, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.events import events_after
from ringmaster.store.instance import ensure_instance_id
from ringmaster.store.thread import ThreadStore, open_store
from ringmaster.workers.supervisor import Supervisor
from ringmaster.workers.surroundings import Surroundings
from tests.fakes.seats import make_seat

GATE = "test -f README && ! grep -rn BROKEN --include=*.txt ."


def git(*args: str, cwd: Path) -> str:
    """Run git and return what it said, without the last newline."""
    done = subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.rstrip("\n")


def make_repository(path: Path, files: dict[str, str] | None = None) -> Path:
    """A repository with one commit on `main`."""
    path.mkdir(parents=True)
    git("init", "-q", "-b", "main", cwd=path)
    for name, text in (files or {"README": "toy\n"}).items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    git("add", "-A", cwd=path)
    git("commit", "-q", "-m", "Begin", cwd=path)
    return path


def steps(*recorded: dict[str, Any]) -> str:
    """A task description that the scripted agent obeys."""
    return "```steps\n" + "\n".join(json.dumps(step) for step in recorded) + "\n```\n"


def write_step(path: str, text: str) -> dict[str, Any]:
    """Write a file."""
    return {"do": "write", "path": path, "text": text}


@dataclass
class House:
    """What a test drives: the store, the repository, and waiting for events."""

    store: ThreadStore
    bus: Bus[Event]
    paths: Paths
    repository: Path
    sur: Surroundings
    supervisor: Supervisor
    rng: random.Random = field(default_factory=lambda: random.Random(7))

    async def add_project(self, repository: Path | None = None, id: str = "toy", **config: Any) -> None:
        """Store a project for the toy repository."""
        path = repository or self.repository
        common = Path(git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=path))

        def insert(conn: Connection) -> None:
            projects.insert_project(
                conn,
                id=id,
                path=str(path),
                common_dir=str(common),
                target="main",
                config=ProjectConfig(**{"gate": GATE, "update_checkout": "clean", **config}),
            )
            conn.emit("project.added", project_id=id)

        await self.store.write(insert)

    async def add_worker(self, id: str = "", agent: str = "scripted", command: tuple[str, ...] = ()) -> str:
        """A seat."""
        worker = make_seat(id=id, agent=agent, command=command)
        return await self.store.write(spawn_worker, worker, actor="test")

    async def add_task(self, title: str, *recorded: dict[str, Any], **fields: Any) -> str:
        """File a task whose description is recorded steps."""
        params = TaskAddParams(title=title, description=steps(*recorded), **fields)
        return await self.store.write(add_task, params, actor="test", max_attempts=3, rng=self.rng)

    async def wait_for(self, wanted: Callable[[Event], bool], seconds: float = 30.0) -> Event:
        """The first event, stored or to come, that is wanted. Fails with all events when it does not come."""
        with self.bus.open_subscription() as live:
            for event in await self.store.read(events_after, 0, 10_000):
                if wanted(event):
                    return event
            with trio.move_on_after(seconds):
                async for found in live:
                    assert not isinstance(found, Lagged)
                    if wanted(found):
                        return found
        seen = await self.store.read(events_after, 0, 10_000)
        lines = "\n".join(f"{e.seq} {e.type} {e.task_id} {e.attempt_id} {bytes(e.data).decode()}" for e in seen)
        raise AssertionError(f"the event did not come; seen:\n{lines}")

    async def wait_for_type(self, type: str, task_id: str = "", nth: int = 1) -> Event:
        """The nth event of a type about a task."""
        count = 0

        def is_it(event: Event) -> bool:
            nonlocal count
            if event.type == type and task_id in ("", event.task_id):
                count += 1
            return count == nth

        return await self.wait_for(is_it)

    async def task(self, task_id: str) -> Task:
        """Its row."""
        return await self.store.read(tasks.task_by_id, task_id)

    async def attempts(self, task_id: str) -> list[Attempt]:
        """Its attempts."""
        return await self.store.read(attempts.salvaged_of_task, task_id)

    async def decisions(self) -> list[Decision]:
        """What waits for a person."""
        return await self.store.read(decisions.open_decisions, 100)


@asynccontextmanager
async def open_house(
    tmp_path: Path,
    *,
    repository: Path | None = None,
    limits: LimitSettings | None = None,
    agents: dict[str, Any] | None = None,
    is_killed: bool = False,
) -> AsyncIterator[House]:
    """A supervisor that runs until the block is left; every attempt is ended then.

    is_killed: leave it as `kill -9` does, with everything still running; the next house on the same path adopts it.
    """
    state = tmp_path / "state"
    state.mkdir(exist_ok=True)
    paths = Paths(name="test", state=state, socket=state / "s.sock", config=state / "config.toml")
    settings = Settings(limits=limits or LimitSettings(cancel_grace_s=0.2), agents=agents or {})
    bus: Bus[Event] = Bus()
    async with open_store(paths.database, on_commit=bus.publish, reserve_bytes=4096) as store:
        instance_id = await store.write(ensure_instance_id, "test-instance")
        sur = Surroundings(
            store=store,
            bus=bus,
            paths=paths,
            settings=settings,
            instance_id=instance_id,
            roots=lambda: (own_identity(),),
        )
        supervisor = Supervisor(sur)
        async with trio.open_nursery() as nursery:
            await nursery.start(supervisor.run)
            repo = repository or tmp_path / "repo"
            yield House(store, bus, paths, repo if repo.exists() else make_repository(repo), sur, supervisor)
            if not is_killed:
                await supervisor.abort()
            nursery.cancel_scope.cancel()


__all__ = ["GATE", "House", "Limits", "git", "make_repository", "open_house", "steps", "write_step"]
