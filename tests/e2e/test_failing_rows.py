"""Rows that cannot be read and clocks that jump: what is wrong stays where it is, everything else goes on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import apsw
import pytest

from tests.e2e.operator import Operator, open_operator, write_step
from tests.fakes.daemon import ROOT

DAY_S = 86_400.0
GARBAGE = '{"]: \x01 no JSON'


def spoil(operator: Operator, statement: str, *values: str) -> None:
    """Write into the stopped daemon's database what no code of its own would."""
    connection = apsw.Connection(str(operator.daemon.state / "ringmaster.db"))
    connection.execute(statement, values)
    assert connection.changes() == 1
    connection.close()


def hold(operator: Operator, name: str) -> Path:
    """A FIFO on which an agent can wait."""
    fifo = operator.root / name
    os.mkfifo(fifo)
    return fifo


@pytest.mark.slow
def test_a_row_that_cannot_be_read_is_put_aside_with_a_question_and_takes_nothing_along(tmp_path: Path) -> None:
    with open_operator(tmp_path) as operator:
        project = operator.project()
        daemon = operator.daemon
        daemon.call("worker.spawn", agent="scripted", count=3, project_id=project.name)
        fifo = hold(operator, "go")
        running = project.add("Running", {"do": "fifo", "path": str(fifo)}, write_step("running.txt", "1\n"))
        live = project.add("Live, its attempt spoilt", {"do": "hang"})
        under = project.add("Live and spoilt", {"do": "hang"})
        for task in (running, live, under):
            operator.event("attempt.job_started", task, kind="agent")
        daemon.call("worker.pause", is_all=True)
        spoilt = project.add("Open and spoilt", write_step("spoilt.txt", "1\n"))
        sound = project.add("Sound", write_step("sound.txt", "1\n"))
        daemon.kill()
        spoil(operator, "UPDATE tasks SET limits = ? WHERE id = ?", GARBAGE, spoilt)
        spoil(operator, "UPDATE attempts SET report = ? WHERE task_id = ?", GARBAGE, live)
        spoil(operator, "UPDATE tasks SET labels = ? WHERE id = ?", GARBAGE, under)
        daemon.start()
        daemon.call("worker.start", is_all=True)
        fifo.write_text("go")
        operator.landed(running)
        operator.landed(sound)
        for task in (spoilt, live, under):
            operator.event("decision.opened", task)
            line = operator("wait", task, "--timeout", "40")
            assert line.code == 1
            assert "it needs you: rmctl decision show d-" in line.err
            assert "cannot be read" in operator.ok("show", task)
        questions = {row["task_id"]: row for row in operator.json("decision", "list")}
        assert {task: row["kind"] for task, row in questions.items()} == dict.fromkeys(
            (spoilt, live, under), "poisoned"
        )
        assert operator("status").code == 0
        assert len(operator.json("ls", "-a")) == 5
        assert sorted(path.name for path in project.path.glob("*.txt")) == ["running.txt", "sound.txt"]
        # Mended by hand, it is a task like any other.
        operator.ok("task", "edit", spoilt, "--wall", "1h")
        operator.ok("decision", "answer", questions[spoilt]["id"], "retry")
        operator.landed(spoilt)


@pytest.mark.slow
def test_a_spoilt_project_or_seat_is_stood_down_by_name_and_the_others_work(tmp_path: Path) -> None:
    with open_operator(tmp_path) as operator:
        spoilt, seatless, sound = (operator.project() for _ in range(3))
        asking = operator.project(approve="ask")
        waiting = asking.add("Wait for a person", write_step("a.txt", "1\n"))
        operator.settled(waiting)
        daemon = operator.daemon
        daemon.kill()
        spoil(operator, "UPDATE projects SET config = ? WHERE id = ?", GARBAGE, spoilt.name)
        spoil(operator, "UPDATE workers SET command = ? WHERE id = ?", GARBAGE, f"w-{seatless.name}")
        spoil(operator, "UPDATE tasks SET acceptance = ? WHERE id = ?", GARBAGE, waiting)
        daemon.start()
        first = spoilt.add("First", write_step("b.txt", "1\n"))
        second = seatless.add("Second", write_step("c.txt", "1\n"))
        operator.landed(sound.add("Third", write_step("d.txt", "1\n")))
        reason = f"project {spoilt.name} is paused, its row cannot be read (config)"
        assert reason in operator.ok("show", first)
        assert "its row cannot be read (config)" in operator.ok("status")
        assert f"worker w-{seatless.name}, which can take it, is stopped" in operator.ok("show", second)

        # A row that only the lane meets makes that one attempt fail, not the lane and not the daemon.
        assert daemon.process is not None
        pid = daemon.process.pid
        operator.ok("task", "accept", waiting)
        assert operator.ended(waiting)["outcome"] == "interrupted"
        assert "poisoned" in {row["kind"] for row in operator.detail(waiting)["decisions"]}
        assert operator.json("health")["pid"] == pid

        operator.ok("project", "edit", spoilt.name, "gate=test -f README", "--resume")
        operator.landed(first)
        operator.ok("worker", "stop", f"w-{seatless.name}")
        operator.ok("worker", "remove", f"w-{seatless.name}", "-y")
        operator.ok("worker", "spawn", "--agent", "scripted", "-P", seatless.name)
        operator.landed(second)


@pytest.mark.slow
@pytest.mark.parametrize("jump_s", [-DAY_S, 400 * DAY_S], ids=["back", "forward"])
def test_a_jump_of_the_clock_ends_nothing_and_loses_nothing(tmp_path: Path, jump_s: float) -> None:
    offset = tmp_path / "offset"

    def set_clock(seconds: float) -> None:
        offset.with_suffix(".new").write_text(str(seconds))
        offset.with_suffix(".new").replace(offset)

    set_clock(0.0)
    with open_operator(tmp_path, is_started=False) as operator:
        daemon = operator.daemon
        program = [sys.executable, "-I", str(ROOT / "tests" / "e2e" / "jumping_clock.py"), str(offset)]
        daemon.argv = [*program, "-s", str(daemon.state)]
        daemon.start()
        project = operator.project(max_running=8)
        daemon.call("worker.spawn", agent="scripted", count=1, project_id=project.name)
        fifo = hold(operator, "go")
        wait = {"do": "fifo", "path": str(fifo)}
        running = project.add("Running", wait, write_step("running.txt", "1\n"), limits={"wall_s": 50.0})
        operator.event("attempt.job_started", running, kind="agent")

        set_clock(jump_s)
        first = project.add("After the jump", write_step("first.txt", "1\n"))
        operator.landed(first)
        daemon.kill()
        daemon.start()
        set_clock(0.0)
        second = project.add("And back again", write_step("second.txt", "1\n"))
        operator.landed(second)
        fifo.write_text("go")
        detail = operator.landed(running)
        assert [attempt["outcome"] for attempt in detail["attempts"]] == ["succeeded"]
        assert sorted(path.name for path in project.path.glob("*.txt")) == ["first.txt", "running.txt", "second.txt"]
        events = daemon.call("events.read", after=0)["events"]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert max(event["at"] for event in events) - min(event["at"] for event in events) > abs(jump_s) / 2
        assert operator("ls", "-a").code == 0
        assert operator("status").code == 0
        assert operator("attempt", "list").code == 0
