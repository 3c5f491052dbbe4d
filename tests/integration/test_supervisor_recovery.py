"""A daemon that is killed at a bad moment, and what the next one finds and does."""

from __future__ import annotations

import os
import select
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from ringmaster.model.decision import Decision
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.event import Event
from ringmaster.model.states import ProjectState, WorkerState
from ringmaster.queue.control import cancel_task, set_worker_state
from ringmaster.queue.decide import answer_decision, resume_project
from ringmaster.settings import AgentSettings
from ringmaster.store import projects, receipts
from ringmaster.store.connection import Connection
from ringmaster.store.thread import open_store
from ringmaster.workspace.landing import land
from tests.fakes.house import House, git, make_repository, open_house, write_step


def job(kind: str, type: str = "attempt.job_started", task_id: str = "") -> Callable[[Event], bool]:
    """The event of a job of one kind."""

    def is_it(event: Event) -> bool:
        return event.type == type and f'"{kind}"'.encode() in bytes(event.data) and task_id in ("", event.task_id)

    return is_it


async def release(fifo: Path) -> None:
    """Let whoever reads the FIFO go on."""
    await trio.to_thread.run_sync(lambda: open(fifo, "w").close())


def make_fifo(tmp_path: Path, name: str = "fifo") -> Path:
    """A FIFO on which an agent or a gate can wait."""
    path = tmp_path / name
    os.mkfifo(path)
    return path


async def stay(*args: Any, **kwargs: Any) -> None:
    """In the place of a step: the daemon is killed in it."""
    await trio.sleep_forever()


def is_gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], 0)[0])
    finally:
        os.close(pidfd)


async def write_between(tmp_path: Path, fn: Callable[[Connection], object]) -> None:
    """A transaction that was committed just before the daemon was killed, of which nothing else saw the event."""
    async with open_store(tmp_path / "state" / "ringmaster.db", reserve_bytes=4096) as store:
        await store.write(fn)


async def test_a_workspace_in_which_the_agent_left_its_branch_is_left_to_it(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path)
    async with open_house(tmp_path, is_killed=True) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task(
            "Rebase",
            write_step("draft.txt", "not committed\n"),
            {"do": "run", "argv": ["git", "checkout", "-q", "--detach"]},
            {"do": "fifo", "path": str(fifo)},
        )
        agent = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)  # returns once the agent has come so far
    async with open_house(tmp_path) as house:
        os.close(agent)
        await house.wait_for_type("task.done", task_id)
        assert (house.repository / "draft.txt").read_text() == "not committed\n"


