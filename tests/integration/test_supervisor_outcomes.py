"""Each way an attempt can end, with real git, real shims and the scripted agent."""

from __future__ import annotations

import os
from pathlib import Path

import trio

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.states import ProjectState
from ringmaster.queue.control import accept_task, cancel_task, reject_task
from ringmaster.queue.decide import answer_decision, retry_task
from ringmaster.queue.view import view_of
from ringmaster.settings import LimitSettings
from ringmaster.store import projects, receipts
from tests.fakes.house import House, git, make_repository, open_house, write_step


async def _end_of(house: House, task_id: str, nth: int = 1) -> str:
    await house.wait_for_type("attempt.ended", task_id, nth)
    attempt = (await house.attempts(task_id))[nth - 1]
    return f"{attempt.outcome}: {attempt.reason}"


async def test_a_red_gate_sends_the_task_back_with_the_gates_output(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task(
            "Break it",
            {"do": "write", "path": "bad.txt", "text": "BROKEN\n", "when": {"attempt": 1}},
            {"do": "write", "path": "bad.txt", "text": "mended\n", "when": {"attempt_min": 2}},
        )
        assert (await _end_of(house, task_id)).startswith("gate_failed: the gate ended with exit status 1")
        task = await house.task(task_id)
        assert (task.state, task.counted_attempts) == ("open", 1)
        assert task.not_before_at is not None
        before = git("rev-parse", "main", cwd=house.repository)
        await house.store.write(retry_task, task_id, actor="test")
        await house.wait_for_type("task.done", task_id)
        prompt = (house.paths.attempt(f"{task_id}/2") / "prompt.md").read_text()
        assert "bad.txt:1:BROKEN" in prompt
        assert git("rev-parse", "main^", cwd=house.repository) == before
        assert (house.repository / "bad.txt").read_text() == "mended\n"


async def test_a_question_in_the_result_line_is_asked_as_it_stands_there(tmp_path: Path) -> None:
    line = """{"type": "result", "status": "needs_decision",
        "question": "Which?", "detail": "both", "options": ["a", "b"]}""".replace("\n", " ")
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker(agent="command", command=("echo", line))
        task_id = await house.add_task("Choose")
        assert await _end_of(house, task_id) == "needs_decision: the agent asks: Which?"
        (asked,) = await house.decisions()
        assert (asked.kind, asked.question, asked.detail) == (DecisionKind.QUESTION, "Which?", "both")
        assert asked.options == ("a", "b")


async def test_a_red_base_pauses_the_project_with_one_decision(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repo", {"README": "toy\n", "old.txt": "BROKEN\n"})
    async with open_house(tmp_path, repository=repository) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "fine\n"))
        assert "interrupted: the gate is red on" in await _end_of(house, task_id)
        project = await house.store.read(projects.project_by_id, "toy")
        assert project.state is ProjectState.PAUSED
        (decision,) = await house.decisions()
        assert decision.kind is DecisionKind.BASE_RED
        (repository / "old.txt").write_text("mended\n")
        git("commit", "-qam", "Mend", cwd=repository)
        await house.store.write(answer_decision, decision.id, answer="resume", message="", actor="test")
        await house.store.write(retry_task, task_id, actor="test")
        await house.wait_for_type("task.done", task_id)


