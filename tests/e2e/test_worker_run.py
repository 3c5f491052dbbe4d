"""`rmctl worker run`: a worker in a terminal, its agents below shims, whatever becomes of the terminal."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from tests.e2e.operator import Operator, Project, open_operator
from tests.fakes.house import git
from tests.fakes.rmctl import RMCTL


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with open_operator(tmp_path_factory.mktemp("op")) as made:
        yield made


def idle_project(operator: Operator) -> Project:
    """A project whose own worker is stopped."""
    project = operator.project()
    operator.daemon.call("worker.stop", id=f"w-{project.name}")
    return project


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """See to it that it is gone at the end, whatever failed."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[bytes], words: bytes) -> bytes:
    """What it says on stderr up to a line with these words."""
    assert process.stderr is not None
    said = b""
    while words not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def test_the_loop_pulls_runs_and_leaves_when_told(operator: Operator):
    project = idle_project(operator)
    first, second = project.add("One"), project.add("Two")
    command = ("sh", "-c", "echo from the agent; cp $RM_PROMPT_FILE $RM_ATTEMPT_NUMBER-${RM_TASK}.txt")
    with ending(operator.rmctl.start("worker", "run", "looper", "-P", project.name, "--", *command)) as process:
        for task_id in (first, second):
            assert operator.landed(task_id)["attempts"][0]["worker_id"] == "looper"
        # It waits for a task now, or is about to: then there is nothing at hand.
        read_until(process, second.encode())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert out.count(b"from the agent") == 2
    told = git("show", f"main:1-{first}.txt", cwd=project.path)
    assert "End by exiting" in told
    assert "rmctl report" not in told
    seat = operator.daemon.call("worker.show", id="looper")["worker"]
    assert (seat["is_pulled"], seat["agent"], seat["attempt_id"]) == (True, "command", "")


def blocking(operator: Operator, project: Project, name: str) -> tuple[str, Path, subprocess.Popen[bytes]]:
    """A task, the pipe its agent waits at, and the loop that runs it."""
    fifo = operator.root / f"fifo-{name}"
    os.mkfifo(fifo)
    task_id = project.add(f"Wait for {name}")
    process = operator.rmctl.start(
        *("worker", "run", name, "-P", project.name, "--"), "sh", "-c", f"read line < {fifo}; echo $line > done.txt"
    )
    operator.event("attempt.job_started", task_id, kind="agent")
    return task_id, fifo, process


def test_one_interrupt_finishes_the_task_at_hand(operator: Operator):
    task_id, fifo, process = blocking(operator, idle_project(operator), "finisher")
    with ending(process):
        read_until(process, task_id.encode())
        process.send_signal(signal.SIGINT)
        read_until(process, b"finishes this one")
        fifo.write_text("go\n")
        assert process.wait(20) == 0
        said = process.stderr.read().decode() if process.stderr is not None else ""
    assert f"{task_id}/1  " in said
    operator.landed(task_id)


def test_a_second_interrupt_hands_the_task_back(operator: Operator):
    project = idle_project(operator)
    task_id, _, process = blocking(operator, project, "stopper")
    with ending(process):
        read_until(process, task_id.encode())
        process.send_signal(signal.SIGINT)
        read_until(process, b"finishes this one")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
    ended = operator.ended(task_id)
    assert (ended["outcome"], ended["reason"]) == ("interrupted", "its agent was ended from outside")
    assert operator.detail(task_id)["view"]["task"]["state"] == "open"
    operator.ok("cancel", task_id)


def test_a_killed_loop_leaves_its_agent_at_work_and_the_daemon_judges_it(operator: Operator):
    project = idle_project(operator)
    task_id, fifo, process = blocking(operator, project, "killed")
    with ending(process):
        process.kill()
    operator.daemon.kill()
    operator.daemon.start()
    # Nobody but the shim holds it now, and the seat is taken as long as it does.
    assert operator.daemon.call("worker.show", id="killed")["task_id"] == task_id
    fifo.write_text("go\n")
    assert operator.landed(task_id)["attempts"][0]["outcome"] == "succeeded"


def test_an_agent_in_the_loop_has_an_attempts_rights_alone(operator: Operator):
    project = idle_project(operator)
    task_id = project.add("Try to do more")
    # What the environment says is nothing to go by.
    script = f"env -i PATH=$PATH {RMCTL} -s $RMCTL_SOCKET cancel $RM_TASK 2> said.txt"
    args = ("worker", "run", "modest", "--once", "-P", project.name, "--", "sh", "-c", script)
    with ending(operator.rmctl.start(*args)) as process:
        process.communicate(timeout=30)
    said = (Path(operator.detail(task_id)["attempts"][0]["workspace"]) / "said.txt").read_text()
    assert "not for this caller" in said


