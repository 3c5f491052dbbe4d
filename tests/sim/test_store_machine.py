"""The queue's functions against a dictionary: hypothesis looks for a sequence of calls after which the two differ."""

from __future__ import annotations

import random
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.model.project import ProjectConfig
from ringmaster.protocol.task import TaskAddParams, TaskDepParams, TaskEditParams
from ringmaster.queue import claim, control, holding, intake, registry, report
from tests.fakes.seats import make_seat
from tests.sim.clock import VirtualClock
from tests.sim.database import Database, SimulatedStore
from tests.unit.queue.making import check_invariants

DATABASE = Database()
PATIENCE_S = (-30 * 86_400, 0, 2 * 86_400, 5 * 86_400, 10 * 86_400)


class StoreMachine(RuleBasedStateMachine):
    """Tasks that block each other, one seat, and a dictionary that says what must come of it."""

    tasks = Bundle("tasks")
    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        DATABASE.reset()
        self.clock = VirtualClock()
        self.store = SimulatedStore(DATABASE, self.clock.wall, lambda events: None)
        self.rng = random.Random(1)
        # id -> state, priority, place, whether it is held, and the tasks that it waits for.
        self.known: dict[str, dict[str, Any]] = {}
        self.seated = ""
        project = ProjectConfig(max_running=9)
        names = {"name": "p", "path": "/p", "common_dir": "/p/.git", "target": "main"}
        self.do(registry.add_project, **names, config=project, actor="t")
        self.do(control.spawn_worker, make_seat(agent="a"), actor="t")

    def do(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        """One use case; None when it was refused in words."""
        try:
            return self.store.write_now(fn, args, kwargs, is_essential=True)
        except RingmasterError as error:
            if error.kind is ErrorKind.INTERNAL:
                raise
            return None

    def ready(self) -> list[str]:
        """What may be given out, in the order of work."""
        found = [
            (facts["rank"], facts["place"], id)
            for id, facts in self.known.items()
            if facts["state"] == "open"
            and not facts["held"]
            and all(self.known[other]["state"] == "done" for other in facts["waits"])
        ]
        return [id for _, _, id in sorted(found)]

    @rule(target=tasks, priority=st.integers(0, 4), after=st.lists(tasks, max_size=2), is_held=st.booleans())
    def add(self, priority: int, after: list[str], is_held: bool) -> str:
        params = TaskAddParams(title="t", priority=priority, after=tuple(after), is_held=is_held)
        id = self.do(intake.add_task, params, actor="t", max_attempts=2, rng=self.rng)
        rank = int(self.clock.wall()) + PATIENCE_S[priority]
        facts = {"state": "open", "rank": rank, "place": len(self.known), "held": is_held, "waits": set(after)}
        self.known[id] = {**facts, "counted": 0, "attempts": 0}
        return str(id)

    @rule(id=tasks, other=tasks)
    def depend(self, id: str, other: str) -> None:
        done = self.do(intake.change_dependencies, id, TaskDepParams(id=id, add=(other,)), actor="t")
        is_circle = self.reaches(other, id)
        may = self.known[id]["state"] in ("open", "failed") and not is_circle
        assert (done is not None) == may
        if may:
            self.known[id]["waits"].add(other)

    def reaches(self, start: str, end: str) -> bool:
        """Whether one waits for the other in the end."""
        return start == end or any(self.reaches(other, end) for other in self.known[start]["waits"])

    @rule(id=tasks, priority=st.integers(0, 4))
    def edit(self, id: str, priority: int) -> None:
        done = self.do(intake.edit_task, TaskEditParams(id=id, priority=priority), actor="t")
        if self.known[id]["state"] in ("open", "failed"):
            arrived = self.store.rows("SELECT created_at FROM tasks WHERE id = ?", (id,))[0][0]
            self.known[id]["rank"] = int(arrived) + PATIENCE_S[priority]
        assert done is None

    @rule(id=tasks)
    def hold(self, id: str) -> None:
        facts = self.known[id]
        may = not facts["held"] and facts["state"] in ("open", "failed", "running")
        if self.do(holding.hold_task, id, actor="t") is not None:
            assert may or not facts["held"]
            facts["held"] = True

    @rule(id=tasks)
    def release(self, id: str) -> None:
        done = self.do(holding.release_task, id, actor="t")
        assert (done is not None) == self.known[id]["held"]
        self.known[id]["held"] = False

    @rule(target=attempts)
    def begin(self) -> tuple[str, str, str]:
        ready = [] if self.seated else self.ready()
        found = self.do(claim.claim_for_worker, "w1", f"{self.rng.getrandbits(64):x}", rng=self.rng)
        assert (found.task.id if found else None) == (ready[0] if ready else None)
        if found is None:
            return ("", "", "")
        self.known[found.task.id]["state"], self.seated = "running", found.attempt.id
        self.known[found.task.id]["attempts"] += 1
        return (found.attempt.id, found.attempt.token, found.task.id)

    @rule(attempt=consumes(attempts), is_done=st.booleans(), is_late=st.booleans())
    def finish(self, attempt: tuple[str, str, str], is_done: bool, is_late: bool) -> None:
        id, token, task_id = attempt
        if not id:
            return
        facts = self.known[task_id]
        if self.seated != id:
            assert self.do(report.complete_without_diff, id, token, {}) is None
            return
        if is_late:
            names = (id, token[::-1] + "x")
            assert self.do(report.end_attempt, *names, Outcome.FAILED, "late", rng=self.rng) is None
        if is_done:
            self.do(report.complete_without_diff, id, token, {})
            facts["state"] = "done"
        else:
            # A conflict is counted and has no delay.
            self.do(report.end_attempt, id, token, Outcome.CONFLICT, f"{self.rng.random()}", rng=self.rng)
            facts["counted"] += 1
            facts["state"] = "failed" if facts["counted"] >= 2 else "open"
        self.seated = ""
        assert self.do(report.end_attempt, id, token, Outcome.FAILED, "twice", rng=self.rng) is None

    @rule(id=tasks)
    def cancel(self, id: str) -> None:
        done = self.do(control.cancel_task, id, actor="t")
        state = self.known[id]["state"]
        assert (done is not None) == (state in ("open", "failed", "running"))
        if state in ("open", "failed"):
            self.known[id]["state"] = "cancelled"
        elif state == "running":
            self.do(self.end_cancelled, id)

    def end_cancelled(self, conn: Any, id: str) -> None:
        """As its supervisor does."""
        attempt_id, token = conn.rows("SELECT id, token FROM attempts WHERE task_id = ? AND state <> 'ended'", (id,))[0]
        report.end_attempt(conn, attempt_id, token, Outcome.CANCELLED, "by a person", rng=self.rng)
        self.known[id]["state"], self.seated = "cancelled", ""

    @rule(id=tasks)
    def retry(self, id: str) -> None:
        done = self.do(control.retry_with_words, id, message="", actor="t", rng=self.rng)
        may = self.known[id]["state"] in ("open", "failed", "cancelled")
        assert (done is not None) == may
        if may:
            self.known[id].update(state="open", counted=0)

    @rule(seconds=st.sampled_from((1.0, 90_000.0)))
    def wait(self, seconds: float) -> None:
        self.clock.mono += seconds

    @invariant()
    def rows_are_as_the_dictionary_says(self) -> None:
        rows = self.store.rows("SELECT id, state, rank, held_at IS NOT NULL, attempt_number FROM tasks")
        found = {row[0]: (row[1], row[2], bool(row[3]), row[4]) for row in rows}
        known = {id: (f["state"], f["rank"], f["held"], f["attempts"]) for id, f in self.known.items()}
        assert found == known
        self.store.read_now(check_invariants)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestStore.pytestmark = [pytest.mark.slow]  # type: ignore[attr-defined]
