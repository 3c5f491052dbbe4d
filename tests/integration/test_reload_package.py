"""When the package that the daemon was started from is newer code: a wheel always, a checkout when somebody asks."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ringmaster.bus import Bus
from ringmaster.model.event import Event
from ringmaster.model.project import ProjectConfig
from ringmaster.proc.inotify import open_watcher
from ringmaster.queue import registry
from ringmaster.reload.candidates import Candidates, Found
from ringmaster.reload.release import is_installed
from ringmaster.settings import OwnSettings, Settings, resolve_paths
from ringmaster.store.connection import Connection
from ringmaster.store.thread import ThreadStore, open_store
from tests.fakes.house import make_repository


class Handle:
    """The running generation's, as the stub gives it."""

    version = 1
    generation = 1
    release = "0" * 16
    root = ""
    is_trial = False
    handoff_fd = -1

    def beat(self) -> None:
        """Nothing guards it."""

    def disarm(self) -> None:
        """Nothing guards it."""

    def take_handoff(self) -> int:
        """There is none."""
        return -1


class Home:
    """A checkout from which a daemon was started."""

    def __init__(self, tmp_path: Path, store: ThreadStore, candidates: Candidates, settings: dict[str, Any]) -> None:
        self.path = tmp_path / "checkout"
        self.store = store
        self.settings = settings
        self._candidates = candidates

    async def add_self_project(self) -> None:
        """The checkout is a project, the daemon's own source."""
        await self.store.write(_add_self_project, self.path)

    async def find(self, *, is_asked: bool) -> str:
        """What would be taken, or why nothing is."""
        found = await self._candidates.find(Handle(), is_asked=is_asked, may_be_checkout=is_asked)
        return found.source.kind if isinstance(found, Found) else found.words


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


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    checkout = make_repository(tmp_path / "checkout", FILES)
    state = tmp_path / "state"
    state.mkdir()
    own: dict[str, Any] = {}
    async with open_watcher() as watcher, open_store(state / "ringmaster.db", reserve_bytes=4096) as store:
        candidates = Candidates(
            store=store,
            bus=Bus[Event](),
            paths=resolve_paths(str(state), {"HOME": str(tmp_path)}),
            settings=lambda: Settings(own=OwnSettings(**own)),
            instance_id="abc123",
            roots=tuple,
            watcher=watcher,
            package=checkout / "ringmaster",
            rng=random.Random(1),
        )
        yield Home(tmp_path, store, candidates, own)


async def test_what_is_edited_in_a_checkout_is_taken_when_somebody_asks_and_never_by_itself(home: Home):
    assert await home.find(is_asked=False) == (
        "no project is the daemon's own source: rmctl project add PATH --self, or rmctl project edit NAME --self for"
        " one that there is"
    )
    assert await home.find(is_asked=True) == "package"


async def test_where_a_project_is_the_own_source_its_branch_says_what_is_taken_also_when_somebody_asks(home: Home):
    await home.add_self_project()
    (home.path / "ringmaster" / "__init__.py").write_text("VERSION = 2\n")
    assert await home.find(is_asked=True) == "target"


async def test_where_nothing_is_followed_the_target_is_taken_when_somebody_asks_and_never_by_itself(home: Home):
    await home.add_self_project()
    home.settings["follow"] = "never"
    (home.path / "ringmaster" / "__init__.py").write_text("VERSION = 2\n")
    assert (
        await home.find(is_asked=False) == "settings say self.follow = never: newer code is taken by rmctl reload alone"
    )
    assert await home.find(is_asked=True) == "target"


async def test_a_wheel_that_was_installed_anew_is_taken_by_itself(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("ringmaster.reload.release.installed_lock", lambda sites: b"")
    shutil.copytree(home.path / "sql", home.path / "ringmaster" / "_sql")
    (home.path / "ringmaster" / "_bin").mkdir()
    shutil.copy(home.path / "bin" / "ringmasterd", home.path / "ringmaster" / "_bin")
    assert is_installed(home.path / "ringmaster")
    assert await home.find(is_asked=False) == "package"
