"""Why a task is as it is: everything in its way, what is done for it now, or why it ended.

What is in its way is told by the rules that the dispatcher and the claim refuse by (`queue/obstacles.py`,
`queue/limits.py`), and where none of them names anything the claim's own search has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from ringmaster.model.project import Project
from ringmaster.model.states import ENDED_TASK_STATES, LIVE_TASK_STATES, TaskState
from ringmaster.model.task import Task, TaskType
from ringmaster.model.worker import Worker
from ringmaster.protocol.task import ReceiptView, TaskView
from ringmaster.protocol.why import Obstacle, ObstacleKind, TaskWhy
from ringmaster.queue.claim import LOOKS, seat_of
from ringmaster.queue.limits import (
    UNBOUND,
    Allowance,
    Bounds,
    of_agent_limit,
    of_agent_pause,
    of_budget,
    of_label_limits,
    paused_agents,
)
from ringmaster.queue.next_step import words_of
from ringmaster.queue.obstacles import (
    NOBODY,
    House,
    fits,
    is_free_seat,
    of_account,
    of_house,
    of_project,
    of_queue,
    of_running,
    of_seats,
    resting_agents,
)
from ringmaster.queue.why_causes import newest_events, with_cause
from ringmaster.queue.why_own import of_decisions, of_dependencies, of_facts, of_row
from ringmaster.queue.why_state import doing_of, ending_of
from ringmaster.store import attempts, decisions, order, pauses, seats, tasks, workers
from ringmaster.store.connection import Connection
from ringmaster.store.tasks import TaskRow

ORDER = {kind: place for place, kind in enumerate(ObstacleKind)}
COUNTED_AHEAD = 200
TOLD = 50
"""The event is looked for of so many obstacles."""


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules look at besides the rows. payers: the account's id of each agent, where it is known."""

    house: House
    bounds: Bounds = UNBOUND
    payers: Mapping[str, str] = NOBODY


def why_view(
    conn: Connection,
    row: TaskRow,
    view: TaskView,
    project: Project | None,
    scene: Scene,
    receipts: Callable[[], Sequence[ReceiptView]],
    limit: int,
) -> TaskWhy:
    """All that explains a task. receipts: of its gates, asked for only where it has ended. limit: of dependencies."""
    task = row.task
    recent = newest_events(conn, task.id)
    found = obstacles_of(conn, row, project, scene)
    found[:TOLD] = [with_cause(conn, obstacle, recent) for obstacle in found[:TOLD]]
    tried = attempts.salvaged_of_task(conn, task.id)
    attempt = tried[-1] if tried else None
    doing = ending = None
    if task.state in LIVE_TASK_STATES and attempt is not None:
        doing = doing_of(conn, task, attempt, recent)
    elif task.state in ENDED_TASK_STATES:
        ending = ending_of(view, project, attempt, recent, tuple(receipts()))
    why = TaskWhy(
        id=task.id,
        title=task.title,
        state=str(task.state),
        shown=view.shown,
        first="",
        obstacles=tuple(found),
        doing=doing,
        ending=ending,
    )
    shown = tuple(_first_dependencies(found, limit))
    return msgspec.structs.replace(why, first=words_of(why), obstacles=shown, left_out=len(found) - len(shown))


def _first_dependencies(found: Sequence[Obstacle], limit: int) -> Iterator[Obstacle]:
    """All but those dependencies that are too many: what else is in the way would stand behind thousands of them."""
    left = limit
    for obstacle in found:
        if obstacle.kind != ObstacleKind.DEPENDENCY:
            yield obstacle
        elif left:
            left -= 1
            yield obstacle


