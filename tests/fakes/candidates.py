"""What makes candidates, on a real store and a real repository; nothing judges them."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ringmaster.bus import Bus
from ringmaster.model.event import Event
from ringmaster.model.generation import Generation
from ringmaster.model.project import ProjectConfig
from ringmaster.proc.inotify import open_watcher
from ringmaster.queue import registry
from ringmaster.reload.candidates import Candidates, Found
from ringmaster.reload.instance import Instance
from ringmaster.settings import OwnSettings, Settings, resolve_paths
from ringmaster.store.connection import Connection
from ringmaster.store.thread import ThreadStore, open_store
from tests.fakes.boot_handle import Handle
from tests.fakes.house import git, make_repository

HANDLE = Handle()


class Home:
    """A checkout from which a daemon was started, with its state beside it."""

    def __init__(self, tmp_path: Path, store: ThreadStore, candidates: Candidates, settings: dict[str, Any]) -> None:
        self.path = tmp_path / "checkout"
        self.store = store
        self.settings = settings
        self.state = tmp_path / "state"
        self.candidates = candidates

    async def add_self_project(self) -> None:
        """The checkout is a project, the daemon's own source."""
        await self.store.write(_add_self_project, self.path)

    async def find(self, *, is_asked: bool) -> str:
        """What would be taken, or why nothing is."""
        found = await self.candidates.find(HANDLE, is_asked=is_asked, may_be_checkout=is_asked)
        return found.source.kind if isinstance(found, Found) else found.words

    async def make(self, *, is_asked: bool = False) -> Generation:
        """A candidate of what there is now."""
        found = await self.candidates.find(HANDLE, is_asked=is_asked, may_be_checkout=is_asked)
        assert isinstance(found, Found), found
        return await self.candidates.make(HANDLE, found, is_new=is_asked)

    def commit(self, version: int) -> None:
        """Another content on the target."""
        (self.path / "ringmaster" / "__init__.py").write_text(f"VERSION = {version}\n")
        self.add(".")

    def add(self, path: str) -> None:
        """Commit what is there."""
        git("add", path, cwd=self.path)
        git("commit", "--quiet", "-m", f"Change {path}", cwd=self.path)


def _add_self_project(conn: Connection, path: Path) -> None:
    config, common_dir = ProjectConfig(is_self=True), str(path / ".git")
    registry.add_project(
        conn, name="own", path=str(path), common_dir=common_dir, target="main", config=config, actor="test"
    )


FILES = {
    "ringmaster/__init__.py": "VERSION = 1\n",
    "sql/migrations/0001_base.sql": "CREATE TABLE t (a);\n",
    "bin/ringmasterd": "#!/bin/sh\n",
    "requirements.lock": "",
}


@asynccontextmanager
async def open_candidates(tmp_path: Path) -> AsyncIterator[Home]:
    """A repository of the least that a release has, and what looks for newer code there."""
    checkout = make_repository(tmp_path / "checkout", FILES)
    state = tmp_path / "state"
    state.mkdir()
    own: dict[str, Any] = {}
    async with open_watcher() as watcher, open_store(state / "ringmaster.db", reserve_bytes=4096) as store:
        instance = Instance(
            store=store,
            bus=Bus[Event](),
            paths=resolve_paths(str(state), {"HOME": str(tmp_path)}),
            settings=lambda: Settings(own=OwnSettings(**own)),
            id="abc123",
            roots=tuple,
            rng=random.Random(1),
        )
        candidates = Candidates(instance, watcher=watcher, package=checkout / "ringmaster")
        yield Home(tmp_path, store, candidates, own)
