"""Rows as a person sees them. A damaged row is shown as such and keeps none of the others from view."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ringmaster.model.attempt import Attempt
from ringmaster.model.dependency import OTHERS, DependencyKind, dependency_words
from ringmaster.model.project import Project
from ringmaster.model.receipt import Receipt
from ringmaster.model.states import DecisionState, TaskState, WorkerState, derived_state
from ringmaster.model.worker import Worker
from ringmaster.protocol.attempt import AttemptView
from ringmaster.protocol.task import BlockerView, DependencyView, ImportedView, ReceiptView, TaskDetail, TaskView
from ringmaster.protocol.why import TaskWhy
from ringmaster.protocol.worker import WorkerView
from ringmaster.queue.lease import workspace_of
from ringmaster.queue.obstacles import House
from ringmaster.queue.why import Scene, count_ahead, why_view
from ringmaster.settings import Paths
from ringmaster.store import (
    attempts,
    comments,
    decisions,
    dependencies,
    imported,
    projects,
    receipts,
    tasks,
    workers,
)
from ringmaster.store.connection import Connection
from ringmaster.store.dependencies import Blocker
from ringmaster.store.disk import has_room
from ringmaster.store.tasks import TaskRow

POISONED = "poisoned"
FIELD_LIMIT = 120


def known_projects(conn: Connection) -> dict[str, Project]:
    """Every project by name, damaged ones too."""
    return {project.id: project for project in projects.salvaged_projects(conn)}


def task_view(conn: Connection, row: TaskRow, known: Mapping[str, Project]) -> TaskView:
    """A task with its derived state."""
    task = row.task
    shown = derived_state(
        task.state,
        open_blockers=task.open_blockers,
        has_open_decision=row.has_open_decision,
        not_before_at=task.not_before_at,
        now=conn.now,
    )
    return TaskView(
        task=task,
        shown=POISONED if row.unread else shown,
        seq=row.seq,
        is_parked=is_parked(conn, row, known.get(task.project_id)),
        is_asking=row.has_open_decision,
    )


def is_parked(conn: Connection, row: TaskRow, project: Project | None) -> bool:
    """Whether a task's landing waits in the landed branch for the user's checkout."""
    if project is None or not project.parked_commit:
        return False
    if row.task.state is not TaskState.DONE or not row.task.landed_commit:
        return False
    since_at = project.parked_at or 0.0
    newest = attempts.salvaged_of_task(conn, row.task.id)[-1:]
    return any(
        attempt.landing is not None and attempt.landing.is_parked and (attempt.ended_at or 0.0) >= since_at
        for attempt in newest
    )


def view_of(conn: Connection, task_id: str) -> TaskView:
    """One task. Raises NOT_FOUND."""
    row = tasks.row_by_id(conn, task_id)
    known = known_projects(conn) if row.task.landed_commit else {}
    return task_view(conn, row, known)


def attempt_view(attempt: Attempt, paths: Paths) -> AttemptView:
    """An attempt without its token."""
    return AttemptView(
        id=attempt.id,
        task_id=attempt.task_id,
        number=attempt.number,
        project_id=attempt.project_id,
        worker_id=attempt.worker_id,
        agent=attempt.agent,
        state=str(attempt.state),
        outcome=str(attempt.outcome or ""),
        reason=attempt.reason,
        branch=attempt.branch,
        base_commit=attempt.base_commit,
        head_commit=attempt.head_commit,
        landed_ref=attempt.landing.ref if attempt.landing else "",
        landed_commit=attempt.landing.new if attempt.landing else "",
        report=attempt.report,
        workspace=str(workspace_of(attempt, paths)),
        files=str(paths.attempt(attempt.id)),
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        session_id=attempt.session_id,
        account=attempt.account,
        model=attempt.model,
        cost_usd=attempt.cost_usd,
        tokens_in=attempt.tokens_in,
        tokens_out=attempt.tokens_out,
        lease_s=attempt.lease_s,
    )


FAILED_TESTS = 100


def receipt_view(receipt: Receipt) -> ReceiptView:
    """A gate run with its tests in words."""
    if receipt.tests_total is None:
        tests = "tests: unknown"
    else:
        failed = len(receipt.tests_failed)
        tests = f"{receipt.tests_total} tests" + (f", {failed} failed" if failed else "")
    return ReceiptView(
        commit=receipt.commit,
        result=str(receipt.result),
        gate=receipt.gate,
        tests=tests,
        is_flaky=receipt.is_flaky,
        wall_s=receipt.ended_at - receipt.started_at,
        job=receipt.job,
        attempt_id=receipt.attempt_id,
        started_at=receipt.started_at,
        failed=receipt.tests_failed[:FAILED_TESTS],
    )


def worker_view(conn: Connection, worker: Worker) -> WorkerView:
    """A worker with what it does now."""
    if worker.state is WorkerState.STOPPED:
        shown = "stopping" if worker.attempt_id else "stopped"
    elif worker.state is WorkerState.PAUSED:
        shown = "paused"
    else:
        shown = "working" if worker.attempt_id else "idle"
    problem = ""
    if worker.state is WorkerState.STOPPED and (unread := workers.unread_fields(conn, worker.id)):
        problem = f"its row cannot be read ({', '.join(unread)}); stop and remove it, then spawn it anew"
        shown = "stopping" if worker.attempt_id else "damaged"
    if not worker.attempt_id:
        return WorkerView(worker=worker, shown=shown, problem=problem)
    attempt = attempts.salvaged_by_id(conn, worker.attempt_id)
    title = tasks.row_by_id(conn, attempt.task_id).task.title
    return WorkerView(
        worker=worker,
        shown=shown,
        task_id=attempt.task_id,
        task_title=title,
        since_at=attempt.started_at,
        problem=problem,
    )


def _receipt_views(conn: Connection, task_id: str) -> tuple[ReceiptView, ...]:
    tried = attempts.salvaged_of_task(conn, task_id)
    return tuple(receipt_view(one) for attempt in tried for one in receipts.receipts_of_attempt(conn, attempt.id))


def task_why(conn: Connection, task_id: str, scene: Scene, limit: int = OTHERS) -> TaskWhy:
    """Why a task is not worked on, what it does, or why it ended. limit: of dependencies. Raises NOT_FOUND."""
    row = tasks.row_by_id(conn, task_id)
    known = known_projects(conn)
    why = _why(conn, row, task_view(conn, row, known), known, scene, limit)
    if why.obstacles or why.doing is not None or why.ending is not None:
        return why
    return msgspec.structs.replace(why, ahead=count_ahead(conn, task_id))


def _why(
    conn: Connection, row: TaskRow, view: TaskView, known: Mapping[str, Project], scene: Scene, limit: int
) -> TaskWhy:
    project = known.get(row.task.project_id)
    return why_view(conn, row, view, project, scene, lambda: _receipt_views(conn, row.task.id), limit)


def _plain_scene(paths: Paths) -> Scene:
    """What can be told without a daemon."""
    return Scene(house=House(has_estop=paths.estop.exists(), has_room=has_room(paths.state, paths.workspaces)))


def task_detail(
    conn: Connection, task_id: str, paths: Paths, scene: Scene | None = None, limit: int = OTHERS
) -> TaskDetail:
    """All about one task. scene: what the daemon's dispatcher looks at besides the rows. limit: of each list of others.

    Raises:
        RingmasterError: NOT_FOUND.
    """
    row = tasks.row_by_id(conn, task_id)
    known = known_projects(conn)
    tried = attempts.salvaged_of_task(conn, task_id)
    asked = decisions.salvaged_of_task(conn, task_id)
    depends = dependencies.blockers_of(conn, task_id)
    waited_for = [blocker for blocker in depends if blocker.is_open]
    open_ones = [decision for decision in asked if decision.state is DecisionState.OPEN]
    blockers = [
        BlockerView(kind="task", id=blocker.id, state=blocker.state, words=blocker.title, how=blocker.kind)
        for blocker in waited_for[:limit]
    ]
    blockers += [
        BlockerView(kind="decision", id=decision.id, state=str(decision.state), words=decision.question)
        for decision in open_ones
    ]
    if row.task.held_at is not None:
        words = f"held until somebody says: rmctl task release {task_id}"
        blockers.append(BlockerView(kind="hold", id=task_id, state="held", words=words))
    dependents = dependencies.dependents_of(conn, task_id)
    counts = {"blockers": len(waited_for), "dependents": len(dependents), "depends": len(depends)}
    view = task_view(conn, row, known)
    return TaskDetail(
        view=view,
        blockers=tuple(blockers),
        dependents=tuple(dependents[:limit]),
        attempts=tuple(attempt_view(attempt, paths) for attempt in tried),
        decisions=tuple(asked),
        receipts=_receipt_views(conn, task_id),
        next_step=_why(conn, row, view, known, scene or _plain_scene(paths), 1).first,
        comments=tuple(comments.comments_of(conn, task_id)),
        imported=_imported(conn, task_id),
        depends=tuple(dependency_view(other) for other in sorted(depends, key=_parent_first)[:limit]),
        left_out={name: count - limit for name, count in counts.items() if count > limit},
    )


def _parent_first(other: Blocker) -> bool:
    return other.kind != DependencyKind.PARENT_CHILD


def dependency_view(other: Blocker) -> DependencyView:
    """A task that another has to do with, in words."""
    return DependencyView(
        id=other.id,
        kind=other.kind,
        mode=other.mode,
        state=other.state,
        title=other.title,
        is_open=other.is_open,
        words=dependency_words(other.kind, other.mode, other.id),
    )


def _imported(conn: Connection, task_id: str) -> ImportedView | None:
    record = imported.record_of(conn, task_id)
    if record is None:
        return None
    words = {
        name: str(value)
        for name, value in imported.decode_fields(record.fields).items()
        if value and isinstance(value, str | int | float) and len(str(value)) <= FIELD_LIMIT
    }
    return ImportedView(source=record.source, fields=words)