def obstacles_of(conn: Connection, row: TaskRow, project: Project | None, scene: Scene) -> list[Obstacle]:
    """Everything in a task's way, in order; of one that has a seat, waits in the lane or has failed: what is asked."""
    task = row.task
    asked = of_decisions(decisions.open_of_task(conn, task.id), task)
    if task.state in (TaskState.DONE, TaskState.CANCELLED):
        return list(of_row(row.unread, task.id))
    if task.state not in (TaskState.OPEN, TaskState.DRAFT):
        return [*of_row(row.unread, task.id), *asked]
    found = [
        *of_row(row.unread, task.id),
        *of_dependencies(conn, task.id),
        *asked,
        *of_facts(task, conn.now),
        # An epic is never given out, so nothing of that keeps it back.
        *(_of_all(conn, task, project, scene) if task.type != TaskType.EPIC else ()),
    ]
    unique = {(obstacle.kind, obstacle.id): obstacle for obstacle in found}
    ordered = sorted(unique.values(), key=lambda obstacle: ORDER[ObstacleKind(obstacle.kind)])
    return ordered or _kept_by_one_ahead(conn, row, scene)


def _of_all(conn: Connection, task: Task, project: Project | None, scene: Scene) -> list[Obstacle]:
    """What holds for other tasks too."""
    allowance = Allowance(conn, scene.bounds)
    of_project_here = int(conn.value(attempts.queries.running_of_project, (task.project_id,)))
    return [
        *of_house(scene.house),
        *of_queue(pauses.queue_pause(conn)),
        *of_project(project, task.project_id, of_project_here),
        *of_running(attempts.count_running(conn), scene.house),
        *of_label_limits(task, allowance.running_labels(), scene.bounds),
        *of_seats(task, workers.all_workers(conn), _rules_of_agents(conn, task, scene, allowance)),
    ]


def _rules_of_agents(
    conn: Connection, task: Task, scene: Scene, allowance: Allowance
) -> Callable[[str], Sequence[Obstacle]]:
    """What keeps each agent's seats from a task, asked once an agent."""
    paused = paused_agents(conn)
    resting = resting_agents(conn, scene.payers)
    bounds = scene.bounds
    known: dict[str, list[Obstacle]] = {}

    def of_agent(agent: str) -> list[Obstacle]:
        if agent not in known:
            is_metered = agent in bounds.metered
            allowance.look(agent)
            limit_usd = allowance.limit_of(task, agent) if is_metered else None
            known[agent] = [
                *of_budget(task.project_id, allowance.books, is_metered=is_metered, limit_usd=limit_usd),
                *of_agent_limit(agent, allowance.running_agents()[agent], bounds),
                *of_agent_pause(agent, paused),
                *of_account(agent, resting, conn.now),
            ]
        return known[agent]

    return of_agent


def _kept_by_one_ahead(conn: Connection, row: TaskRow, scene: Scene) -> list[Obstacle]:
    """What keeps a task back that is not in its own way: a budget in the way of a dearer one before it.

    Asked by the claim's own search, for each seat that could take the task.
    """
    held: Obstacle | None = None
    for worker in workers.all_workers(conn):
        if worker.is_pulled or not is_free_seat(worker) or not fits(worker, row.task):
            continue
        allowance = Allowance(conn, scene.bounds)
        found = first_place(conn, worker, allowance)
        if found is not None and found <= (row.task.rank, row.seq):
            return []
        held = held or allowance.held_by_budget
    return [held] if held is not None else []


def first_place(conn: Connection, worker: Worker, allowance: Allowance) -> tuple[int, int] | None:
    """The place in the order of work of what a claim for a seat would take; None for nothing. Changes nothing."""
    gate = allowance.look(worker.agent)
    if gate.is_agent_paused or allowance.keeps_agent(worker.agent):
        return None
    for _ in range(LOOKS):
        seq = seats.next_place(conn, seat_of(worker, allowance))
        if seq is None:
            return None
        row = tasks.row_by_seq(conn, seq)
        if not gate.has_budgets or row.unread or not allowance.refuses(row.task, worker.agent):
            return row.task.rank, seq
    return None


def count_ahead(conn: Connection, task_id: str) -> int | None:
    """How many ready tasks of active projects go before a ready one, counted up to some hundred."""
    for place, row in enumerate(order.ready_rows(conn, "", COUNTED_AHEAD)):
        if row.task.id == task_id:
            return place
    return COUNTED_AHEAD
