"""Results as a daemon would send them, with whatever a test wants changed."""

from __future__ import annotations

from typing import Any

import msgspec

from ringmaster.model.decision import Decision
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.event import Event
from ringmaster.model.generation import Generation, GenerationState, Measures
from ringmaster.model.project import Project, ProjectConfig
from ringmaster.model.states import DecisionState, ProjectState, TaskState
from ringmaster.model.task import Limits, Task
from ringmaster.protocol.attempt import AttemptView, LogChunk
from ringmaster.protocol.daemon import Health, QueueCounts, Status
from ringmaster.protocol.task import TaskDetail, TaskView
from ringmaster.protocol.worker import WorkerView
from tests.fakes.seats import make_seat

AT = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""


def make_task(**changes: Any) -> Task:
    """An open task."""
    plain: dict[str, Any] = {
        "id": "rm-abc12",
        "project_id": "toy",
        "title": "Mend the parser",
        "description": "",
        "priority": 2,
        "labels": (),
        "acceptance": (),
        "capabilities": (),
        "agent": "",
        "model": "",
        "limits": Limits(),
        "max_attempts": 3,
        "is_diff_needed": True,
        "state": TaskState.OPEN,
        "open_blockers": 0,
        "not_before_at": None,
        "attempt_number": 0,
        "counted_attempts": 0,
        "streak": 0,
        "done_by": "",
        "landed_commit": "",
        "version": 1,
        "created_at": AT,
        "updated_at": AT,
    }
    return Task(**(plain | changes))


def make_view(shown: str = "ready", *, is_parked: bool = False, is_asking: bool = False, **changes: Any) -> TaskView:
    """A task as it is listed."""
    return TaskView(task=make_task(**changes), shown=shown, seq=1, is_parked=is_parked, is_asking=is_asking)


def make_attempt(**changes: Any) -> AttemptView:
    """A running attempt."""
    plain: dict[str, Any] = {
        "id": "rm-abc12/1",
        "task_id": "rm-abc12",
        "number": 1,
        "project_id": "toy",
        "worker_id": "w1",
        "agent": "scripted",
        "state": "running",
        "outcome": "",
        "reason": "",
        "branch": "ringmaster/rm-abc12/1",
        "base_commit": "a" * 40,
        "head_commit": "",
        "landed_ref": "",
        "landed_commit": "",
        "report": {},
        "workspace": "/state/workspaces/toy/rm-abc12",
        "files": "/state/attempts/rm-abc12/1",
        "started_at": AT,
        "ended_at": None,
    }
    return AttemptView(**(plain | changes))


def make_detail(**changes: Any) -> TaskDetail:
    """A task with nothing around it."""
    plain: dict[str, Any] = {
        "view": make_view(),
        "blockers": (),
        "dependents": (),
        "attempts": (),
        "decisions": (),
        "receipts": (),
        "next_step": "a worker takes it; make one: rmctl worker spawn --agent scripted",
    }
    return TaskDetail(**(plain | changes))


def make_decision(**changes: Any) -> Decision:
    """An open question about a task."""
    plain: dict[str, Any] = {
        "id": "d-q1w2e",
        "kind": DecisionKind.ACCEPT,
        "project_id": "toy",
        "task_id": "rm-abc12",
        "attempt_id": "rm-abc12/1",
        "question": "Let it land?",
        "detail": "",
        "options": ("accept", "reject"),
        "state": DecisionState.OPEN,
        "answer": "",
        "message": "",
        "answered_by": "",
        "created_at": AT,
        "answered_at": None,
    }
    return Decision(**(plain | changes))


def make_worker(shown: str = "idle", *, id: str = "w1", task_id: str = "", task_title: str = "") -> WorkerView:
    """A scripted worker."""
    worker = make_seat(id=id, created_at=AT)
    return WorkerView(worker=worker, shown=shown, task_id=task_id, task_title=task_title, since_at=None)


def make_project(**changes: Any) -> Project:
    """An active project."""
    plain: dict[str, Any] = {
        "id": "toy",
        "path": "/src/toy",
        "common_dir": "/src/toy/.git",
        "target": "main",
        "state": ProjectState.ACTIVE,
        "paused_reason": "",
        "parked_commit": "",
        "parked_at": None,
        "config": ProjectConfig(gate="make test"),
        "version": 1,
        "created_at": AT,
    }
    return Project(**(plain | changes))


def make_health(**changes: Any) -> Health:
    """A daemon in good health."""
    plain: dict[str, Any] = {"state": "ok", "words": "", "pid": 4242, "started_at": AT, "is_kept": True}
    return Health(**(plain | changes))


def make_status(**changes: Any) -> Status:
    """An instance with nothing in it."""
    plain: dict[str, Any] = {
        "name": "default",
        "state_dir": "/state",
        "version": "0.1.0",
        "health": make_health(),
        "queue": QueueCounts(),
        "workers": (),
        "decisions": (),
        "parked": (),
        "paused": (),
        "projects": 0,
        "cursor": 0,
    }
    return Status(**(plain | changes))


def make_event(seq: int, **changes: Any) -> Event:
    """An event about a task."""
    plain: dict[str, Any] = {
        "seq": seq,
        "at": AT,
        "type": "task.created",
        "project_id": "toy",
        "task_id": "rm-abc12",
        "data": msgspec.Raw(b'{"title":"Mend the parser"}'),
    }
    return Event(**(plain | changes))


def make_generation(id: int, **changes: Any) -> Generation:
    """A good generation of a commit."""
    plain: dict[str, Any] = {
        "id": id,
        "release": f"r{id}",
        "digest": "d",
        "python": "/py",
        "parent": id - 1,
        "source": "target",
        "project_id": "own",
        "commit": str(id) * 40,
        "tree": "",
        "state": GenerationState.GOOD,
        "reason": "",
        "receipts": (),
        "measures": Measures(),
        "created_at": AT,
        "tried_at": AT,
        "settled_at": AT,
    }
    return Generation(**(plain | changes))


def make_chunk(offset: int, data: bytes, *, is_end: bool = False) -> LogChunk:
    """A piece of an attempt's output."""
    from base64 import b64encode

    return LogChunk(
        attempt_id="rm-abc12/1",
        stream="stdout",
        job="agent",
        offset=offset,
        next_offset=offset + len(data),
        text=data.decode(errors="replace"),
        data_base64=b64encode(data).decode(),
        is_end=is_end,
    )
