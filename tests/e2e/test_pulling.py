"""Tasks worked on by hand: pulled, reported, judged by the daemon, whatever dies in between."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from tests.e2e.operator import Operator, Project, open_operator
from tests.fakes.house import git


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with open_operator(tmp_path_factory.mktemp("op")) as made:
        yield made


def pull(operator: Operator, worker: str, **params: Any) -> Any:
    """What `attempt.pull` answers."""
    return operator.daemon.call("attempt.pull", worker=worker, **params)


def names(pulled: Any) -> dict[str, str]:
    return {"attempt_id": pulled["attempt"], "token": pulled["token"]}


def refusal(operator: Operator, method: str, **params: Any) -> RingmasterError:
    with pytest.raises(RingmasterError) as caught:
        operator.daemon.call(method, **params)
    return caught.value


def hand_project(operator: Operator, **config: Any) -> Project:
    """A project whose own worker is paused, so that only hands take its tasks."""
    project = operator.project(**config)
    operator.daemon.call("worker.stop", id=f"w-{project.name}")
    return project


def test_a_task_goes_from_pull_to_landing_by_a_report(operator: Operator):
    project = hand_project(operator)
    task_id = project.add("Do it by hand")
    pulled = pull(operator, "ann")
    assert (pulled["task"], pulled["attempt"], pulled["worker"]) == (task_id, f"{task_id}/1", "ann")
    (Path(pulled["workspace"]) / "one.txt").write_text("1\n")
    answer = operator.daemon.call("attempt.report", **names(pulled), status="succeeded", summary="wrote one")
    assert answer["is_final"]
    assert operator.landed(task_id)["attempts"][0]["outcome"] == "succeeded"
    assert git("show", "main:one.txt", cwd=project.path) == "1"
    again = operator.daemon.call("attempt.report", **names(pulled), status="succeeded", summary="wrote one")
    assert again == answer


def at(operator: Operator, workspace: str, *args: str, **environ: str) -> Any:
    """Run rmctl as somebody who is in a directory and has no more than that; how it ended."""
    return operator.rmctl.at(Path(workspace), *args, **environ)


def test_a_person_does_all_of_it_with_rmctl(operator: Operator):
    project = hand_project(operator)
    task_id = project.add("By hand")
    after_id = project.add("Then this", after=[task_id])
    row = json.loads(operator.ok("pull", "--json", "--worker", "bob", "--lease", "20m"))
    assert {name: row[name] for name in ("task", "attempt", "lease_s", "branch", "worker")} == {
        "task": task_id,
        "attempt": f"{task_id}/1",
        "lease_s": 1200.0,
        "branch": f"ringmaster/{task_id}-1",
        "worker": "bob",
    }
    workspace = Path(row["workspace"])
    assert git("branch", "--show-current", cwd=workspace) == row["branch"]
    ticket = workspace / ".git" / "ringmaster-attempt.json"
    assert ticket.stat().st_mode & 0o777 == 0o600
    # The workspace says who one is, also from a directory below and with nothing in the environment.
    (workspace / "below").mkdir()
    told = at(operator, f"{workspace}/below", "build-prompt")
    assert told.code == 0, told
    assert "By hand" in told.out
    primed = operator.ok("prime")
    assert "rmctl report -m 'what was done'" in primed
    assert primed.split("rmctl heartbeat")[0].split("- End with")[1] in told.out, "one source for both"
    assert at(operator, str(workspace), "heartbeat").out == f"{task_id}/1\t1200.0\n"
    (workspace / "below" / "two.txt").write_text("2\n")
    done = at(operator, str(workspace), "report-result", "-m", "wrote two")
    assert (done.code, done.out) == (0, f"{task_id}/1\n"), done
    detail = operator.landed(task_id)
    assert detail["attempts"][0]["report"]["summary"] == "wrote two"
    assert detail["receipts"][0]["result"] == "green"
    assert operator.detail(after_id)["view"]["shown"] == "ready"
    assert json.loads(operator.ok("pull", "--json", "--worker", "bob"))["task"] == after_id
    operator.ok("cancel", after_id)


def test_a_lease_that_runs_out_gives_the_task_to_the_next_with_what_was_done(operator: Operator):
    project = hand_project(operator)
    task_id = project.add("Take long")
    pulled = pull(operator, "slow", lease_s=1.0)
    workspace = Path(pulled["workspace"])
    (workspace / "half.txt").write_text("half\n")
    ended = operator.ended(task_id)
    assert (ended["outcome"], "lease ran out" in ended["reason"]) == ("interrupted", True)
    assert ended["report"]["snapshot"].startswith(f"refs/ringmaster/keep/{task_id}/1/snapshot-")
    for args in (("report", "-m", "late"), ("heartbeat",), ("ask", "what?"), ("prompt",)):
        with operator.nothing_changes():
            late = at(operator, str(workspace), *args)
        assert (late.code, late.out) == (5, ""), late
        assert "ended as interrupted" in late.err
        assert f"your work is in {workspace}" in late.err
        assert late.err.count("\n") == 1
    # At once, without the five seconds.
    operator.daemon.call("task.retry", id=task_id)
    again = pull(operator, "quick")
    assert again["attempt"] == f"{task_id}/2"
    assert (Path(again["workspace"]) / "half.txt").read_text() == "half\n"
    # Who was late may go on writing: it reaches nobody.
    (workspace / "half.txt").write_text("from a late worker\n")
    assert "lease ran out" in operator.daemon.call("attempt.prompt", **names(again))["prompt"]
    with operator.nothing_changes():
        crossed = refusal(
            operator, "attempt.report", attempt_id=again["attempt"], token=pulled["token"], status="failed"
        )
    assert (crossed.kind, "not the token of" in crossed.message) == (ErrorKind.LEASE_LOST, True)
    operator.daemon.call("attempt.report", **names(again), status="succeeded")
    operator.landed(task_id)
    assert git("show", "main:half.txt", cwd=project.path) == "half"


def test_a_daemon_that_is_killed_takes_nothing_from_who_works(operator: Operator):
    project = hand_project(operator)
    task_id = project.add("Outlive the daemon")
    pulled = pull(operator, "steady")
    workspace = Path(pulled["workspace"])
    operator.daemon.kill()
    down = at(operator, str(workspace), "heartbeat")
    assert down.code == 3, down
    operator.daemon.start()
    assert at(operator, str(workspace), "heartbeat").code == 0
    (workspace / "work.txt").write_text("done\n")
    # Answered means committed: what the daemon has heard it judges after any death.
    operator.daemon.call("attempt.report", **names(pulled), status="succeeded", summary="done")
    operator.daemon.kill()
    operator.daemon.start()
    operator.landed(task_id)
    again = operator.daemon.call("attempt.report", **names(pulled), status="succeeded", summary="done")
    assert again["is_final"]
    other = refusal(operator, "attempt.report", **names(pulled), status="failed", summary="no")
    assert other.kind is ErrorKind.WRONG_STATE


def test_a_pull_repeated_under_its_key_gives_the_same_attempt(operator: Operator):
    project = hand_project(operator)
    task_id = project.add("Once")
    first = pull(operator, "twice", idempotency_key="k-1")
    operator.daemon.kill()
    operator.daemon.start()
    assert pull(operator, "twice", idempotency_key="k-1") == first
    assert first["task"] == task_id
    taken = refusal(operator, "attempt.pull", worker="twice")
    assert (taken.kind, first["attempt"] in taken.message) == (ErrorKind.WRONG_STATE, True)
    operator.daemon.call("attempt.report", **names(first), status="interrupted", summary="too hard")
    ended = operator.ended(task_id)
    assert (ended["outcome"], ended["reason"]) == ("interrupted", "handed back by its worker: too hard")
    operator.ok("cancel", task_id)


def test_a_question_waits_for_a_person_and_its_answer_is_in_the_next_prompt(operator: Operator):
    project = hand_project(operator)
    task_id = project.add("Choose")
    workspace = pull(operator, "asker")["workspace"]
    decision = at(operator, workspace, "ask", "Red", "or", "blue?", "--option", "red", "--option", "blue").out.strip()
    # A claim beside an open question is the question.
    assert at(operator, workspace, "report", "-m", "painted it").code == 0
    assert operator.ended(task_id)["outcome"] == "needs_decision"
    assert operator.detail(task_id)["view"]["shown"] == "waiting"
    operator.ok("decision", "answer", decision, "blue")
    again = pull(operator, "asker")
    told = at(operator, again["workspace"], "prompt").out
    assert '"question":"Red or blue?","answer":"blue"' in told
    # One that is answered meanwhile holds nothing up.
    second = at(operator, again["workspace"], "ask", "Sure?").out.strip()
    operator.ok("decision", "answer", second, "yes")
    (Path(again["workspace"]) / "paint.txt").write_text("blue\n")
    assert at(operator, again["workspace"], "report").code == 0
    operator.landed(task_id)


@pytest.mark.parametrize(("outcome", "became"), [("failed", "failed"), ("complete", "no_changes")])
def test_a_claim_is_judged_by_the_outcome_table(operator: Operator, outcome: str, became: str):
    project = hand_project(operator)
    task_id = project.add(f"End as {outcome}")
    workspace = pull(operator, "honest")["workspace"]
    assert at(operator, workspace, "report", "--outcome", outcome, "-m", "see there").code == 0
    assert operator.ended(task_id)["outcome"] == became
    operator.ok("cancel", task_id)


def test_a_red_gate_refuses_what_was_called_complete(operator: Operator):
    project = hand_project(operator, gate="test ! -e bad.txt")
    task_id = project.add("Break it")
    pulled = pull(operator, "hasty")
    (Path(pulled["workspace"]) / "bad.txt").write_text("bad\n")
    assert at(operator, pulled["workspace"], "report").code == 0
    assert operator.ended(task_id)["outcome"] == "gate_failed"
    assert project.git("ls-files") == "README"
    operator.ok("cancel", task_id)


def test_what_a_person_ends_is_ended_and_who_works_on_it_hears_of_it(operator: Operator):
    project = hand_project(operator)
    task_id = project.add("Cancelled")
    workspace = pull(operator, "cut")["workspace"]
    operator.ok("cancel", task_id)
    assert operator.ended(task_id)["outcome"] == "cancelled"
    late = at(operator, workspace, "report")
    assert (late.code, "ended as cancelled" in late.err) == (5, True)
    task_id = project.add("Stopped")
    pull(operator, "cut")
    operator.ok("worker", "stop", "cut")
    ended = operator.ended(task_id)
    assert (ended["outcome"], ended["reason"]) == ("interrupted", "worker cut was stopped")
    assert "is stopped" in operator.refused(6, "pull", "--worker", "cut")
    operator.ok("cancel", task_id)


def test_who_one_is_is_said_and_never_guessed(operator: Operator, tmp_path: Path):
    project = hand_project(operator)
    task_id = project.add("Whose?")
    pulled = pull(operator, "known")
    socket = {"RMCTL_SOCKET": str(operator.daemon.socket)}
    nobody = at(operator, str(tmp_path), "report", **socket)
    assert (nobody.code, nobody.err.count("\n")) == (2, 1)
    assert "RM_TOKEN is not set" in nobody.err
    named = ("--attempt", pulled["attempt"], "--token", pulled["token"])
    assert at(operator, str(tmp_path), "heartbeat", *named, **socket).code == 0
    environ = {"RM_ATTEMPT": pulled["attempt"], "RM_TOKEN": pulled["token"], **socket}
    assert at(operator, str(tmp_path), "heartbeat", **environ).code == 0
    with operator.nothing_changes():
        # What is said comes first, and is not mended by what lies about.
        wrong = at(operator, pulled["workspace"], "report", "--token", "0" * 32)
        assert (wrong.code, "not the token of" in wrong.err) == (5, True)
        missing = at(operator, pulled["workspace"], "report", "--attempt", f"{task_id}/7")
        assert missing.code == 2, missing
    operator.ok("cancel", task_id)


def test_a_pull_waits_for_work_and_can_be_given_up(operator: Operator):
    project = hand_project(operator)
    assert "no task to pull" in operator.refused(5, "pull", "--worker", "patient")
    assert "no task came in time" in operator.refused(124, "pull", "--worker", "patient", "--wait", "--timeout", "0.2")
    assert "is given its tasks by the daemon" in operator.refused(5, "pull", "--worker", f"w-{project.name}")
    with operator.rmctl.start("pull", "--worker", "patient", "--wait", "--json") as process:
        task_id = project.add("At last")
        out, err = process.communicate(timeout=20)
    assert json.loads(out)["task"] == task_id, err
    operator.ok("cancel", task_id)


def test_a_set_up_that_fails_is_said_to_who_pulls(operator: Operator):
    project = hand_project(operator, setup=["echo cannot; exit 3"])
    task_id = project.add("Never ready")
    words = operator.refused(6, "pull", "--worker", "unlucky")
    assert "could not be made ready and ended as interrupted: set-up ended with exit status 3" in words
    operator.ok("cancel", task_id)
