"""What goes wrong around an attempt: it costs no work, and nothing else goes wrong with it."""

from __future__ import annotations

import errno
import os
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.event import Event
from ringmaster.queue.control import cancel_task
from ringmaster.queue.decide import answer_decision
from ringmaster.queue.report import ask
from ringmaster.store import attempts
from ringmaster.store.connection import Connection
from ringmaster.store.disk import make_disk_full_error
from ringmaster.workers.attempt import collect_work, end_attempt
from ringmaster.workers.preparing import prepare_workspace
from tests.fakes.house import House, open_house, write_step


def fail_once(error: Exception, then: Callable[..., Any]) -> Callable[..., Any]:
    """In the place of a step: it fails the first time."""
    is_over = False

    async def step(*args: Any, **kwargs: Any) -> Any:
        nonlocal is_over
        if not is_over:
            is_over = True
            raise error
        return await then(*args, **kwargs)

    return step


def fail_always(error: Exception) -> Callable[..., Any]:
    """In the place of a step that never works."""

    async def step(*args: Any, **kwargs: Any) -> Any:  # noqa: ASYNC124 (stands in for what is awaited)
        raise error

    return step


@pytest.mark.parametrize(
    ("step", "waiting"),
    [
        ("ringmaster.workers.attempt.collect_work", "ringmaster.workers.trouble.DISK_RETRY_S"),
        ("ringmaster.workers.lane.find_concerns", "ringmaster.workers.lane.DISK_RETRY_S"),
    ],
    ids=["the agent has ended", "the work lands"],
)
async def test_a_disk_that_is_full_for_a_moment_costs_no_second_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, waiting: str
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(step, fail_once(full, pkgutil.resolve_name(step)))
    monkeypatch.setattr(waiting, 0.01)
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("task.done", task_id)
        assert [attempt.outcome for attempt in await house.attempts(task_id)] == ["succeeded"]
        assert await house.decisions() == []


async def test_output_that_brings_its_reader_down_puts_its_task_aside_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*args: Any) -> Any:
        raise KeyError("poison")

    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        with monkeypatch.context() as poisoned:
            poisoned.setattr("ringmaster.agents.scripted.ScriptedAgent.read_report", stumble)
            first = await house.add_task("Poison", write_step("one.txt", "1\n"))
            await house.wait_for_type("attempt.ended", first)
        [asked] = await house.decisions()
        assert (asked.task_id, asked.kind, "KeyError" in f"{asked.question}{asked.detail}") == (
            first,
            DecisionKind.POISONED,
            True,
        )
        second = await house.add_task("Go on", write_step("two.txt", "2\n"))
        await house.wait_for_type("task.done", second)


async def test_a_file_that_cannot_be_written_is_no_poisonous_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = PermissionError(errno.EACCES, "Permission denied", "/somewhere")
    monkeypatch.setattr("ringmaster.workers.attempt.prepare_workspace", fail_once(denied, prepare_workspace))
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "spawn_failed"
        assert "Permission denied" in attempt.reason
        assert (await house.task(task_id)).state == "open"
        assert await house.decisions() == []


async def test_a_bug_beside_a_row_that_cannot_be_read_puts_the_task_aside_and_the_daemon_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path) as house:

        def spoil(conn: Connection) -> None:
            conn.execute("UPDATE tasks SET limits = '{' WHERE state = 'running'")

        async def spoil_and_fail(*args: Any) -> None:
            await house.store.write(spoil)
            monkeypatch.undo()
            raise KeyError("nobody thought of this")

        monkeypatch.setattr("ringmaster.workers.attempt.prepare_workspace", spoil_and_fail)
        await house.add_project()
        await house.add_worker()
        first = await house.add_task("First")
        await house.wait_for_type("decision.opened", first)
        second = await house.add_task("Second", write_step("new.txt", "1\n"))
        await house.wait_for_type("task.done", second)
        (decision,) = await house.decisions()
        assert decision.kind is DecisionKind.POISONED


