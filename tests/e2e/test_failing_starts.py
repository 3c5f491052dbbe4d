"""First starts all at once, and every process killed in turn: one daemon, a whole schema, nothing answered is lost."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringmaster.cli.instance import Process, open_process, open_shims, wait_gone
from tests.e2e.operator import CONFIG, Operator, open_operator, write_step
from tests.fakes.daemon import ROOT, open_daemon

FIRST_EVENTS = ["generation.made", "generation.tried", "generation.good", "daemon.recovered"]
STARTERS = 8
ONE = write_step("one.txt", "1\n")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Operator]:
    """An operator whose daemon is started by `rmctl daemon start`, and so by a keeper; nothing runs yet."""
    with open_daemon(tmp_path / "s", is_started=False) as daemon:
        (daemon.state / "config.toml").write_text(CONFIG)
        operator = Operator(daemon, tmp_path)
        try:
            yield operator
        finally:
            operator("daemon", "stop", "--abort", "-y")


def process_of(operator: Operator) -> Process:
    """The daemon that answers now."""
    found = open_process(operator.daemon.call("daemon.health")["pid"], None, "daemon")
    assert found is not None
    return found


def check_whole(operator: Operator) -> None:
    """The database must hold every migration, once, and pass its own check."""
    done = subprocess.run(
        [str(ROOT / "bin" / "ringmasterd"), "-s", str(operator.daemon.state), "--check"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done
    newest = max(int(path.name[:4]) for path in (ROOT / "sql" / "migrations").glob("*.sql"))
    assert operator.daemon.call("daemon.version")["schema"] == newest
    assert [event["type"] for event in operator.daemon.call("events.read", after=0)["events"]] == FIRST_EVENTS


def test_eight_first_starts_end_with_one_daemon_and_one_keeper(kept: Operator) -> None:
    starts = [kept.rmctl.start("daemon", "start", "-o", "json") for _ in range(STARTERS)]
    said = [start.communicate(timeout=40) for start in starts]
    assert [start.returncode for start in starts] == [0] * STARTERS, said
    assert sorted(err for _, err in said) == [b"already running\n"] * (STARTERS - 1) + [b"started\n"]
    pids = {re.search(rb'"pid": ?(\d+)', out).group(1) for out, _ in said}  # type: ignore[union-attr]
    assert len(pids) == 1
    assert kept.json("daemon", "status")["is_kept"]
    check_whole(kept)


def test_of_eight_bare_first_starts_one_serves_and_seven_name_it(kept: Operator) -> None:
    state = kept.daemon.state
    command = [str(ROOT / "bin" / "ringmasterd"), "-s", str(state)]
    children = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) for _ in range(STARTERS)
    ]
    with contextlib.ExitStack() as stack:
        for child in children:
            stack.enter_context(child)
            stack.callback(child.terminate)
        poller = {child.pid: child for child in children}
        while len(poller) > 1:
            pid, status = os.waitpid(-1, 0)
            loser = poller.pop(pid, None)
            if loser is None:
                continue
            loser.returncode = os.waitstatus_to_exitcode(status)
        [winner] = poller.values()
        assert kept.daemon.call("daemon.health")["pid"] == winner.pid
        for child in children:
            if child is not winner:
                assert child.stderr is not None
                assert (child.returncode, child.stderr.read()) == (
                    2,
                    f"ringmasterd: the state {state} is held by daemon {winner.pid}; rmctl -s {state} daemon status\n",
                )
        check_whole(kept)
        assert "unkept" in kept.ok("status")


def test_a_killed_daemon_comes_back_by_its_keeper_and_its_agent_never_noticed(kept: Operator) -> None:
    kept.ok("daemon", "start")
    project = kept.project()
    fifo = kept.root / "go"
    os.mkfifo(fifo)
    task = project.add("Go on", {"do": "fifo", "path": str(fifo)}, ONE)
    agent = os.open(fifo, os.O_WRONLY)  # returns once the agent has come so far
    [shim] = open_shims(kept.daemon.state / "attempts")
    first = process_of(kept)
    first.send(signal.SIGKILL)
    assert wait_gone([first], 10) == []
    os.close(agent)
    detail = kept.landed(task)
    assert [attempt["outcome"] for attempt in detail["attempts"]] == ["succeeded"]
    assert wait_gone([shim], 10) == []
    status = kept.json("daemon", "status")
    assert status["is_kept"]
    assert status["pid"] != first.pid
    first.close()
    shim.close()


def test_a_killed_shim_interrupts_its_attempt_leaves_nothing_running_and_the_task_runs_again(tmp_path: Path) -> None:
    with open_operator(tmp_path) as operator:
        project = operator.project()
        pids, fifo = tmp_path / "pids", tmp_path / "go"
        pids.mkdir()
        os.mkfifo(fifo)
        first = {"when": {"attempt": 1}}
        task = project.add(
            "Twice",
            {"do": "run", "shell": f"echo $PPID > {pids}/agent", **first},
            {"do": "fork", "how": "double", "is_ignoring_term": True, "pid_file": f"{pids}/away", **first},
            {"do": "fork", "how": "setsid", "is_env_clean": True, "pid_file": f"{pids}/clean", **first},
            {"do": "fifo", "path": str(fifo), **first},
            ONE,
        )
        agent = os.open(fifo, os.O_WRONLY)  # returns once the agent has come so far
        held = [open_process(int(path.read_text()), None, path.name) for path in pids.iterdir()]
        left = [process for process in held if process is not None]
        assert len(left) == 3
        [shim] = open_shims(operator.daemon.state / "attempts")
        shim.send(signal.SIGKILL)
        attempt = operator.ended(task)
        assert attempt["outcome"] == "interrupted"
        assert wait_gone(left, 0) == []
        os.close(agent)
        operator.ok("retry", task)
        detail = operator.landed(task)
        assert sorted(attempt["outcome"] for attempt in detail["attempts"]) == ["interrupted", "succeeded"]
        for process in (*left, shim):
            process.close()


def test_a_killed_shim_of_a_gate_costs_a_gate_and_nothing_else(operator: Operator) -> None:
    begun = operator.root / "gate-begun"
    os.mkfifo(begun)
    project = operator.project(gate=f"test -e {begun}.once || {{ touch {begun}.once; echo > {begun}; sleep 1000; }}")
    task = project.add("One", ONE)
    begun.read_text()
    [shim] = open_shims(operator.daemon.state / "attempts")
    shim.send(signal.SIGKILL)
    detail = operator.landed(task)
    assert [attempt["outcome"] for attempt in detail["attempts"]] == ["succeeded"]
    assert [receipt["result"] for receipt in detail["receipts"]] == ["green"]
    shim.close()


@pytest.mark.slow
def test_estop_ends_agents_and_gates_and_all_goes_on_once_it_is_cleared(operator: Operator) -> None:
    fifo = operator.root / "begun"
    os.mkfifo(fifo)
    begun = f"echo > {fifo}"
    working = operator.project()
    hang = {"do": "run", "shell": f"{begun}; sleep 1000", "when": {"attempt": 1}}
    agent = working.add("Hang once", hang, ONE)
    fifo.read_text()
    waiting = operator.project(gate=f"test -e {operator.root}/clear || {{ {begun}; sleep 1000; }}")
    gated = waiting.add("Wait for the gate", ONE)
    fifo.read_text()
    assert operator.ok("estop") == "ended\t2\n"
    assert operator.ended(agent)["outcome"] == "interrupted"
    (operator.root / "clear").touch()
    operator.ok("retry", agent)
    assert operator("health").code == 1
    assert operator.json("show", agent)["shown"] == "ready"
    assert operator.json("show", gated)["shown"] == "validating"
    with operator.rmctl.start("wait", agent, gated, "--timeout", "40") as both:
        operator.ok("estop", "--clear")
        said = both.communicate()
        assert both.returncode == 0, said
    assert len(operator.detail(gated)["attempts"]) == 1


@pytest.mark.slow
def test_what_was_answered_is_there_after_kill_9_and_a_repeat_adds_nothing(tmp_path: Path) -> None:
    with open_operator(tmp_path) as operator:
        project = operator.project()
        operator.daemon.call("worker.pause", is_all=True)
        wanted: dict[str, str] = {}
        for batch in range(5):
            names = [f"{batch}-{number}" for number in range(20)]
            calls = [
                ("task.add", {"title": name, "project_id": project.name, "idempotency_key": name}) for name in names
            ]
            with operator.daemon.client() as client:
                answers = client.call_many(calls)
                operator.daemon.kill()
            wanted |= {answer["view"]["task"]["id"]: name for answer, name in zip(answers, names, strict=True)}
            operator.daemon.start()
            with operator.nothing_changes(), operator.daemon.client() as client:
                assert client.call_many(calls) == answers
        found = {row["id"]: row["title"] for row in operator.json("ls", "-n", "0")}
        assert list(found.items()) == list(wanted.items())
