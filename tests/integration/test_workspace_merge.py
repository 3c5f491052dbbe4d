"""The commit that will land is made first, in the gate's own checkout, and the checkout stands on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.workspace.collect import Author, collect
from ringmaster.workspace.merge import (
    Conflict,
    History,
    LandingCommit,
    NothingToLand,
    changed_by_gate,
    make_landing_commit,
    prepare_gate_checkout,
    quick_conflicts,
    with_trailers,
)
from ringmaster.workspace.repository import fetch_target
from tests.unit.workspace.repositories import Setting, make_setting

TRAILERS = {"Ringmaster-Task": "rm-1", "Ringmaster-Attempt": "rm-1/1"}


@pytest.fixture
async def setting(tmp_path: Path) -> Setting:
    setting = await make_setting(tmp_path)
    await setting.start_attempt()
    return setting


async def head_of(setting: Setting) -> str:
    collected = await collect(setting.bare, setting.workspace.path, "t/1", setting.base, "ringmaster/t/1", "leftovers")
    return collected.head


async def merge(
    setting: Setting, tip: str, head: str, history: History = History.MERGE, message: str = "Add a thing"
) -> LandingCommit | Conflict | NothingToLand:
    return await make_landing_commit(
        setting.bare,
        setting.checkout.path,
        "t/1",
        tip,
        head,
        history=history,
        message=message,
        trailers=TRAILERS,
        author=Author("Gate", "gate@example.invalid"),
        at=1e9,
        cache_paths=(".venv/",),
    )


@pytest.mark.parametrize("history", History)
async def test_the_checkout_stands_clean_on_the_commit_that_will_land(setting: Setting, history: History) -> None:
    setting.workspace.commit({"a": "1"})
    head = await head_of(setting)
    setting.user.commit({"b": "1"})
    tip = await fetch_target(setting.bare, setting.inspected, "main")
    made = await merge(setting, tip, head, history)
    assert isinstance(made, LandingCommit)
    parents = setting.own.git("log", "-1", "--format=%P", made.commit).split()
    assert parents == ([tip, head] if history is History.MERGE else [tip])
    assert setting.own.git("log", "-1", "--format=%an <%ae> %ct", made.commit) == (
        "Gate <gate@example.invalid> 1000000000"
    )
    body = setting.own.git("log", "-1", "--format=%B", made.commit)
    assert body == "Add a thing\n\nRingmaster-Task: rm-1\nRingmaster-Attempt: rm-1/1\n".rstrip("\n")
    assert setting.checkout.at("HEAD") == made.commit
    assert setting.checkout.git("status", "--porcelain", "--ignored") == ""
    assert (setting.checkout.path / "a").exists()
    assert (setting.checkout.path / "b").exists()
    assert await merge(setting, tip, head, history) == made, "the same merge gave another commit"
    assert setting.own.has("refs/ringmaster/keep/t/1/gate")


async def test_an_attempt_straight_on_the_tip_still_gets_a_merge_commit(setting: Setting) -> None:
    setting.workspace.commit({"a": "1"})
    made = await merge(setting, setting.base, await head_of(setting))
    assert isinstance(made, LandingCommit)
    assert len(setting.own.git("log", "-1", "--format=%P", made.commit).split()) == 2


async def test_a_conflict_names_its_files_and_leaves_the_checkout_clean(setting: Setting) -> None:
    setting.workspace.commit({"README": "theirs\n", "caf\u00e9": "theirs\n"})
    head = await head_of(setting)
    setting.user.commit({"README": "mine\n", "caf\u00e9": "mine\n"})
    tip = await fetch_target(setting.bare, setting.inspected, "main")
    assert await merge(setting, tip, head) == Conflict(("README", "caf\u00e9"))
    assert await quick_conflicts(setting.bare, tip, head) == ("README", "caf\u00e9")
    assert setting.checkout.at("HEAD") == tip
    assert setting.checkout.git("status", "--porcelain", "--ignored") == ""


async def test_attributes_of_the_tip_decide_how_files_merge(setting: Setting) -> None:
    setting.user.commit({".gitattributes": "LOG merge=union\n", "LOG": "start\n"})
    setting.base = await fetch_target(setting.bare, setting.inspected, "main")
    agent = setting.workspace
    agent.git("fetch", "-q", str(setting.bare), "refs/ringmaster/target/main")
    agent.git("reset", "-q", "--hard", setting.base)
    agent.commit({"LOG": "start\nagent\n"})
    head = await head_of(setting)
    setting.user.commit({"LOG": "start\nuser\n"})
    tip = await fetch_target(setting.bare, setting.inspected, "main")
    made = await merge(setting, tip, head)
    assert isinstance(made, LandingCommit)
    assert set(setting.own.show(made.commit, "LOG").split()) == {"start", "agent", "user"}


async def test_what_is_there_already_is_nothing_to_land(setting: Setting) -> None:
    assert await merge(setting, setting.base, setting.base) == NothingToLand(setting.base)
    setting.workspace.commit({"a": "1"})
    head = await head_of(setting)
    setting.user.commit({"a": "1"})
    tip = await fetch_target(setting.bare, setting.inspected, "main")
    assert await merge(setting, tip, head) == NothingToLand(tip)


async def test_unrelated_histories_are_a_conflict(setting: Setting) -> None:
    head = setting.own.git("commit-tree", "-m", "alone", f"{setting.base}^{{tree}}")
    assert await merge(setting, setting.base, head) == Conflict(())


async def test_caches_stay_and_all_else_goes(setting: Setting) -> None:
    checkout = setting.checkout
    await prepare_gate_checkout(setting.bare, checkout.path, setting.base, [".venv/", "/deep/cache/"])
    checkout.write(
        {".venv/bin/x": "c", "deep/cache/y": "c", "deep/z": "gone", "noise.log": "gone", "README": "changed"}
    )
    checkout.git("config", "core.hooksPath", "evil")
    checkout.git("update-index", "--assume-unchanged", "src/app.py")
    checkout.write({"src/app.py": "hidden\n"})
    assert await changed_by_gate(setting.bare, checkout.path, setting.base) == ("README", "src/app.py")
    await prepare_gate_checkout(setting.bare, checkout.path, setting.base, [".venv/", "/deep/cache/"])
    assert await changed_by_gate(setting.bare, checkout.path, setting.base) == ()
    assert (checkout.path / ".venv/bin/x").exists()
    assert (checkout.path / "deep/cache/y").exists()
    assert not (checkout.path / "deep/z").exists()
    assert not (checkout.path / "noise.log").exists()
    assert checkout.git("config", "core.hooksPath", is_checked=False) == ""


async def test_a_gate_that_leaves_a_repository_behind_disturbs_nothing(setting: Setting) -> None:
    checkout = setting.checkout
    await prepare_gate_checkout(setting.bare, checkout.path, setting.base)
    (checkout.path / "inner").mkdir()
    checkout.git("init", "-q", "inner")
    (checkout.path / "README").unlink()
    (checkout.path / "README").mkdir()
    await prepare_gate_checkout(setting.bare, checkout.path, setting.base)
    assert checkout.git("status", "--porcelain", "--ignored") == ""


def test_trailers_join_those_that_are_there() -> None:
    assert with_trailers("Do\n\nWhy.", {"A": "b\nc"}) == "Do\n\nWhy.\n\nA: b c\n"
    assert with_trailers("Do\n\nAgent: scripted\n", {"A": "b"}) == "Do\n\nAgent: scripted\nA: b\n"
    assert with_trailers("fix: it", {"A": "b", "Empty": " "}) == "fix: it\n\nA: b\n"
    assert with_trailers("", {}) == "Land an attempt\n"
