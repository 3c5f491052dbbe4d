"""How often a gate runs until it is known whose fault a red one is, and which receipts are believed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from ringmaster.model.attempt import Attempt
from ringmaster.queue.control import cancel_task
from ringmaster.queue.decide import answer_decision, retry_task
from tests.fakes.house import House, git, open_house, write_step

REPORT = '<testsuite><testcase name="{0}"><failure/></testcase></testsuite>'


def reporting(test: str) -> str:
    """Shell that writes a report in which one test has failed, and fails."""
    return f"echo '{REPORT.format(test)}' >$RM_JUNIT; exit 1"


def runs_in(log: Path) -> int:
    """How often the gate ran."""
    return len(log.read_text().splitlines())


async def _end_of(house: House, task_id: str, nth: int = 1) -> Attempt:
    await house.wait_for_type("attempt.ended", task_id, nth)
    return (await house.attempts(task_id))[nth - 1]


@pytest.mark.parametrize(
    ("on_base", "runs", "outcome"),
    [
        # The same test once more, on a commit that has nothing of the work: no flake, and no fourth run.
        pytest.param(lambda log: reporting("a"), 3, "interrupted", id="the same test"),
        pytest.param(lambda log: reporting("b"), 4, "interrupted", id="another test"),
        # Without a report nothing says that it is the same failure.
        pytest.param(lambda log: "exit 1", 4, "interrupted", id="no report"),
        # Red once and then green: the base is good, and the work is not.
        pytest.param(lambda log: f"[ $(wc -l <{log}) = 4 ] && exit 0; {reporting('b')}", 4, "gate_failed", id="flaky"),
    ],
)
async def test_the_gate_of_the_base_runs_twice_unless_it_fails_as_the_work_does(
    tmp_path: Path, on_base: Callable[[Path], str], runs: int, outcome: str
) -> None:
    log = tmp_path / "log"
    async with open_house(tmp_path) as house:
        await house.add_project(gate=f"echo run >>{log}; [ -e new.txt ] || {{ {on_base(log)}; }}; {reporting('a')}")
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        assert ((await _end_of(house, task_id)).outcome, runs_in(log)) == (outcome, runs)


async def test_a_base_that_a_person_is_asked_to_mend_is_not_measured_for_each_attempt(tmp_path: Path) -> None:
    log, fifo = tmp_path / "log", tmp_path / "fifo"
    os.mkfifo(fifo)
    async with open_house(tmp_path) as house:
        await house.add_project(gate=f"echo run >>{log}; [ $(wc -l <{log}) = 1 ] && cat {fifo}; exit 1")
        await house.add_worker()
        first = await house.add_task("First", write_step("a.txt", "1\n"))
        gate = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        second = await house.add_task("Second", write_step("b.txt", "1\n"))
        await house.wait_for_type("task.validating", second)
        os.close(gate)
        ended = [await _end_of(house, task_id) for task_id in (first, second)]
        assert [attempt.outcome for attempt in ended] == ["interrupted"] * 2
        assert "the gate is red on" in ended[1].reason
        assert runs_in(log) == 4 + 2
        assert len(await house.decisions()) == 1


async def test_a_base_that_a_person_said_was_mended_is_measured_anew(tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    async with open_house(tmp_path) as house:
        await house.add_project(gate=f"test -e {mended} && ! test -e new.txt")
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        assert (await _end_of(house, task_id)).outcome == "interrupted"
        mended.touch()
        (decision,) = await house.decisions()
        await house.store.write(answer_decision, decision.id, answer="resume", message="", actor="test")
        await house.store.write(retry_task, task_id, actor="test")
        assert (await _end_of(house, task_id, 2)).outcome == "gate_failed"
        await house.store.write(cancel_task, task_id, actor="test")


async def test_a_base_whose_files_have_passed_is_not_measured_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with open_house(tmp_path) as house:
        await house.add_project(gate=f"echo run >>{log}; ! test -e bad.txt")
        await house.add_worker()
        await house.wait_for_type("task.done", await house.add_task("Good", write_step("good.txt", "1\n")))
        git("commit", "-q", "--allow-empty", "-m", "The same files", cwd=house.repository)
        task_id = await house.add_task("Bad", write_step("bad.txt", "1\n"))
        assert ((await _end_of(house, task_id)).outcome, runs_in(log)) == ("gate_failed", 1 + 2)
