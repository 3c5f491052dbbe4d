"""From what the daemon knows of its agents, keeper, projects and leftovers to findings."""

from __future__ import annotations

import pytest

from ringmaster.doctor import instance_rules as rules
from ringmaster.doctor.facts import KeeperFacts, LeftoverFacts, PageFacts, ProjectFacts, RunningJob
from ringmaster.protocol.database import DatabaseFacts
from tests.unit.doctor.making import NOW, make_agent


@pytest.mark.parametrize(
    ("changes", "level", "mend"),
    [
        ({}, "ok", ""),
        ({"program": ""}, "error", "npm install -g @anthropic-ai/claude-code"),
        ({"program": "", "seats": 0, "is_named": True}, "warning", "npm install -g @anthropic-ai/claude-code"),
        (
            {"program": "", "kind": "command", "wanted": "aider", "needs_login": False},
            "error",
            "put aider on PATH, then: rmctl daemon restart",
        ),
        ({"account": ""}, "error", "claude /login"),
        ({"account": "", "key_env": "THE_KEY"}, "error", "export THE_KEY=… && rmctl daemon restart"),
        ({"account": "", "seats": 0}, "ok", "claude /login"),
        ({"rests_until_at": NOW + 600, "rests_because": "limit"}, "warning", "rmctl agent test claude"),
        ({"rests_until_at": NOW - 1}, "ok", ""),
        ({"name": "own", "kind": "command", "wanted": "", "program": "", "needs_login": False}, "ok", ""),
    ],
)
def test_agents(changes, level, mend):
    found = rules.judge_agent(make_agent(**changes), NOW)
    assert found is not None
    assert (found.level, found.mend) == (level, mend)


def test_an_agent_that_nobody_has_and_nobody_named_is_no_finding():
    assert rules.judge_agent(make_agent(program="", seats=0), NOW) is None
    assert rules.no_agent().level == "warning"


@pytest.mark.parametrize(
    ("state", "is_kept", "unit", "expected"),
    [
        ("ok", True, "", [("keeper", "ok")]),
        ("ok", True, "ringmaster.service", [("keeper", "ok")]),
        ("ok", False, "", [("keeper", "warning")]),
        ("estop", True, "", [("state", "warning"), ("keeper", "ok")]),
        ("degraded", True, "", [("state", "error"), ("keeper", "ok")]),
    ],
)
def test_keeper_and_state(state, is_kept, unit, expected):
    found = rules.judge_keeper(KeeperFacts(is_kept=is_kept, unit=unit, state=state, words="full"))
    assert [(finding.check, finding.level) for finding in found] == expected
    assert found[-1].is_safe == (not is_kept)


@pytest.mark.parametrize(
    ("problems", "needed", "level", "mend"),
    [
        ((), 0, "ok", ""),
        (("row 1 missing",), 0, "error", "rmctl db check"),
        (("it needs a version that knows schema 9",), 9, "error", "use the newer version"),
    ],
)
def test_database(problems, needed, level, mend):
    found = rules.judge_database(
        DatabaseFacts(
            path="/s/db",
            bytes=1024,
            schema=3,
            known_schema=3,
            min_code_schema=needed,
            sqlite="3.50",
            problems=problems,
        )
    )
    assert (found.level, found.mend.partition(",")[0]) == (level, mend)
    assert ("damaged" in found.words) == (mend == "rmctl db check"), "newer is not damaged"


def test_projects():
    def make(id: str, *, is_there=True, is_sandboxed=False, has_sandbox_program=True) -> ProjectFacts:
        return ProjectFacts(
            id=id,
            path=f"/src/{id}",
            is_there=is_there,
            is_sandboxed=is_sandboxed,
            has_sandbox_program=has_sandbox_program,
        )

    (well,) = rules.judge_projects([make("a"), make("b", is_sandboxed=True)])
    assert (well.level, well.words) == ("ok", "2 repositories are in place")
    assert rules.judge_projects([])[0].level == "ok"
    bare = make("open", has_sandbox_program=False)
    gone, walls = rules.judge_projects(
        [make("my toy", is_there=False), make("w", is_sandboxed=True, has_sandbox_program=False), bare]
    )
    assert (gone.level, gone.mend) == ("error", "put it back, or: rmctl project remove 'my toy'")
    assert (walls.check, walls.level, walls.mend) == ("project w", "error", "sudo apt install bubblewrap")


def judge_leftovers(**changes):
    nothing: dict = {"due": (), "due_bytes": 0, "kept": (), "unowned": (), "stale": ()}
    return rules.judge_leftovers(LeftoverFacts(**(nothing | changes)))


def test_leftovers():
    assert [finding.words for finding in judge_leftovers()] == ["none"]
    (due,) = judge_leftovers(due=("a", "b", "c", "d", "e"), due_bytes=2048)
    assert (due.level, due.mend, due.is_safe) == ("ok", "rmctl gc", True)
    assert due.words.startswith("a, b, c and 2 more: past their time, 2 KiB")
    (stale,) = judge_leftovers(stale=("/s/trial-1", "/s/x y.partial"))
    assert (stale.level, stale.mend, stale.is_safe) == ("warning", "rm -r /s/trial-1 '/s/x y.partial'", True)


def test_what_may_hold_work_is_named_and_never_safe_to_mend():
    found = judge_leftovers(unowned=("/s/workspaces/x",), kept=("/s/w: it is no workspace of a task",))
    assert [(finding.level, finding.is_safe) for finding in found] == [("warning", False)] * 2
    many = judge_leftovers(unowned=tuple(f"/s/{number}" for number in range(50)))
    assert len(many) == rules.NAMED + 1
    assert many[0].words.startswith("50 of these")


def test_a_job_that_outlived_its_attempt_is_named_and_kept_work_is_no_warning():
    jobs = (RunningJob(attempt_id="rm-a/1", pid=7), RunningJob(attempt_id="rm-b/1", pid=0))
    found = judge_leftovers(running=jobs, unknown=("rm-c/1",))
    assert [(finding.level, finding.mend) for finding in found] == [
        ("ok", "rmctl gc"),
        ("warning", "kill 7"),
        ("warning", "rmctl daemon restart"),
    ]
    assert not any(finding.is_safe for finding in found)


def test_the_page():
    url = "http://127.0.0.1:1"
    assert rules.judge_page(PageFacts(is_enabled=True, url=url)).words == f"at {url}"
    assert rules.judge_page(PageFacts(is_enabled=False, why_not="off")).level == "ok"
    silent = rules.judge_page(PageFacts(is_enabled=True, why_not="cannot listen on 127.0.0.1: in use"))
    assert (silent.level, silent.words) == ("warning", "there is none: cannot listen on 127.0.0.1: in use")
    elsewhere = rules.judge_page(PageFacts(is_enabled=True, url=url, why_not="cannot listen on 127.0.0.1:2: in use"))
    assert (elsewhere.level, "and not where [stream] says: cannot" in elsewhere.words) == ("warning", True)
    unseen = rules.judge_page(PageFacts(is_enabled=True, url=url, unseen="its process cannot be seen by the daemon"))
    assert (unseen.level, "may pass for a person" in unseen.words) == ("warning", True)
