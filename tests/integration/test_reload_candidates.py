"""Which candidates are made, and of which content none is: what was bad, what was gone back from, what is newer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ringmaster.model.generation import GenerationState, Origin, Receipt, StageResult
from ringmaster.queue import rollout
from ringmaster.store import generations
from tests.fakes.boot_handle import Handle
from tests.fakes.candidates import Home, open_candidates

G = GenerationState


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with open_candidates(tmp_path) as opened:
        await opened.add_self_project()
        yield opened


async def states(home: Home) -> list[GenerationState]:
    return [one.state for one in reversed(await home.store.read(generations.newest, 10))]


async def test_a_newer_change_ends_the_candidate_before_it(home: Home):
    first = await home.make()
    directory = home.state / "candidates" / str(first.id)
    directory.mkdir(parents=True)
    assert (await home.make()).id == first.id, "the same content is the same candidate"
    assert directory.exists()
    home.commit(2)
    assert (await home.make()).id == first.id + 1
    assert await states(home) == [G.SUPERSEDED, G.CANDIDATE]
    assert not directory.exists()


async def test_one_who_asks_has_a_row_of_his_own_to_follow(home: Home):
    first = await home.make()
    assert (await home.make(is_asked=True)).id == first.id + 1
    assert await states(home) == [G.SUPERSEDED, G.CANDIDATE]


async def test_what_is_no_longer_wanted_is_ended(home: Home):
    first = await home.make()
    (home.state / "candidates" / str(first.id)).mkdir(parents=True)
    await home.candidates.settle_over("what runs is what there is")
    assert await states(home) == [G.SUPERSEDED]
    assert not (home.state / "candidates" / str(first.id)).exists()


@pytest.mark.parametrize("is_asked", [False, True])
async def test_what_was_bad_is_not_tried_again(home: Home, is_asked: bool):
    bad = await home.make()
    await home.store.write(rollout.settle_bad, bad.id, "it ended")
    assert await home.find(is_asked=is_asked) == f"generation {bad.id} had the same content and is bad: it ended"
    home.commit(2)
    assert await home.find(is_asked=is_asked) == "target"
    home.commit(1)
    assert await home.find(is_asked=is_asked) == f"generation {bad.id} had the same content and is bad: it ended"


@pytest.mark.parametrize(("stage", "found"), [("gate", "target"), ("boot", "generation 2 had the same content")])
async def test_other_tests_may_judge_the_same_release_otherwise(home: Home, stage: str, found: str):
    bad = await home.make()
    await home.store.write(rollout.note_receipt, bad.id, Receipt(stage, StageResult.FAILED, 1.0, "1 failed"))
    await home.store.write(rollout.settle_bad, bad.id, "1 failed")
    (home.path / "test_it.py").write_text("def test_it(): ...\n")
    home.add("test_it.py")
    assert (await home.find(is_asked=False)).startswith(found)


async def test_what_was_gone_back_from_is_taken_again_only_when_somebody_asks(home: Home):
    good = await home.make()
    await home.store.write(rollout.begin_trial, good.id)
    await home.store.write(rollout.settle_good, good.id)
    words = f"generation {good.id} has this content and was gone back from; rmctl reload takes it again"
    assert await home.find(is_asked=False) == words
    assert await home.find(is_asked=True) == "target"


async def test_a_package_that_the_target_has_too_is_known_to_be_its_commit(home: Home):
    made = await home.make()
    origin = Origin(release=made.release, digest=made.digest, python=made.python, source="package")
    await home.store.write(rollout.ensure_generation, 1, origin)
    handle = Handle(1)
    handle.release = made.release
    await home.candidates.find(handle)
    running = await home.store.read(generations.generation_by_id, 1)
    assert (running.project_id, running.commit, running.tree) == ("own", made.commit, made.tree)
