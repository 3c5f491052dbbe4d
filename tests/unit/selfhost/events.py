"""Events of one self-host run, as they come over the wire."""

from __future__ import annotations

from typing import Any

TASK, ATTEMPT, PROJECT = "rm-1", "rm-1/1", "ringmaster"


def event(at: float, type: str, decision: str = "", task: str = TASK, **data: Any) -> dict[str, Any]:
    ids = {"project_id": PROJECT, "task_id": task, "attempt_id": ATTEMPT, "worker_id": "w", "decision_id": decision}
    return {"seq": int(at * 10), "at": at, "type": type, "data": data, **ids}


BEGUN = [
    event(10.0, "task.created", title="Say it"),
    event(11.0, "attempt.started", agent="scripted"),
    event(11.5, "attempt.prepared", branch="b", base="c" * 40),
    event(13.0, "attempt.job_started", kind="agent"),
    event(16.0, "attempt.job_ended", kind="agent", reason="exited", code=0),
    event(16.5, "task.validating", head="d" * 40),
    event(20.0, "attempt.job_started", kind="gate-1"),
]
GREEN = event(50.0, "gate.ended", commit="e" * 40, result="green", tests_total=7, is_flaky=False, wall_s=30.0)
LANDED = [
    GREEN,
    event(50.1, "task.landing", ref="refs/heads/selfhost", old="c" * 40, new="e" * 40),
    event(51.0, "attempt.ended", outcome="succeeded", reason="landed"),
    event(51.0, "task.landed", ref="refs/heads/selfhost", old="c" * 40, new="e" * 40),
]
DONE = event(51.0, "task.done", done_by="landed", commit="e" * 40)
QUESTION = {"kind": "question", "question": "which?"}
