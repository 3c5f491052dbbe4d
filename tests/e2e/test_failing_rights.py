"""What an agent may do with rmctl: speak for itself, look at its own task, and nothing else, whatever it tries."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.e2e.operator import Operator, Project, write_step
from tests.fakes.rmctl import RMCTL

FORBIDDEN = "task accept {other}|cancel {own}|retry {other}|worker stop --all|project edit {project} approve=auto"
FORBIDDEN += (
    "|decision answer d-1 yes|add 'More work'|daemon stop|rpc task.accept '{{\"id\": \"{other}\"}}'|show {other}"
)


@pytest.fixture(scope="module")
def project(operator: Operator) -> Project:
    return operator.project()


def script(project: Project, commands: list[str]) -> str:
    """A shell script that writes each command's exit code and words into codes.txt, and so into the landed work."""
    rmctl = f"{shlex.quote(str(RMCTL))} -s {shlex.quote(str(project.operator.daemon.state))}"
    lines = [command.replace("RMCTL", rmctl) for command in commands]
    return "\n".join(f"( {line} ) >/dev/null 2>said; echo $? $(cat said) >> codes.txt" for line in lines) + "\nrm said"


def told(operator: Operator, project: Project, *commands: str) -> list[tuple[int, str]]:
    """The exit code and the words of each command, run by an agent. OWN: its task."""
    task = project.add(
        "Help myself", {"do": "run", "shell": script(project, list(commands)).replace("OWN", "$RM_TASK")}
    )
    operator.landed(task)
    answers = [line.partition(" ") for line in project.git("show", "main:codes.txt").splitlines()]
    project.git("rm", "-q", "codes.txt")
    project.git("commit", "-q", "-m", "Forget")
    return [(int(code), words) for code, _, words in answers]


def test_an_agent_may_not_do_what_only_a_person_may(operator: Operator, project: Project) -> None:
    operator.ok("project", "edit", project.name, "approve=ask")
    other = project.add("Wait for a person", write_step("other.txt", "x\n"))
    operator.settled(other)
    operator.ok("project", "edit", project.name, "approve=auto")
    words = FORBIDDEN.format(own="OWN", other=other, project=project.name).split("|")
    before = operator.detail(other)
    answers = told(operator, project, *(f"RMCTL {command}" for command in words))
    assert len(answers) == len(words)
    for command, (code, said) in zip(words, answers, strict=True):
        assert code == 7, (command, code, said)
        assert said.startswith("rmctl: "), (command, said)
        assert "attempt rm-" in said, (command, said)
    assert operator.detail(other)["view"]["task"]["version"] == before["view"]["task"]["version"]
    assert operator.json("project", "show", project.name)["config"]["approve"] == "auto"
    operator.ok("task", "reject", other, "-m", "not needed")
    operator.ok("cancel", other)


def test_no_disguise_gives_an_agent_more(operator: Operator, project: Project) -> None:
    stop = "RMCTL worker stop --all"
    answers = told(
        operator,
        project,
        f"env -i {stop}",
        f"env -i setsid -w {stop}",
        # Its parent is gone by the time it connects: it belongs to the shim now, which is a subreaper.
        f"mkfifo go done; setsid sh -c '{{ read x < go; env -i {stop} 2>told; echo $? > done; }} & '; "
        "echo > go; code=$(cat done); cat told >&2; rm -f done go told; exit $code",
    )
    assert [code for code, _ in answers] == [7, 7, 7], answers
    assert all(worker["shown"] != "stopped" for worker in operator.json("worker", "list"))


def test_an_agent_speaks_for_itself_alone(operator: Operator, project: Project) -> None:
    report = """RMCTL rpc attempt.report '{"attempt_id": "'%s'", "token": "'$RM_TOKEN'", "status": "succeeded"}'"""
    answers = told(operator, project, report % "$RM_ATTEMPT", report % "rm-zzzzz/1", "RMCTL show OWN", "RMCTL health")
    codes = [code for code, _ in answers]
    assert codes == [0, 7, 0, 0], answers
    assert "may not speak for rm-zzzzz/1" in answers[1][1]


def test_a_person_with_a_token_of_an_ended_attempt_is_late(operator: Operator, project: Project) -> None:
    fields = {"attempt_id": "", "token": "stale", "status": "succeeded"}
    task = project.add("One", write_step("late.txt", "x\n"))
    operator.landed(task)
    fields["attempt_id"] = f"{task}/1"
    with operator.nothing_changes():
        line = operator.refused(5, "rpc", "attempt.report", json.dumps(fields))
    assert f"{task}/1" in line
