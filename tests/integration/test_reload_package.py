"""When the package that the daemon was started from is newer code: a wheel always, a checkout when somebody asks."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringmaster.model.generation import GenerationState
from ringmaster.queue import rollout
from ringmaster.reload.release import is_installed
from ringmaster.store import generations
from tests.fakes.candidates import Home, open_candidates


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with open_candidates(tmp_path) as opened:
        yield opened


async def test_what_is_edited_in_a_checkout_is_taken_when_somebody_asks_and_never_by_itself(home: Home):
    assert await home.find(is_asked=False) == (
        "no project is the daemon's own source: rmctl project add PATH --self, or rmctl project edit NAME --self for"
        " one that there is"
    )
    assert await home.find(is_asked=True) == "package"


@pytest.mark.parametrize("state", [GenerationState.TRIAL, GenerationState.GOOD, GenerationState.BAD])
async def test_a_package_that_was_judged_to_the_end_is_taken_again_only_when_its_content_is_another(
    home: Home, state: GenerationState
):
    made = await home.make(is_asked=True)
    assert await home.find(is_asked=True) == "package", "a candidate was not judged yet"
    await home.store.write(rollout.begin_trial, made.id)
    if state is not GenerationState.TRIAL:
        await home.store.write(
            lambda conn: generations.set_state(conn, generations.generation_by_id(conn, made.id), state)
        )
    assert (await home.find(is_asked=True)).startswith("no project is the daemon's own source")
    (home.path / "ringmaster" / "__init__.py").write_text("VERSION = 2\n")
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
