"""A disk without room: an agent that ended for it did not fail, and nothing begins before there is room again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from ringmaster.queue.view import task_detail
from tests.fakes.house import open_house, write_step


class SmallDisk:
    """In the place of the look at the disk. looks: how often it was empty since it is."""

    def __init__(self) -> None:
        self.free = 1e12
        self.looks = 0
        self.was_looked_at = trio.Event()

    def free_bytes(self, place: Path) -> float:
        if self.free == 0.0:
            self.looks += 1
            if self.looks > 20:
                self.was_looked_at.set()
        return self.free


async def test_an_agent_that_ends_on_a_full_disk_is_interrupted_and_waits_for_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SmallDisk()
    monkeypatch.setattr("ringmaster.store.disk.free_bytes", disk.free_bytes)
    monkeypatch.setattr("ringmaster.workers.dispatcher.ROOM_RETRY_S", 0.01)
    monkeypatch.setattr("ringmaster.model.outcomes.INTERRUPTED_DELAY_S", 0.01)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f'[ "$RM_ATTEMPT_NUMBER" != 1 ] && exec touch new.txt; cat {fifo}; exit 1'
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker(agent="command", command=("sh", "-c", script))
        task_id = await house.add_task("Add")
        agent = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        disk.free = 0.0
        os.close(agent)
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "interrupted"
        assert "the disk was full as its agent ended (" in attempt.reason
        assert (await house.task(task_id)).counted_attempts == 0
        with trio.fail_after(20):
            await disk.was_looked_at.wait()
        assert len(await house.attempts(task_id)) == 1
        said = (await house.store.read(task_detail, task_id, house.paths)).next_step
        assert said == "it waits for room on the disk with the state directory: free some, or rmctl gc"
        disk.free = 1e12
        await house.wait_for_type("task.done", task_id)


async def test_a_gate_that_is_red_on_a_full_disk_is_run_again_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = SmallDisk()
    monkeypatch.setattr("ringmaster.store.disk.free_bytes", disk.free_bytes)
    monkeypatch.setattr("ringmaster.workers.lane.DISK_RETRY_S", 0.01)
    fifo, mark = tmp_path / "fifo", tmp_path / "began"
    os.mkfifo(fifo)
    async with open_house(tmp_path) as house:
        # Red until there is room: twice in a row it would have failed the attempt.
        await house.add_project(gate=f"test -e {mark} && exit 0; cat {fifo}; exit 1")
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        gate = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        disk.free = 0.0
        os.close(gate)
        with trio.fail_after(20):
            await disk.was_looked_at.wait()
        mark.touch()
        disk.free = 1e12
        await house.wait_for_type("task.done", task_id)
        assert [attempt.outcome for attempt in await house.attempts(task_id)] == ["succeeded"]


@pytest.mark.parametrize("place", ["workspace", "gate"])
async def test_a_set_up_that_fails_on_a_full_disk_pauses_no_project_and_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    disk = SmallDisk()
    monkeypatch.setattr("ringmaster.store.disk.free_bytes", disk.free_bytes)
    monkeypatch.setattr("ringmaster.workers.trouble.DISK_RETRY_S", 0.01)
    monkeypatch.setattr("ringmaster.workers.lane.DISK_RETRY_S", 0.01)
    fifo, mark = tmp_path / "fifo", tmp_path / "began"
    os.mkfifo(fifo)
    is_there = 'case "$PWD" in *gates*) ;; *) exit 0;; esac;' if place == "gate" else ""
    async with open_house(tmp_path) as house:
        await house.add_project(setup=(f"{is_there} test -e {mark} && exit 0; cat {fifo}; exit 1",))
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        setup = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        disk.free = 0.0
        os.close(setup)
        with trio.fail_after(20):
            await disk.was_looked_at.wait()
        assert await house.decisions() == []
        mark.touch()
        disk.free = 1e12
        await house.wait_for_type("task.done", task_id)
        assert [attempt.outcome for attempt in await house.attempts(task_id)] == ["succeeded"]


async def test_an_agent_that_fails_with_room_on_the_disk_has_failed(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker(agent="command", command=("sh", "-c", "exit 1"))
        task_id = await house.add_task("Add")
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert (attempt.outcome, (await house.task(task_id)).counted_attempts) == ("failed", 1)
