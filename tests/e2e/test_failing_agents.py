"""Agents that misbehave in every way: each is ended with all it started, named, and harms nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ringmaster.cli.instance import Process, open_process, wait_gone
from tests.e2e.operator import Operator, Project, write_step

ONE = write_step("one.txt", "1\n")
Begin = Callable[..., tuple[str, list[Process]]]


@pytest.fixture
def begin(operator: Operator, tmp_path: Path) -> Begin:
    """Starts a task whose agent does `before`, says which processes it has, and goes on once they are held by pidfd.

    before: each may name its pid file as PIDS/name. The agent's own pid is among them.
    """

    def start(project: Project, before: list[dict[str, Any]], *after: dict[str, Any], **fields: Any):
        pids, fifo = tmp_path / "pids", tmp_path / "go"
        pids.mkdir()
        os.mkfifo(fifo)
        own = {"do": "run", "shell": f"echo $PPID > {pids}/agent"}
        named = [{**step, "pid_file": str(pids / step["pid_file"])} if "pid_file" in step else step for step in before]
        ready = {"do": "run", "shell": f"echo > {fifo}"}
        task = project.add("Misbehave", own, *named, ready, {"do": "fifo", "path": str(fifo)}, *after, **fields)
        fifo.read_text()
        held = [open_process(int(path.read_text()), None, path.name) for path in pids.iterdir()]
        fifo.write_text("go")
        return task, [process for process in held if process is not None]

    return start


@pytest.fixture
def little_memory(left_out: Callable[[str, str], NoReturn]) -> Iterator[Path]:
    """A control group whose processes have 32 MB together."""
    # With version 2 a group with processes has no limited one below it: that is shown on a booted system.
    group = Path(f"/sys/fs/cgroup/memory/ringmaster-test-{os.getpid()}")
    try:
        group.mkdir()
    except OSError as error:
        left_out("out of memory", f"no control group of version 1 can be made here: {error.strerror}")
    try:
        (group / "memory.limit_in_bytes").write_text(str(32 << 20))
        yield group
    finally:
        group.rmdir()


def all_gone(processes: list[Process]) -> bool:
    """Whether none of them is left now."""
    left = wait_gone(processes, 0)
    for process in processes:
        process.close()
    return left == []


def test_no_descendant_survives_an_agent_that_forks_away(operator: Operator, begin: Begin) -> None:
    project = operator.project()
    forks = [
        {"do": "fork", "how": how, "is_ignoring_term": True, "is_env_clean": is_clean, "pid_file": f"{how}-{is_clean}"}
        for how in ("child", "setsid", "double")
        for is_clean in (False, True)
    ]
    task, processes = begin(project, forks, ONE)
    assert len(processes) == 7
    operator.landed(task)
    assert all_gone(processes)
    assert (project.path / "one.txt").exists()


@pytest.mark.slow
def test_an_agent_that_hangs_and_ignores_term_is_ended_at_its_limit(operator: Operator, begin: Begin) -> None:
    project = operator.project()
    stay = {"do": "fork", "how": "double", "is_ignoring_term": True, "pid_file": "stay"}
    task, processes = begin(project, [{"do": "ignore_term"}, stay], {"do": "hang"}, limits={"wall_s": 3.0})
    attempt = operator.ended(task)
    assert attempt["outcome"] == "timed_out"
    assert all_gone(processes)
    assert len(processes) == 2
    assert "timed_out" in operator.ok("show", task)
    operator.ok("cancel", task)


def test_cancelling_ends_an_agent_that_ignores_term_and_says_so_first(operator: Operator, begin: Begin) -> None:
    project = operator.project()
    task, processes = begin(project, [{"do": "ignore_term"}], {"do": "hang"})
    assert operator("cancel", task).code == 0
    assert operator("wait", task, "--timeout", "40").out.split("\t")[1] == "cancelled"
    assert all_gone(processes)
    assert len(processes) == 1


def test_an_agent_that_floods_is_stopped_and_its_output_stays_bounded(operator: Operator) -> None:
    limit = 200_000
    project = operator.project()
    task = project.add("Flood", {"do": "flood"}, limits={"output_bytes": limit})
    attempt = operator.ended(task)
    assert attempt["outcome"] == "output_flood"
    output = Path(attempt["files"]) / "agent" / "stdout"
    # The limit is looked at every 0.05 to 1 s, by how fast the output grows, so it overshoots by what a machine
    # writes in that time; without a limit this one would write until the disk is full.
    assert limit <= output.stat().st_size < 1024 * 1024 * 1024
    assert set(operator.ok("logs", task, "-n", "1").strip()) == {"x"}
    operator.ok("cancel", task)


def test_binary_output_comes_back_byte_for_byte_to_who_asks_for_it_raw(operator: Operator) -> None:
    project = operator.project()
    task = project.add("Bytes", {"do": "binary", "times": 3}, ONE)
    operator.landed(task)
    with operator.rmctl.start("logs", "--raw", task) as logs:
        out, err = logs.communicate(timeout=30)
    assert (logs.returncode, err) == (0, b"")
    assert bytes(range(256)) * 3 in out
    assert "\ufffd" in operator.json("logs", task)["text"]


def make_program(path: Path) -> Path:
    """A program that does nothing."""
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("change", [Path.unlink, lambda program: program.chmod(0o644)], ids=["gone", "no program"])
def test_an_agent_that_cannot_be_started_is_named_and_the_task_waits(
    operator: Operator, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    program = make_program(tmp_path / "agent")
    project = operator.project(agent="command", command=(str(program), "{prompt_file}"))
    change(program)
    task = project.add("Start")
    attempt = operator.ended(task)
    assert attempt["outcome"] == "spawn_failed"
    assert str(program) in attempt["reason"]
    page = operator.ok("show", task)
    assert "spawn_failed" in page
    assert "it runs again in" in page
    assert operator.detail(task)["view"]["task"]["counted_attempts"] == 0


def test_what_an_agent_changes_in_the_users_repository_is_named(operator: Operator) -> None:
    project = operator.project()
    git = ["-C", str(project.path)]
    project.git("branch", "old")
    was = project.git("rev-parse", "main")
    task = project.add(
        "Wander",
        ONE,
        {"do": "touch_outside", "path": str(project.path / "stray.txt"), "text": "x"},
        {"do": "git", "argv": [*git, "branch", "planted"]},
        {"do": "git", "argv": [*git, "branch", "-D", "old"]},
        {"do": "git", "argv": [*git, "config", "core.hooksPath", "/somewhere"]},
    )
    operator.settled(task)
    page = operator.ok("attempt", "show", task)
    assert f"stray.txt in {project.path} changed" in page
    assert f"refs/heads/planted: absent -> {was[:12]}" in page
    assert f"refs/heads/old: {was[:12]} -> absent" in page
    assert "configuration or hooks changed" in page


def test_an_agent_that_moves_the_target_itself_is_found_out(operator: Operator) -> None:
    project = operator.project(gate="test ! -f bad.txt")
    was = project.git("rev-parse", "main")
    push = f"git push -q {project.path} HEAD:refs/heads/main"
    project.git("checkout", "-q", "-b", "side")
    task = project.add(
        "Land myself", write_step("bad.txt", "x"), {"do": "commit", "message": "Mine"}, {"do": "run", "shell": push}
    )
    attempt = operator.ended(task)
    assert attempt["outcome"] != "succeeded"
    page = operator.ok("attempt", "show", task)
    assert f"refs/heads/main: {was[:12]} -> " in page, page


def test_an_agent_that_ran_out_of_memory_has_failed_and_the_reason_says_why(
    operator: Operator, little_memory: Path
) -> None:
    fill = f"echo $$ > {little_memory}/cgroup.procs; exec {sys.executable} -c 'bytearray(1 << 30)'"
    project = operator.project(agent="command", command=("/bin/sh", "-c", fill))
    task = project.add("Eat")
    attempt = operator.ended(task)
    assert (attempt["outcome"], attempt["reason"]) == ("failed", "killed by signal 9 (out of memory?)")
    assert operator.detail(task)["view"]["task"]["counted_attempts"] == 1
    operator.ok("cancel", task)