async def test_no_change_is_a_decision_and_closing_it_is_done(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Say it is complete", {"do": "say", "text": "all done"})
        assert (await _end_of(house, task_id)).startswith("no_changes")
        (decision,) = await house.decisions()
        assert decision.options == ("retry", "close", "cancel")
        await house.store.write(answer_decision, decision.id, answer="close", message="", actor="test")
        task = await house.task(task_id)
        assert (task.state, task.done_by) == ("done", "person")


async def test_a_task_without_a_diff_may_be_done_by_saying_so(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Answer", {"do": "say", "text": "42"}, is_diff_needed=False)
        await house.wait_for_type("task.done", task_id)
        (attempt,) = await house.attempts(task_id)
        task = await house.task(task_id)
        assert (attempt.outcome, task.state, task.landed_commit) == ("succeeded", "done", "")
        assert await house.decisions() == []


async def test_a_conflict_goes_back_and_starts_from_the_new_tip(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        task_id = await house.add_task(
            "Change the README",
            {"do": "write", "path": "README", "text": "agent\n"},
            {"do": "fifo", "path": str(fifo), "when": {"attempt": 1}},
        )
        await house.wait_for(lambda e: e.type == "attempt.job_started" and b"agent" in bytes(e.data))
        (house.repository / "README").write_text("person\n")
        git("commit", "-qam", "By hand", cwd=house.repository)
        await trio.to_thread.run_sync(lambda: open(fifo, "w").close())
        assert (await _end_of(house, task_id)).startswith("conflict: does not merge onto")
        await house.wait_for_type("task.done", task_id)
        assert (house.repository / "README").read_text() == "agent\n"


async def test_a_protected_change_waits_for_a_person_and_a_rejection_reaches_the_next_prompt(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Touch make", write_step("Makefile", "all:\n"))
        await house.wait_for_type("decision.opened", task_id)
        (decision,) = await house.decisions()
        assert decision.kind is DecisionKind.PROTECTED
        assert "Makefile" in decision.detail
        assert (await house.task(task_id)).state == "validating"
        await house.store.write(reject_task, task_id, message="leave make alone", actor="test")
        await house.wait_for_type("decision.opened", task_id, 2)
        assert "leave make alone" in (house.paths.attempt(f"{task_id}/2") / "prompt.md").read_text()
        await house.store.write(accept_task, task_id, message="", actor="test")
        await house.wait_for_type("task.done", task_id)
        assert (house.repository / "Makefile").exists()


async def test_asking_projects_and_gateless_ones_wait_for_accept(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project(gate="")
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "fine\n"))
        await house.wait_for_type("decision.opened", task_id)
        (decision,) = await house.decisions()
        assert decision.kind is DecisionKind.NO_GATE
        await house.store.write(accept_task, task_id, message="", actor="test")
        await house.wait_for_type("task.done", task_id)


async def test_a_dirty_checkout_parks_and_the_stack_lands_when_it_is_clean(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        (house.repository / "README").write_text("my own words\n")
        first = await house.add_task("One", write_step("one.txt", "1\n"))
        await house.wait_for_type("task.done", first)
        assert git("log", "--format=%s", "main", cwd=house.repository) == "Begin"
        assert (house.repository / "README").read_text() == "my own words\n"
        project = await house.store.read(projects.project_by_id, "toy")
        assert project.parked_commit == git("rev-parse", "ringmaster/landed/main", cwd=house.repository)
        (attempt,) = await house.attempts(first)
        assert attempt.landing is not None
        assert (attempt.landing.ref, attempt.landing.is_parked) == ("refs/heads/ringmaster/landed/main", True)
        git("checkout", "-q", "--", "README", cwd=house.repository)
        second = await house.add_task("Two", write_step("two.txt", "2\n"))
        await house.wait_for_type("task.done", second)
        assert (house.repository / "one.txt").exists()
        assert (house.repository / "two.txt").exists()
        assert (await house.store.read(projects.project_by_id, "toy")).parked_commit == ""


async def test_parked_work_is_merged_onto_a_target_that_went_another_way(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        (house.repository / "README").write_text("my own words\n")
        first = await house.add_task("One", write_step("one.txt", "1\n"))
        await house.wait_for_type("task.done", first)
        git("commit", "-qam", "My own commit", cwd=house.repository)
        second = await house.add_task("Two", write_step("two.txt", "2\n"))
        await house.wait_for_type("task.done", second)
        assert sorted(path.name for path in house.repository.glob("*.txt")) == ["one.txt", "two.txt"]
        assert "My own commit" in git("log", "--format=%s", "main", cwd=house.repository)
        tip = git("rev-parse", "main", cwd=house.repository)
        receipt = await house.store.read(receipts.receipt_of_commit, "toy", tip, (await _gate(house)))
        assert receipt is not None
        assert receipt.result == "green"


async def _gate(house: House) -> str:
    return (await house.store.read(projects.project_by_id, "toy")).config.gate


async def test_broken_set_up_pauses_the_project(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project(setup=("echo no compiler >&2", "exit 7"))
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "fine\n"))
        assert await _end_of(house, task_id) == "interrupted: set-up ended with exit status 7"
        (decision,) = await house.decisions()
        assert decision.kind is DecisionKind.SETUP_FAILED
        assert "no compiler" in decision.detail


async def test_a_gate_that_hangs_is_ended_at_its_limit(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project(gate="if test -f new.txt; then sleep 1000; fi", gate_limit_s=0.5)
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "fine\n"))
        assert await _end_of(house, task_id) == "gate_failed: the gate took longer than its limit"


async def test_a_gate_command_that_is_missing_is_the_projects_fault(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project(gate="no-such-command-here")
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "fine\n"))
        assert (await _end_of(house, task_id)).startswith("interrupted: the gate is red on")
        (decision,) = await house.decisions()
        assert "was not found" in decision.question


async def test_a_flaky_gate_passes_and_is_noted(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        mark = tmp_path / "ran"
        await house.add_project(gate=f"test -e {mark} || {{ touch {mark}; exit 1; }}")
        await house.add_worker()
        task_id = await house.add_task("Add", write_step("new.txt", "fine\n"))
        await house.wait_for_type("task.done", task_id)
        (receipt,) = await house.store.read(receipts.receipts_of_attempt, f"{task_id}/1")
        assert receipt.is_flaky


async def test_a_weakened_test_waits_for_a_person(tmp_path: Path) -> None:
    test = "def test_it():\n    assert 1 == 1\n    assert 2 == 2\n"
    repository = make_repository(tmp_path / "repo", {"README": "toy\n", "tests/test_it.py": test})
    async with open_house(tmp_path, repository=repository) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Weaken", write_step("tests/test_it.py", "def test_it():\n    assert 1 == 1\n"))
        await house.wait_for_type("decision.opened", task_id)
        (decision,) = await house.decisions()
        assert decision.kind is DecisionKind.TESTS_CHANGED
        assert "2 assertions became 1" in decision.question


async def test_cancelling_a_running_attempt_ends_its_tree(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        task_id = await house.add_task("Hang", {"do": "hang"})
        await house.wait_for(lambda e: e.type == "attempt.job_started" and b"agent" in bytes(e.data))
        await house.store.write(cancel_task, task_id, actor="test")
        assert await _end_of(house, task_id) == "cancelled: cancelled by a person"
        assert (await house.task(task_id)).state == "cancelled"


async def test_an_agent_that_floods_and_one_that_never_ends_are_stopped(tmp_path: Path) -> None:
    limits = LimitSettings(wall_s=0.7, output_bytes=100_000, cancel_grace_s=0.1)
    async with open_house(tmp_path, limits=limits) as house:
        await house.add_project()
        await house.add_worker()
        await house.add_worker()
        flood = await house.add_task("Flood", {"do": "flood", "bytes": 5_000_000}, {"do": "hang"})
        hang = await house.add_task("Hang", {"do": "ignore_term"}, {"do": "hang"})
        assert (await _end_of(house, flood)).startswith("output_flood")
        assert (await _end_of(house, hang)).startswith("timed_out")


async def test_a_missing_agent_is_spawn_failed(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker(agent="command", command=("no-such-agent-program",))
        task_id = await house.add_task("Add")
        assert (await _end_of(house, task_id)).startswith("spawn_failed")


async def test_a_change_to_the_users_checkout_is_named(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project()
        await house.add_worker()
        stray = house.repository / "stray.txt"
        task_id = await house.add_task(
            "Wander", write_step("new.txt", "fine\n"), {"do": "touch_outside", "path": str(stray), "text": "x"}
        )
        await house.wait_for_type("task.done", task_id)
        (attempt,) = await house.attempts(task_id)
        assert any("stray.txt" in line for line in attempt.report["checkout_changed"])


async def test_what_was_taken_is_not_called_parked_again_by_the_next_that_parks(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        await house.add_project(update_checkout="never")
        await house.add_worker()
        first = await house.add_task("One", write_step("one.txt", "1\n"))
        await house.wait_for_type("task.done", first)
        git("merge", "-q", "--ff-only", "ringmaster/landed/main", cwd=house.repository)
        second = await house.add_task("Two", write_step("two.txt", "2\n"))
        await house.wait_for_type("task.done", second)
        assert not (await house.store.read(view_of, first)).is_parked
        assert (await house.store.read(view_of, second)).is_parked
