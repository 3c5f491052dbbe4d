"""A release born of a commit fails on trial: the lane closes, the commit is reverted, and the lane opens again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.house import git, steps
from tests.fakes.own_source import PROJECT, OwnSource, open_own_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

HANDLERS = "ringmaster/rpc/handlers/daemon.py"
NOTES = "NOTES"
BROKEN = """

import sys

if "--boot" in sys.argv and "candidates" not in "".join(sys.argv):

    def health(ctx: Ctx, params: EmptyParams) -> Health:
        \"\"\"Well on a copy, broken on trial.\"\"\"
        raise ZeroDivisionError("broken by {name}")
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSource]:
    config: dict[str, Any] = {"gate": f"test -f {NOTES}", "update_checkout": "clean"}
    with open_own_source(tmp_path_factory.mktemp("own"), probation_s=0.1, files={NOTES: "one\n"}, **config) as made:
        yield made


def tip(own: OwnSource) -> str:
    return git("rev-parse", "main", cwd=own.repository)


def tree(own: OwnSource, commit: str) -> str:
    return git("rev-parse", f"{commit}^{{tree}}", cwd=own.repository)


def project(own: OwnSource) -> Any:
    return own.daemon.call("project.show", id=PROJECT)


def question(own: OwnSource) -> Any:
    (found,) = [one for one in own.daemon.call("decision.list")["decisions"] if one["kind"] == "bad_release"]
    return found


def repairs(own: OwnSource) -> list[Any]:
    found = own.daemon.call("task.list", is_all=True)["tasks"]
    return [view["task"] for view in found if "bad-release" in view["task"]["labels"]]


def answer(own: OwnSource, words: str) -> int:
    """Answer the question; the cursor from before."""
    after = own.cursor
    own.daemon.call("decision.answer", id=question(own)["id"], answer=words)
    return after


def wait(own: OwnSource, type: str, after: int) -> Any:
    return own.daemon.wait_for(lambda event: event["type"] == type, after)


def spoil(own: OwnSource, name: str) -> str:
    """Commit code that fails on trial; the commit, once it has."""
    event = own.take(own.append(HANDLERS, BROKEN.format(name=name)), f"Break {name}")
    assert event["type"] == "generation.bad", event
    return tip(own)


def test_what_an_agent_landed_is_reverted_and_the_lane_opens_again(own: OwnSource) -> None:
    pid, good, after = own.daemon.call("daemon.health")["pid"], tip(own), own.cursor
    text = (own.repository / HANDLERS).read_text() + BROKEN.format(name="an agent")
    write = {"do": "write", "path": HANDLERS, "text": text}
    own.daemon.call("worker.spawn", agent="scripted", id="w")
    broken = own.daemon.call("task.add", title="Be faster", description=steps(write), project_id=PROJECT)["view"][
        "task"
    ]["id"]
    event = own.daemon.wait_for(lambda event: event["type"] in ("generation.bad", "generation.good"), after)
    assert event["type"] == "generation.bad", event
    bad = event["data"]["generation"]
    wait(own, "generation.restored", event["seq"])
    assert (own.daemon.call("daemon.health")["pid"], own.generation) == (pid, 1)
    landed = tip(own)
    assert landed != good
    assert project(own)["state"] == "paused"
    assert project(own)["paused_reason"].startswith(f"bad release: generation {bad} of {landed[:12]}")
    asked = question(own)
    assert asked["options"] == ["revert", "resume"]
    detail = own.daemon.call("decision.show", id=asked["id"])["detail"]
    by_hand = f"git -C {own.repository} revert --no-edit -m 1 {landed}"
    for words in (landed, "boot: passed", '+        raise ZeroDivisionError("broken by an agent")', by_hand, "health"):
        assert words in detail
    (repair,) = repairs(own)
    assert (repair["priority"], repair["state"], len(repair["acceptance"])) == (0, "open", 4)
    assert detail in repair["description"]
    # Nothing is given out while the lane is closed, and what is in the way is said.
    why = own.daemon.call("task.show", id=repair["id"])["next_step"]
    assert "is paused, bad release" in why
    assert "the revert is proposed" in why
    assert own.daemon.call("task.show", id=broken)["view"]["task"]["state"] == "done"
    own.daemon.call("worker.stop", id="w")

    after = answer(own, "revert")
    wait(own, "project.resumed", after)
    message = git("log", "-1", "--format=%B", cwd=own.repository)
    assert message.startswith('Revert "Be faster"')
    assert f"This reverts commit {landed}." in message
    assert git("rev-parse", "main^", cwd=own.repository) == landed
    assert tree(own, "main") == tree(own, good)
    assert git("status", "--porcelain", cwd=own.repository) == ""
    assert project(own)["state"] == "active"
    assert not own.daemon.call("decision.list")["decisions"]
    opened = wait(own, "reload.lane_opened", after)
    assert "which is what generation 1 is made of" in opened["data"]["words"]