def test_drain_lets_the_loop_finish_and_end(operator: Operator):
    task_id, fifo, process = blocking(operator, idle_project(operator), "drained")
    with ending(process):
        draining = operator.rmctl.start("worker", "drain", "drained")
        with ending(draining):
            read_until(draining, f"drained finishes {task_id}".encode())
            fifo.write_text("go\n")
            assert draining.wait(20) == 0
        assert process.wait(20) == 0
    assert operator.daemon.call("worker.show", id="drained")["shown"] == "stopped"
    operator.landed(task_id)


def test_a_worker_in_tmux_can_be_looked_at(operator: Operator, left_out: Callable[[str, str], NoReturn]):
    if shutil.which("tmux") is None:
        left_out("a worker in tmux", "tmux is not installed")
    project = idle_project(operator)
    place = operator.root / "tmux"
    place.mkdir()
    operator.rmctl.environ["TMUX_TMPDIR"] = str(place)
    fifo = operator.root / "fifo-tmux"
    os.mkfifo(fifo)
    task_id = project.add("In tmux")
    script = f"read line < {fifo}; echo $line > done.txt"
    args = ("worker", "spawn", "shown", "--agent", "command", "--tmux", "-P", project.name)
    operator.ok(*args, "--", "sh", "-c", script)
    operator.event("attempt.job_started", task_id, kind="agent")
    label = f"ringmaster-{hashlib.sha256(os.fsencode(operator.daemon.socket)).hexdigest()[:8]}"
    tmux = ("tmux", "-L", label)

    def detach() -> None:
        subprocess.run((*tmux, "detach-client", "-s", "=shown"), env=operator.rmctl.environ, check=True, timeout=10)

    attached = operator.rmctl.on_terminal("worker", "attach", "shown", seen=(task_id.encode(), detach))
    assert attached.code == 0, attached
    assert f"{task_id}/1" in attached.out
    fifo.write_text("go\n")
    operator.landed(task_id)
    operator.ok("worker", "drain", "shown")
    assert "has no terminal" in operator.refused(5, "worker", "attach", "w-p1")


def test_without_tmux_nothing_is_made(operator: Operator):
    environ = {**operator.rmctl.environ, "PATH": str(operator.root / "none")}
    args = (sys.executable, RMCTL, "worker", "spawn", "lone", "--agent", "scripted", "--tmux")
    done = subprocess.run(args, env=environ, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("rmctl: tmux is not installed (install it, or keep a terminal open for: ")
    assert "no worker" in operator.refused(4, "worker", "show", "lone")


def test_what_a_person_pulls_for_is_not_run(operator: Operator):
    for args in (("spawn", "nobody", "--tmux"), ("run", "nobody")):
        assert "there is no agent to run" in operator.refused(2, "worker", *args, "--agent", "hand")
    assert "no worker" in operator.refused(4, "worker", "show", "nobody")


def test_words_that_nobody_reads_keep_nothing_from_being_done(operator: Operator):
    project = idle_project(operator)
    args = ("--agent", "scripted", "-P", project.name)
    operator.ok("worker", "spawn", *args, "--count", "3")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [str(RMCTL), "worker", "scale", "0", *args]
        done = subprocess.run(command, env=operator.rmctl.environ, stderr=writing, timeout=20, check=False)
    finally:
        os.close(writing)
    assert done.returncode == 0
    views = operator.daemon.call("worker.list")["workers"]
    left = {view["worker"]["id"] for view in views if view["worker"]["project_id"] == project.name}
    assert left == {f"w-{project.name}"}, "the stopped one that was not asked for"


def test_scale_makes_workers_like_those_there_are_and_removes_idle_ones_first(operator: Operator):
    project = operator.project()
    name = f"w-{project.name}"
    fifo = operator.root / "fifo-scale"
    os.mkfifo(fifo)
    task_id = project.add("Keep one busy", {"do": "fifo", "path": str(fifo)})
    operator.event("attempt.job_started", task_id, kind="agent")

    def mine() -> dict[str, str]:
        views = operator.daemon.call("worker.list")["workers"]
        return {v["worker"]["id"]: v["shown"] for v in views if v["worker"]["project_id"] == project.name}

    args = ("--agent", "scripted", "-P", project.name)
    operator.ok("worker", "scale", "3", *args)
    assert sorted(mine().values()) == ["idle", "idle", "working"]
    operator.ok("worker", "scale", "1", *args)
    assert mine() == {name: "working"}
    operator.ok("worker", "scale", "0", *args)
    assert mine() == {name: "paused"}, "what is at work finishes"
    operator.ok("worker", "scale", "1", *args)
    assert mine() == {name: "working"}
    fifo.write_text("go\n")
    operator.settled(task_id)
    operator.daemon.call("worker.spawn", id="other", agent="command", command=["true"], project_id=project.name)
    assert "rmctl worker scale N --agent AGENT" in operator.refused(2, "worker", "scale", "2")
