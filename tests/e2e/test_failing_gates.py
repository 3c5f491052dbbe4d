"""Gates and set-ups that fail in every way: red is never landed, and a person is told what and asked once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.cli.instance import open_process, wait_gone
from tests.e2e.operator import Operator, Project, write_step

ONE = write_step("one.txt", "1\n")
JUNIT = 'printf \'<testsuite name="s">%s</testsuite>\' "{}" > "$RM_JUNIT"'


def tip(project: Project) -> str:
    return project.git("rev-parse", "main")


def is_paused_once(operator: Operator, project: Project, kind: str) -> str:
    """The question about a paused project, of which there must be exactly one; status shows both."""
    questions = [row for row in operator.json("decision", "list") if row["project_id"] == project.name]
    assert [row["kind"] for row in questions] == [kind]
    screen = operator.ok("status")
    assert questions[0]["id"] in screen
    assert operator.json("project", "show", project.name)["state"] == "paused"
    return str(questions[0]["question"])


def test_a_gate_red_on_the_base_pauses_the_project_and_costs_the_task_nothing(operator: Operator) -> None:
    project = operator.project(gate="grep -q mended README")
    before = tip(project)
    task = project.add("One", ONE)
    assert operator.ended(task)["outcome"] == "interrupted"
    assert f"the gate is red on {before[:12]} itself" in is_paused_once(operator, project, "base_red")
    assert operator.detail(task)["view"]["task"]["counted_attempts"] == 0
    assert f"project {project.name} is paused" in operator.ok("show", task)
    assert tip(project) == before
    project.commit("Mend", README="mended\n")
    operator.ok("project", "edit", project.name, "--resume")
    operator.ok("retry", task)
    operator.landed(task)
    assert [row for row in operator.json("decision", "list") if row["project_id"] == project.name] == []


def test_a_gate_that_hangs_is_ended_with_all_that_it_started(operator: Operator, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    hang = f"setsid sh -c 'echo $$ >> {pids}; trap \"\" TERM; while :; do sleep 1000; done' & wait"
    project = operator.project(gate=f"if test -f one.txt; then {hang}; fi", gate_limit_s=0.5)
    before = tip(project)
    task = project.add("One", ONE)
    attempt = operator.ended(task)
    assert (attempt["outcome"], attempt["reason"]) == ("gate_failed", "the gate took longer than its limit")
    assert "timed_out" in operator.ok("show", task)
    left = [open_process(int(pid), None, "gate's") for pid in pids.read_text().split()]
    assert left
    assert wait_gone([process for process in left if process is not None], 0) == []
    assert tip(project) == before
    operator.ok("cancel", task)


def test_a_flaky_gate_lands_and_is_noted(operator: Operator, tmp_path: Path) -> None:
    project = operator.project(gate=f"test -e {tmp_path}/ran || {{ touch {tmp_path}/ran; exit 1; }}")
    task = project.add("One", ONE)
    operator.landed(task)
    assert "green (flaky)" in operator.ok("show", task)


def test_a_missing_gate_command_is_told_as_that(operator: Operator) -> None:
    project = operator.project(gate="no-such-command-here --all")
    before = tip(project)
    task = project.add("One", ONE)
    operator.ended(task)
    assert "the gate's command was not found (exit status 127)" in is_paused_once(operator, project, "base_red")
    assert tip(project) == before


@pytest.mark.parametrize(
    ("tests", "words"),
    [
        ("", "the gate passed but ran no test at all"),
        ("<testcase classname='t' name='a'><skipped/></testcase>", "the gate passed but ran no test at all"),
        ("<testcase", "the gate passed but its report cannot be believed"),
    ],
)
def test_a_gate_that_passes_without_having_run_a_test_is_red(operator: Operator, tests: str, words: str) -> None:
    one_test = JUNIT.format("<testcase classname='t' name='a'/>")
    project = operator.project(gate=f"if test -f one*; then {JUNIT.format(tests)}; else {one_test}; fi")
    before = tip(project)
    task = project.add("One", ONE)
    attempt = operator.ended(task)
    assert attempt["outcome"] == "gate_failed"
    assert attempt["reason"].startswith(words)
    assert tip(project) == before
    operator.ok("cancel", task)


def test_without_a_gate_every_landing_asks(operator: Operator) -> None:
    project = operator.project(gate="")
    before = tip(project)
    task = project.add("One", ONE)
    waited = operator("wait", task, "--timeout", "40")
    assert waited.code == 1
    assert "it needs you: rmctl decision show d-" in waited.err
    assert "the project has no gate, so nothing shows that this works" in operator.ok("show", task)
    assert tip(project) == before
    operator.ok("task", "accept", task)
    operator.landed(task)


@pytest.mark.parametrize("where", ["workspace", "gate"])
def test_set_up_that_fails_pauses_the_project_and_no_agent_runs_for_nothing(operator: Operator, where: str) -> None:
    fails = "no compiler' >&2; exit 7" if where == "workspace" else "no compiler' >&2; test ! -f one.txt"
    project = operator.project(setup=[f"echo '{fails}"])
    before = tip(project)
    task = project.add("One", ONE)
    assert operator.ended(task)["outcome"] == "interrupted"
    assert "set-up" in is_paused_once(operator, project, "setup_failed")
    [row] = [row for row in operator.json("decision", "list") if row["project_id"] == project.name]
    assert "no compiler" in row["detail"]
    events = operator.daemon.call("events.read", task_id=task, type=["attempt.job_started"])["events"]
    assert [event["data"]["kind"] for event in events] == (
        ["setup"] if where == "workspace" else ["setup", "agent", "gate-1-setup"]
    )
    assert tip(project) == before


JUDGES = {
    "changed": (write_step("Makefile", "gate:\n\ttrue\n"), "Makefile"),
    "added": (write_step("deep/conftest.py", "collect_ignore = ['x']\n"), "deep/conftest.py"),
    "put in front of a tool": (write_step("make.py", "print('green')\n"), "make.py"),
}


@pytest.mark.parametrize("how", JUDGES)
def test_a_change_to_what_judges_it_waits_for_a_person(operator: Operator, how: str) -> None:
    step, path = JUDGES[how]
    project = operator.project(files={"README": "toy\n", "Makefile": "gate:\n\ttest -f README\n"}, gate="make gate")
    before = tip(project)
    task = project.add("Help myself", step, ONE)
    waited = operator("wait", task, "--timeout", "40")
    assert waited.code == 1
    [decision] = [row for row in operator.detail(task)["decisions"] if row["state"] == "open"]
    assert decision["kind"] == "protected"
    assert path in decision["question"]
    assert "one.txt" not in decision["question"] + decision["detail"]
    assert tip(project) == before
    operator.ok("task", "accept", task)
    operator.landed(task)
    assert tip(project) != before