async def test_an_agent_whose_task_was_cancelled_as_the_daemon_died_is_ended_before_the_attempt(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    fifo = make_fifo(tmp_path)
    async with open_house(tmp_path, is_killed=True) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task(
            "Hang", {"do": "fork", "how": "double", "pid_file": str(pid_file)}, {"do": "fifo", "path": str(fifo)}
        )
        agent = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
    await write_between(tmp_path, lambda conn: cancel_task(conn, task_id, actor="test"))
    async with open_house(tmp_path) as house:
        await house.wait_for_type("attempt.ended", task_id)
        assert is_gone(int(pid_file.read_text())), "no descendant survives its attempt"
        assert (await house.task(task_id)).state == "cancelled"
    os.close(agent)


async def test_an_agent_whose_worker_was_stopped_as_the_daemon_died_is_ended_before_the_attempt(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path)
    async with open_house(tmp_path, is_killed=True) as house:
        await house.add_project()
        worker_id = await house.add_worker()
        task_id = await house.add_task("Hang", {"do": "fifo", "path": str(fifo)})
        agent = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        await house.wait_for(job("agent"))
        (shim,) = house.supervisor.live_shims()
    await write_between(tmp_path, lambda conn: set_worker_state(conn, worker_id, WorkerState.STOPPED, actor="test"))
    async with open_house(tmp_path) as house:
        await house.wait_for_type("attempt.ended", task_id)
        assert is_gone(shim.pid)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "interrupted"
    os.close(agent)


async def test_every_live_shim_is_known_before_anybody_can_call(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path)
    async with open_house(tmp_path, is_killed=True) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Hang", {"do": "fifo", "path": str(fifo)})
        agent = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        await house.wait_for(job("agent"))
        before = house.supervisor.live_shims()
    async with open_house(tmp_path) as house:
        assert house.supervisor.live_shims() == before == dict.fromkeys(before, f"{task_id}/1")
    os.close(agent)


async def test_a_gate_that_outlived_the_daemon_keeps_its_checkout_to_itself(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path)
    gate = f"if ls | grep -q slo && ! ls | grep -q fas; then cat {fifo}; ls | grep -q slo; fi"
    async with open_house(tmp_path, is_killed=True) as house:
        await house.add_project(gate=gate)
        await house.add_worker()
        slow = await house.add_task("Slow", write_step("slow.txt", "1\n"))
        await house.wait_for(job("gate-1", task_id=slow))
        fast = await house.add_task("Fast", write_step("fast.txt", "1\n"), priority=0)
        await house.wait_for_type("task.validating", fast)
    async with open_house(tmp_path) as house:
        await release(fifo)
        for task_id in (slow, fast):
            await house.wait_for_type("task.done", task_id)
        (attempt,) = await house.attempts(slow)
        (receipt, *more) = await house.store.read(receipts.receipts_of_attempt, attempt.id)
        assert (receipt.result, receipt.is_flaky) == ("green", False)
        assert not any(receipt.is_flaky for receipt in more)


async def test_a_gate_of_the_base_that_outlived_the_daemon_goes_on_as_it_was(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path)
    gate = f"if test -e bad.txt; then exit 1; fi; cat {fifo}; test ! -e bad.txt && test -e README"
    async with open_house(tmp_path, is_killed=True) as house:
        await house.add_project(gate=gate)
        await house.add_worker()
        task_id = await house.add_task("Break", write_step("bad.txt", "1\n"))
        await house.wait_for(job("base-gate-1"))
    async with open_house(tmp_path) as house:
        await release(fifo)
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "gate_failed"
        found = await house.store.read(receipts.receipts_of_attempt, attempt.id)
        assert [receipt.result for receipt in found] == ["red", "green"]


async def test_what_the_gate_changed_is_asked_about_although_the_daemon_died_after_the_receipt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("ringmaster.workers.lane.find_concerns", stay)
        async with open_house(tmp_path, is_killed=True) as house:
            await house.add_project(gate="echo more >> README")
            await house.add_worker()
            task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
            await house.wait_for_type("gate.ended", task_id)
    async with open_house(tmp_path) as house:
        await house.wait_for_type("decision.opened", task_id)
        (decision,) = await house.decisions()
        assert decision.kind is DecisionKind.PROTECTED
        assert "the gate changed README" in decision.question


async def _landed_but_not_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A daemon killed after the ref has moved and before that was reported; the task's id."""
    moved = trio.Event()

    async def land_and_stay(*args: Any) -> None:
        await land(*args)
        moved.set()
        await trio.sleep_forever()

    with monkeypatch.context() as patch:
        patch.setattr("ringmaster.workers.landing.land", land_and_stay)
        async with open_house(tmp_path, is_killed=True) as house:
            await house.add_project()
            await house.add_worker()
            task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
            with trio.fail_after(30):
                await moved.wait()
    return task_id


async def test_a_landing_whose_repository_is_away_stays_one_and_is_reported_once_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await _landed_but_not_reported(tmp_path, monkeypatch)
    repository = tmp_path / "repo"
    repository.rename(tmp_path / "away")
    async with open_house(tmp_path, repository=tmp_path / "away") as house:
        await house.wait_for_type("project.paused")
        assert (await house.task(task_id)).state == "landing"
        (tmp_path / "away").rename(repository)
        await house.store.write(resume_project, "toy", actor="test")
        await house.wait_for_type("task.done", task_id)
        assert [attempt.outcome for attempt in await house.attempts(task_id)] == ["succeeded"]
        assert git("rev-list", "--count", "--first-parent", "main", cwd=repository) == "2"


async def test_a_landing_whose_repository_is_gone_for_good_can_be_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await _landed_but_not_reported(tmp_path, monkeypatch)
    shutil.rmtree(tmp_path / "repo")
    make_repository(tmp_path / "other")
    async with open_house(tmp_path, repository=tmp_path / "other") as house:
        (stuck,) = await _asked_about(house, task_id, 1)
        assert stuck.options == ("retry", "give_up")
        await house.store.write(answer_decision, stuck.id, answer="retry", message="", actor="test")
        (again,) = await _asked_about(house, task_id, 2)
        assert (await house.task(task_id)).state == "landing"
        await house.store.write(answer_decision, again.id, answer="give_up", message="", actor="test")
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert (attempt.outcome, (await house.task(task_id)).state) == ("cancelled", "cancelled")
        assert attempt.reason.startswith("given up by a person, because it could not land:")
        assert attempt.head_commit[:12] in attempt.reason
        assert git("show", f"{attempt.head_commit}:new.txt", cwd=house.paths.repository("toy")) == "1"


async def test_a_landing_that_was_given_up_and_can_be_done_after_all_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await _landed_but_not_reported(tmp_path, monkeypatch)
    (tmp_path / "repo").rename(tmp_path / "away")
    async with open_house(tmp_path, repository=tmp_path / "away") as house:
        (stuck,) = await _asked_about(house, task_id, 1)
        (tmp_path / "away").rename(tmp_path / "repo")
        await house.store.write(answer_decision, stuck.id, answer="give_up", message="", actor="test")
        await house.wait_for_type("task.done", task_id)
        assert [attempt.outcome for attempt in await house.attempts(task_id)] == ["succeeded"]


async def _asked_about(house: House, task_id: str, nth: int) -> list[Decision]:
    """What a person is asked about a task, once it is asked for the nth time."""
    await house.wait_for_type("decision.opened", task_id, nth)
    return [decision for decision in await house.decisions() if decision.task_id == task_id]


async def test_a_landing_whose_target_is_deleted_is_taken_back_and_the_project_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await _landed_but_not_reported(tmp_path, monkeypatch)
    repository = tmp_path / "repo"
    git("checkout", "-q", "--detach", cwd=repository)
    git("branch", "-m", "main", "trunk", cwd=repository)
    git("reset", "-q", "--hard", "HEAD^", cwd=repository)
    git("branch", "-f", "trunk", "HEAD", cwd=repository)
    git("checkout", "-q", "trunk", cwd=repository)
    async with open_house(tmp_path) as house:
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert (attempt.outcome, (await house.task(task_id)).state) == ("interrupted", "open")
        (decision,) = await house.decisions()
        assert "has no branch 'main'" in decision.question


@pytest.mark.parametrize(("part", "number"), [("setup", signal.SIGKILL), ("gate", signal.SIGTERM)])
async def test_what_the_lane_runs_is_run_again_when_somebody_ended_its_shim(
    tmp_path: Path, part: str, number: signal.Signals
) -> None:
    mark, fifo = tmp_path / "began", make_fifo(tmp_path)
    once = f"if ! test -e {mark}; then touch {mark}; cat {fifo}; fi"
    config: dict[str, Any] = {"gate": once}
    if part == "setup":
        config = {"setup": (f'case "$PWD" in */gates/*) {once};; esac',)}
    async with open_house(tmp_path) as house:
        await house.add_project(**config)
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"))
        writer = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        (shim,) = house.supervisor.live_shims()
        os.kill(shim.pid, number)
        await house.wait_for_type("task.done", task_id)
        os.close(writer)
        # Within the attempt: nothing of it was the agent's fault, and nothing is lost.
        (attempt,) = await house.attempts(task_id)
        assert attempt.outcome == "succeeded"


async def test_an_agent_that_somebody_ended_by_its_shim_cancels_no_task(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path)
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Hang", {"do": "fifo", "path": str(fifo)})
        agent = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        (shim,) = house.supervisor.live_shims()
        os.kill(shim.pid, signal.SIGTERM)
        await house.wait_for_type("attempt.ended", task_id)
        (attempt,) = await house.attempts(task_id)
        assert (attempt.outcome, (await house.task(task_id)).state) == ("interrupted", "open")
        os.close(agent)


async def test_an_agent_goes_on_although_settings_no_longer_name_its_kind(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path)
    mine = AgentSettings(argv=("/bin/sh", "-c", f"cat {fifo}; echo 1 > new.txt"))
    async with open_house(tmp_path, agents={"mine": mine}, is_killed=True) as house:
        await house.add_project()
        await house.add_worker(agent="mine")
        task_id = await house.add_task("Add")
        await house.wait_for(job("agent"))
    async with open_house(tmp_path) as house:
        await release(fifo)
        await house.wait_for_type("task.done", task_id)
        assert (house.repository / "new.txt").read_text() == "1\n"


async def test_an_agent_whose_repository_went_away_with_the_daemon_is_ended_and_the_project_asks(
    tmp_path: Path,
) -> None:
    fifo = make_fifo(tmp_path)
    async with open_house(tmp_path, is_killed=True) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Hang", {"do": "fifo", "path": str(fifo)})
        agent = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        await house.wait_for(job("agent"))
        (shim,) = house.supervisor.live_shims()
    shutil.rmtree(tmp_path / "repo")
    async with open_house(tmp_path, repository=make_repository(tmp_path / "other")) as house:
        await house.wait_for_type("attempt.ended", task_id)
        assert is_gone(shim.pid)
        project = await house.store.read(projects.project_by_id, "toy")
        assert project.state is ProjectState.PAUSED
        (decision,) = await house.decisions()
        assert "is not a directory" in decision.question
    os.close(agent)


async def test_work_is_kept_although_the_repository_is_away_when_the_agent_ends(tmp_path: Path) -> None:
    fifo = make_fifo(tmp_path)
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "1\n"), {"do": "fifo", "path": str(fifo)})
        agent = await trio.to_thread.run_sync(os.open, fifo, os.O_WRONLY)
        house.repository.rename(tmp_path / "away")
        os.close(agent)
        await house.wait_for_type("task.validating", task_id)
        (attempt,) = await house.attempts(task_id)
        assert attempt.head_commit, "the work is kept by name"