async def test_parked_work_on_a_disk_that_does_not_answer_keeps_no_daemon_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.store.write(lambda conn: conn.execute("UPDATE projects SET parked_commit = ?", ("0" * 40,)))

    looked = trio.Event()

    async def look(*args: Any) -> None:  # noqa: ASYNC124 (stands in for what is awaited)
        looked.set()
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    monkeypatch.setattr("ringmaster.workers.landing.inspect_user_repository", look)
    async with open_house(tmp_path) as house:
        await looked.wait()
        monkeypatch.undo()
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("task.done", task_id)
        assert (await house.task(task_id)).done_by == "landed"


async def _hang(house: House, tmp_path: Path) -> tuple[str, int]:
    """An attempt whose agent waits, and the descriptor that keeps it waiting."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    await house.add_project()
    await house.add_worker()
    task_id = await house.add_task("Hang", {"do": "fifo", "path": str(fifo)})
    return task_id, await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)


async def test_a_cancel_whose_event_was_dropped_is_found_in_the_rows(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        task_id, agent = await _hang(house, tmp_path)
        await house.store.write(attempts.request_cancel, f"{task_id}/1")
        event = Event(
            seq=0,
            at=0.0,
            type="task.created",
            project_id="toy",
            task_id="",
            attempt_id="",
            worker_id="",
            decision_id="",
            actor="",
            data=msgspec.Raw(b"{}"),
        )
        house.bus.publish([event] * 70_000)
        await house.wait_for_type("attempt.ended", task_id)
        assert (await house.task(task_id)).state == "cancelled"
        os.close(agent)


async def test_an_abort_gives_out_no_more_tasks(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        _, agent = await _hang(house, tmp_path)
        for number in range(3):
            await house.add_task(f"Next {number}", {"do": "hang"})
        with trio.fail_after(20):
            await house.supervisor.abort()
        started = await house.store.read(
            lambda conn: conn.value("SELECT count(*) FROM events WHERE type = 'attempt.started'")
        )
        assert started == 1
        os.close(agent)


async def test_a_question_that_was_answered_while_the_agent_ran_is_not_asked_again(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task(
            "Ask",
            {"do": "fifo", "path": str(fifo), "when": {"attempt": 1}},
            write_step("new.txt", "1\n"),
        )
        agent = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        (attempt,) = await house.attempts(task_id)
        decision_id = await house.store.write(
            ask, attempt.id, attempt.token, question="Which?", detail="", options=(), rng=house.rng
        )
        await house.store.write(answer_decision, decision_id, answer="the first", message="", actor="test")
        os.close(agent)
        await house.wait_for_type("task.done", task_id)
        first, second = await house.attempts(task_id)
        assert (first.outcome, second.outcome) == ("needs_decision", "succeeded")
        assert "the first" in (house.paths.attempt(second.id) / "prompt.md").read_text()


async def test_a_task_without_a_diff_that_was_cancelled_before_it_was_done_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_house(tmp_path) as house:
        ids: list[str] = []

        async def collect_and_cancel(*args: Any) -> Any:
            collected = await collect_work(*args)
            await house.store.write(cancel_task, ids[0], actor="test")
            return collected

        monkeypatch.setattr("ringmaster.workers.attempt.collect_work", collect_and_cancel)
        await house.add_project()
        await house.add_worker()
        ids.append(await house.add_task("Answer", {"do": "say", "text": "42"}, is_diff_needed=False))
        await house.wait_for_type("attempt.ended", ids[0])
        assert (await house.task(ids[0])).state == "cancelled"


async def test_an_outcome_for_which_not_even_the_reserve_has_room_is_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = PermissionError(errno.EACCES, "Permission denied", "/somewhere")
    monkeypatch.setattr("ringmaster.workers.attempt.prepare_workspace", fail_always(denied))
    monkeypatch.setattr("ringmaster.workers.trouble.end_attempt", fail_once(make_disk_full_error(), end_attempt))
    monkeypatch.setattr("ringmaster.workers.trouble.DISK_RETRY_S", 0.01)
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "spawn_failed"