def test_what_came_after_the_commit_stays_and_a_parked_revert_opens_the_lane_when_it_is_taken(own: OwnSource) -> None:
    own.daemon.call("project.edit", id=PROJECT, config={"update_checkout": "never"})
    broken = spoil(own, "two")
    own.commit({NOTES: "one\ntwo\n"}, "Note something")
    wait(own, "reload.reverted", answer(own, "revert"))
    taking = f"git -C {own.repository} merge --ff-only ringmaster/landed/main"
    assert project(own)["paused_reason"].endswith(f"is not yet in your checkout: {taking}")
    after = own.cursor
    git("merge", "--quiet", "--ff-only", "ringmaster/landed/main", cwd=own.repository)
    wait(own, "project.resumed", after)
    assert project(own)["state"] == "active"
    assert git("show", f"main:{NOTES}", cwd=own.repository) == "one\ntwo"
    assert "broken by two" not in git("show", f"main:{HANDLERS}", cwd=own.repository)
    assert f"This reverts commit {broken}." in git("log", "-1", "--format=%B", cwd=own.repository)
    # All that it has said is read when it has ended.
    own.daemon.stop()
    own.daemon.start()
    assert any("the revert" in line and "`test -f NOTES`" in line for line in own.daemon.log)
    assert any(line.rstrip().endswith(f"waits beside main, take it by: {taking}") for line in own.daemon.log)


def test_a_red_revert_and_a_conflict_are_said_and_the_lane_opens_once_a_person_mends_it(own: OwnSource) -> None:
    own.write({NOTES: "one\nthree\n"})
    broken = spoil(own, "three")
    own.commit({NOTES: "one\nfour\n"}, "Note something else")
    after = answer(own, "revert")
    refused = wait(own, "reload.revert_refused", after)
    assert refused["data"]["reason"] == f"what came after {broken[:12]} conflicts with its revert in {NOTES}"
    asked = question(own)
    assert refused["data"]["reason"] in asked["question"]
    assert "could not be reverted" in project(own)["paused_reason"]
    assert git("status", "--porcelain", cwd=own.repository) == ""
    own.commit({NOTES: None}, "Take the notes away")
    after = answer(own, "revert")
    refused = wait(own, "reload.revert_refused", after)
    assert "conflicts" in refused["data"]["reason"] or "its gate: `test -f NOTES`" in refused["data"]["reason"]
    after = own.cursor
    own.commit({HANDLERS: git("show", f"{broken}^:{HANDLERS}", cwd=own.repository) + "\n", NOTES: "five\n"}, "Mend it")
    wait(own, "project.resumed", after)
    assert not own.daemon.call("decision.list")["decisions"]


@pytest.mark.storm
def test_a_person_may_go_on_as_it_is_and_each_closing_files_one_repair(own: OwnSource) -> None:
    before = len(repairs(own))
    spoil(own, "five")
    assert len(repairs(own)) == before + 1
    spoil(own, "six")
    assert len(repairs(own)) == before + 1
    assert "and 1 before it" in own.daemon.call("decision.show", id=question(own)["id"])["detail"]
    wait(own, "project.resumed", answer(own, "resume"))
    assert project(own)["state"] == "active"
    assert not own.daemon.call("decision.list")["decisions"]
