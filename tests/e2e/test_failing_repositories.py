"""Repositories in every shape, and branches that move under the work: nothing of the user's is lost or overwritten."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.operator import Operator, Project, git, make_repository, open_operator, write_step

ONE = write_step("one.txt", "1\n")


@pytest.mark.parametrize(
    ("shape", "code", "words"),
    [
        ("missing", 4, "is not a directory (give the path of a git repository)"),
        ("plain", 6, "is not a git repository (make it one: git -C {path} init)"),
        ("empty", 6, "has no commits (make a first commit: git -C {path} commit --allow-empty -m start)"),
        ("no branch", 6, "is detached, so there is no branch to land on (name the target branch)"),
    ],
)
def test_what_cannot_be_worked_on_is_refused_with_what_to_do(
    operator: Operator, tmp_path: Path, shape: str, code: int, words: str
) -> None:
    path = tmp_path / "it"
    if shape == "plain":
        path.mkdir()
    if shape == "empty":
        subprocess.run(["git", "init", "-q", str(path)], check=True)
    if shape == "no branch":
        make_repository(path)
        git("checkout", "-q", "--detach", cwd=path)
        git("branch", "-m", "main", "trunk", cwd=path)
    with operator.nothing_changes():
        line = operator.refused(code, "project", "add", str(path))
    assert line.endswith(words.format(path=path)), line
    assert not list(tmp_path.rglob("ringmaster-owner"))


def test_a_repository_of_another_daemon_is_refused_by_name(operator: Operator, tmp_path: Path) -> None:
    project = operator.project()
    git("worktree", "add", "-q", str(tmp_path / "linked"), "-b", "side", cwd=project.path)
    with open_operator(tmp_path / "second") as second:
        for path in (project.path, tmp_path / "linked"):
            with second.nothing_changes():
                line = second.refused(6, "project", "add", str(path))
            assert f"belongs to the ringmaster instance '{operator.daemon.state}'" in line
            assert "remove the project there first" in line
        operator.ok("project", "remove", project.name, "-y")
        assert second.ok("-q", "project", "add", str(project.path), "--gate", "true", "--name", "mine") == "mine\n"


def test_a_bare_repository_works_from_end_to_end(operator: Operator, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git("clone", "-q", "--bare", str(make_repository(tmp_path / "seed")), str(bare), cwd=tmp_path)
    project = operator.project(bare)
    task = operator.landed(project.add("One", ONE))["view"]["task"]
    assert project.git("rev-parse", "main") == task["landed_commit"]
    assert project.git("show", "main:one.txt") == "1"


def snapshot(path: Path) -> dict[str, bytes]:
    """Every file of a checkout and the state of its index and HEAD, byte for byte."""
    files = {str(file): file.read_bytes() for file in path.rglob("*") if file.is_file() and ".git" not in file.parts}
    files |= {name: (path / ".git" / name).read_bytes() for name in ("HEAD", "index")}
    return files


def test_work_lands_beside_a_detached_head_and_the_checkout_stays_as_it_is(operator: Operator) -> None:
    repository = make_repository(operator.root / "detached")
    git("checkout", "-q", "--detach", cwd=repository)
    before = snapshot(repository)
    project = operator.project(repository)
    task = operator.landed(project.add("One", ONE))["view"]["task"]
    assert project.git("rev-parse", "main") == task["landed_commit"]
    assert snapshot(repository) == before


def test_a_dirty_checkout_is_left_alone_and_one_command_takes_the_work(operator: Operator) -> None:
    project = operator.project()
    (project.path / "README").write_text("my own words\n")
    (project.path / "mine.txt").write_text("untracked\n")
    before = snapshot(project.path)
    task = project.add("One", ONE)
    assert operator("wait", task, "--timeout", "40").code == 0
    assert snapshot(project.path) == before
    command = f"git -C {project.path} merge --ff-only ringmaster/landed/main"
    assert command in operator.ok("status")
    assert f"landed, not yet in your checkout: {command}" in operator.ok("show", task)
    subprocess.run(command.split(), check=True, capture_output=True)
    assert (project.path / "one.txt").read_text() == "1\n"
    assert (project.path / "README").read_text() == "my own words\n"


def at_work(project: Project, title: str, *recorded: dict[str, object]) -> tuple[str, Path]:
    """A task whose agent has begun and waits, and the FIFO that lets it go on."""
    fifo = project.path.with_name(f"{project.path.name}.go")
    os.mkfifo(fifo)
    wait = {"do": "fifo", "path": str(fifo), "when": {"attempt": 1}}
    task = project.add(title, wait, *recorded)
    project.operator.event("attempt.job_started", task, kind="agent")
    return task, fifo


def test_a_deleted_target_pauses_the_project_and_the_work_lands_once_it_is_back(operator: Operator) -> None:
    project = operator.project()
    task, fifo = at_work(project, "One", ONE)
    base = project.git("rev-parse", "main")
    project.git("checkout", "-q", "--detach")
    project.git("branch", "-D", "main")
    fifo.write_text("go")
    attempt = operator.ended(task)
    assert attempt["outcome"] == "interrupted"
    assert f"{project.path} has no branch 'main'" in operator.ok("project", "show", project.name)
    assert f"{project.name} cannot land: {project.path} has no branch 'main'" in operator.ok("decision", "list")
    project.git("branch", "main", base)
    operator.ok("project", "edit", project.name, "--resume")
    operator.ok("retry", task)
    landed = operator.landed(task)
    assert project.git("rev-parse", "main") == landed["view"]["task"]["landed_commit"]
    assert project.git("show", "main:one.txt") == "1"


def test_a_target_that_moves_while_the_gate_runs_is_gated_again_on_the_new_tip(operator: Operator) -> None:
    hold = operator.root / "hold.fifo"
    os.mkfifo(hold)
    project = operator.project(gate=f"cat {hold}")
    task = project.add("One", ONE)
    operator.event("attempt.job_started", task, kind="gate-1")
    mine = project.commit("By hand", **{"mine.txt": "mine\n"})
    hold.write_text("first\n")
    operator.event("attempt.job_started", task, kind="gate-2")
    hold.write_text("second\n")
    detail = operator.landed(task)
    landed = detail["view"]["task"]["landed_commit"]
    assert [receipt["result"] for receipt in detail["receipts"]] == ["green", "green"]
    assert landed in [receipt["commit"] for receipt in detail["receipts"]]
    assert project.git("rev-parse", "main", f"{landed}^1") == f"{landed}\n{mine}"
    assert sorted(path.name for path in project.path.glob("*.txt")) == ["mine.txt", "one.txt"]


@pytest.mark.parametrize("move", ["conflicting", "unrelated"])
def test_a_target_that_does_not_take_the_work_is_left_and_the_task_begins_anew_on_it(
    operator: Operator, move: str
) -> None:
    project = operator.project()
    task, fifo = at_work(project, "Say so", write_step("README", "the agent's\n"))
    if move == "unrelated":
        project.git("checkout", "-q", "--orphan", "elsewhere")
    mine = project.commit("By hand", README="mine\n")
    if move == "unrelated":
        project.git("branch", "-f", "main", "elsewhere")
    fifo.write_text("go")
    first = operator.ended(task)
    assert first["outcome"] == "conflict"
    assert ("unrelated histories" if move == "unrelated" else "README") in first["reason"]
    detail = operator.landed(task)
    assert mine in [attempt["base_commit"] for attempt in detail["attempts"]]
    assert project.git("rev-parse", "main^1") == mine
    assert project.git("show", "main:README") == "the agent's"
    # The first attempt's work is not thrown away: it stays in the daemon's repository under its name.
    kept = operator.daemon.state / "repositories" / f"{project.name}.git"
    assert git("show", f"{first['head_commit']}:README", cwd=kept) == "the agent's"


def test_parked_work_whose_target_became_something_unrelated_is_one_question_and_stays(operator: Operator) -> None:
    project = operator.project()
    (project.path / "README").write_text("my own words\n")
    first = operator.landed(project.add("One", ONE))["view"]["task"]["landed_commit"]
    # In one step: between two the daemon could bring what is parked to a target that nobody has checked out.
    mine = project.git("commit-tree", "main^{tree}", "-m", "By hand")
    project.git("update-ref", "refs/heads/main", mine)
    second = project.add("Two", write_step("two.txt", "2\n"))
    assert operator.ended(second)["outcome"] == "interrupted"
    [question] = [row for row in operator.json("decision", "list") if row["project_id"] == project.name]
    assert question["kind"] == "diverged"
    assert "went apart and do not merge: unrelated histories" in question["question"]
    assert f"git -C {project.path} merge ringmaster/landed/main" in question["detail"]
    assert project.git("rev-parse", "main", "ringmaster/landed/main") == f"{mine}\n{first}"


def test_a_target_that_is_gone_before_the_work_begins_is_named_and_costs_no_attempt(operator: Operator) -> None:
    project = operator.project()
    project.git("branch", "-m", "main", "trunk")
    task = project.add("One", ONE)
    operator.ended(task)
    assert f"{project.path} has no branch 'main'" in operator.ok("show", task)
    assert operator.detail(task)["view"]["task"]["counted_attempts"] == 0
    operator.ok("project", "edit", project.name, "--target", "trunk", "--resume")
    operator.ok("retry", task)
    assert project.git("rev-parse", "trunk") != operator.landed(task)["attempts"][0]["base_commit"]
