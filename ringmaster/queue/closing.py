"""Ending and opening tasks by a person's word, and what that does to those who wait for them."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

import msgspec

from ringmaster.model.dependency import GONE_STATES, DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.states import ENDED_TASK_STATES, LIVE_TASK_STATES, TaskState
from ringmaster.model.task import Task, TaskType
from ringmaster.queue.blockers import count_move
from ringmaster.queue.changes import moved
from ringmaster.queue.decide import cancel_now, cancel_row, take_up_again, tell_cancelled, withdraw_all
from ringmaster.queue.dependents import swap_dependencies
from ringmaster.store import attempts, controls, dependencies, events, standings, tasks
from ringmaster.store.connection import Connection

NAMED = 5
LOOK_BACK = 200
MOST = 1_000
"""So many others one change may free, cancel or bring back: it is one transaction, and the next would wait seconds."""
WAITING_KINDS = frozenset({DependencyKind.BLOCKS, DependencyKind.WAITS_FOR})
"""Kinds that go on waiting for what is cancelled, children aside; what was for the case that it fails runs now."""


class Dependents(StrEnum):
    """What is to become of those that wait for a task which is cancelled."""

    KEEP = "keep"
    """They go on waiting."""
    FREE = "free"
    """They no longer wait for it. Its children do: they stay its children."""
    CANCEL = "cancel"
    """They are cancelled too, with its children and all that waits for those."""


class Settled(msgspec.Struct, frozen=True):
    """What became of those that waited for a task. asked: live ones whose attempt is being ended first.

    children: how many that have not ended wait with it.
    """

    freed: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    children: int = 0

    @property
    def words(self) -> str:
        """For the end of a sentence about the task; '' when nothing waited."""
        said = []
        if self.freed:
            said.append(f"{named(self.freed)} no longer wait{_s(self.freed)} for it")
        if self.cancelled:
            said.append(f"{named(self.cancelled)} cancelled with it")
        if self.asked:
            said.append(f"{named(self.asked)} being ended, then cancelled")
        if self.waiting:
            said.append(f"{named(self.waiting)} still wait{_s(self.waiting)} for it")
        if self.children:
            one = self.children == 1
            said.append(f"its {'child waits' if one else f'{self.children} children wait'} until it is opened again")
        return "".join(f"; {part}" for part in said)


def named(ids: tuple[str, ...]) -> str:
    """The first of some ids, and how many there are when those are not all."""
    if len(ids) <= NAMED:
        return ", ".join(ids)
    return f"{', '.join(ids[:NAMED])} and {len(ids) - NAMED} more ({len(ids)} in all)"


def _s(ids: tuple[str, ...]) -> str:
    return "s" if len(ids) == 1 else ""


def cancel_task(
    conn: Connection,
    task_id: str,
    *,
    message: str = "",
    actor: str,
    dependents: Dependents = Dependents.KEEP,
    by: str = "",
) -> str:
    """Cancel a task, or ask for its live attempt to be ended; in words what happens, also to those that wait for it.

    dependents: kept with a live attempt until its task is really cancelled. by: the task with which it is cancelled.

    Raises:
        RingmasterError: NOT_FOUND; WRONG_STATE when it is landing or has ended; CONFLICT when too many wait for it.
    """
    task = tasks.row_by_id(conn, task_id).task
    if task.state in (TaskState.RUNNING, TaskState.VALIDATING):
        _refuse_many_waiting(conn, task_id, dependents)
        return _request_cancel(conn, task, message=message, actor=actor, dependents=dependents)
    since = conn.next_seq
    before = cancel_row(conn, task_id, actor=actor)
    _refuse_many_waiting(conn, task_id, dependents)
    settled = settle_dependents(conn, task_id, dependents, actor=actor)
    tell_cancelled(conn, before, message=message, actor=actor, more={"by": by} if by else {"since": since})
    return f"{task_id} is cancelled{settled.words}"


def _request_cancel(conn: Connection, task: Task, *, message: str, actor: str, dependents: Dependents) -> str:
    attempt = attempts.salvaged_of_task(conn, task.id)[-1]
    attempts.request_cancel(conn, attempt.id)
    controls.choose_dependents(conn, attempt.id, dependents)
    withdraw_all(conn, task.id)
    conn.emit(
        "attempt.cancel_requested",
        project_id=task.project_id,
        task_id=task.id,
        attempt_id=attempt.id,
        worker_id=attempt.worker_id,
        actor=actor,
        data={"message": message, "dependents": dependents},
    )
    waiting = tuple(dependencies.waiting_for(conn, task.id))
    then = {
        Dependents.KEEP: "still waits for it" if len(waiting) == 1 else "still wait for it",
        Dependents.FREE: "no longer waits for it then" if len(waiting) == 1 else "no longer wait for it then",
        Dependents.CANCEL: "is cancelled with it" if len(waiting) == 1 else "are cancelled with it",
    }[dependents]
    tail = f"; {named(waiting)} {then}" if waiting else ""
    return f"attempt {attempt.id} is being ended, then {task.id} is cancelled{tail}"


def settle_ended(conn: Connection, task_id: str, attempt_id: str) -> Settled:
    """A live attempt has ended and its task is cancelled: do now what was chosen for those that wait for it.

    When they have become too many since they go on waiting: that it ended must be written down in any case.
    """
    choice = controls.chosen_dependents(conn, attempt_id)
    if choice not in (Dependents.FREE, Dependents.CANCEL) or _are_many_waiting(conn, task_id, Dependents(choice)):
        return Settled()
    asked = (
        event
        for event in events.events_of_task_before(conn, task_id, conn.next_seq, LOOK_BACK)
        if event.type == "attempt.cancel_requested" and event.attempt_id == attempt_id
    )
    actor = next((event.actor for event in asked), "")
    return settle_dependents(conn, task_id, Dependents(choice), actor=actor)


def settle_dependents(conn: Connection, task_id: str, choice: Dependents, *, actor: str) -> Settled:
    """Free, cancel or keep waiting those that a task is in the way of now that it is cancelled."""
    if choice is Dependents.CANCEL:
        return _cancel_waiting(conn, task_id, actor=actor)
    waiting, freed = [], []
    for gate in dependencies.waiting_on(conn, task_id):
        if gate.kind not in WAITING_KINDS:
            continue
        if choice is Dependents.FREE and _free(conn, task_id, gate, actor=actor):
            freed.append(gate.task_id)
        else:
            waiting.append(gate.task_id)
    # Counted by its row: an epic can have very many.
    children = standings.standing_of(conn, task_id).open_children
    return Settled(freed=tuple(freed), waiting=tuple(waiting), children=children)


def _free(conn: Connection, task_id: str, gated: dependencies.Gated, *, actor: str) -> bool:
    before = tasks.row_by_id(conn, gated.task_id).task
    if before.state in ENDED_TASK_STATES and before.state is not TaskState.FAILED:
        return False
    swap_dependencies(conn, before, gated.kind, [task_id], [], actor=actor, more={"by": task_id})
    return True


def _all_waiting(conn: Connection, task_id: str) -> list[str]:
    """Who waits for a cancelled task: of its children each, whether they have been told already or not."""
    found = [gated.task_id for gated in dependencies.waiting_on(conn, task_id) if gated.kind in WAITING_KINDS]
    return [*found, *(dependencies.children_of(conn, task_id) if standings.has_children(conn, task_id) else ())]


def _are_many_waiting(conn: Connection, task_id: str, choice: Dependents) -> bool:
    """Whether more than can be changed at once wait for a task, with all that wait for those if they are cancelled."""
    if choice is Dependents.KEEP:
        return False
    if choice is Dependents.FREE:
        near = [gated.task_id for gated in dependencies.waiting_on(conn, task_id) if gated.kind in WAITING_KINDS]
    else:
        near = _all_waiting(conn, task_id)
    found: set[str] = set()
    around = deque(near)
    while around and len(found) <= MOST:
        id = around.popleft()
        if id not in found and standings.standing_of(conn, id).state not in GONE_STATES:
            found.add(id)
            around.extend(_all_waiting(conn, id) if choice is Dependents.CANCEL else ())
    return len(found) > MOST


def _refuse_many_waiting(conn: Connection, task_id: str, choice: Dependents) -> None:
    if _are_many_waiting(conn, task_id, choice):
        raise RingmasterError(
            ErrorKind.CONFLICT,
            f"more than {MOST:,} tasks wait for {task_id}, too many to {choice} in one change; nothing was changed",
            f"rmctl cancel {task_id} --dependents keep, and some of those that wait at a time",
        )


def _cancel_waiting(conn: Connection, task_id: str, *, actor: str) -> Settled:
    """Cancel all that waits for a task, whatever the way is long: by a list, each once, the nearer first."""
    cancelled: dict[str, None] = {}
    asked: dict[str, None] = {}
    left: dict[str, None] = {}
    around = deque([task_id])
    while around:
        blocker = around.popleft()
        for id in _all_waiting(conn, blocker):
            if id in cancelled or id in asked or id in left:
                continue
            state = standings.standing_of(conn, id).state
            if state in LIVE_TASK_STATES:
                if state is TaskState.LANDING:
                    left[id] = None
                    continue
                live = tasks.row_by_id(conn, id).task
                _request_cancel(conn, live, message=f"with {task_id}", actor=actor, dependents=Dependents.CANCEL)
                asked[id] = None
            elif state in (TaskState.DRAFT, TaskState.OPEN, TaskState.FAILED):
                cancel_now(conn, id, message=f"with {task_id}", actor=actor, by=task_id)
                cancelled[id] = None
                around.append(id)
    return Settled(cancelled=tuple(cancelled), asked=tuple(asked), waiting=tuple(left))


def reopen_task(conn: Connection, task_id: str, *, message: str = "", actor: str) -> str:
    """Take up again a task that has ended; in words what it blocks again.

    Raises:
        RingmasterError: NOT_FOUND; WRONG_STATE when it has not ended, or would be done again at once.
    """
    task, since = tasks.row_by_id(conn, task_id).task, conn.next_seq
    blocked_before = set(dependencies.waiting_for(conn, task_id))
    if not controls.reopen(conn, task_id):
        raise RingmasterError(
            ErrorKind.WRONG_STATE, f"task {task_id} is {task.state}, so it is open", f"rmctl task show {task_id}"
        )
    take_up_again(conn, task, actor=actor)
    told = {"reason": "reopened", "message": message, **moved(conn, task), "since": since}
    conn.emit("task.opened", project_id=task.project_id, task_id=task_id, actor=actor, data=told)
    again = tuple(
        id
        for id in dependencies.waiting_for(conn, task_id)
        if id not in blocked_before and standings.standing_of(conn, id).state not in ENDED_TASK_STATES
    )
    landed = f"; {task.landed_commit[:12]} stays where it landed" if task.landed_commit else ""
    return f"{task_id} is open again{landed}" + (f"; it blocks {named(again)} again" if again else "")


def close_task(conn: Connection, task_id: str, *, message: str = "", actor: str, children: str = "") -> str:
    """Call a task done without work by an agent; in words what became ready by it.

    children: of an epic, what is to become of those that have not ended: `keep` or `cancel`; '' refuses while there
    are any.

    Raises:
        RingmasterError: NOT_FOUND; WRONG_STATE while it is worked on or when it has ended; CONFLICT for an epic with
            open children, or with too many to cancel.
    """
    task, since = tasks.row_by_id(conn, task_id).task, conn.next_seq
    if task.state not in (TaskState.DRAFT, TaskState.OPEN, TaskState.FAILED):
        hint = f"rmctl cancel {task_id}" if task.state in LIVE_TASK_STATES else f"rmctl task reopen {task_id}"
        raise RingmasterError(ErrorKind.WRONG_STATE, f"task {task_id} is {task.state}, so it cannot be closed", hint)
    if task.type == TaskType.EPIC and task.open_children and not children:
        raise RingmasterError(
            ErrorKind.CONFLICT,
            f"{task.open_children} of the {task.children} children of epic {task_id} have not ended",
            f"rmctl task close {task_id} --children keep|cancel",
        )
    if task.state is TaskState.DRAFT:
        tasks.move_task(conn, task_id, TaskState.DRAFT, TaskState.OPEN)
    old = TaskState.OPEN if task.state is TaskState.DRAFT else task.state
    withdraw_all(conn, task_id)
    tasks.finish_task(conn, task_id, old=old, done_by="person")
    settled = Settled()
    if children == "cancel":
        settled = _cancel_children(conn, task_id, actor=actor)
    freed = count_move(conn, task_id, task.state, TaskState.DONE, actor=actor).freed
    told = {"done_by": "person", "commit": "", "message": message, **moved(conn, task), "since": since}
    conn.emit("task.done", project_id=task.project_id, task_id=task_id, actor=actor, data=told)
    ready = f"; ready now: {named(freed)}" if freed else ""
    return f"{task_id} is done{settled.words}{ready}"


def _cancel_children(conn: Connection, task_id: str, *, actor: str) -> Settled:
    """Cancel a closed epic's children, and theirs. What else waits for one of them goes on waiting."""
    cancelled: list[str] = []
    asked: list[str] = []
    left: list[str] = []
    if standings.standing_of(conn, task_id).open_children > MOST:
        raise _too_many_below(task_id)
    around = deque(dependencies.children_of(conn, task_id))
    while around:
        id = around.popleft()
        state = standings.standing_of(conn, id).state
        if state is TaskState.LANDING:
            left.append(id)
        elif state in LIVE_TASK_STATES:
            cancel_task(conn, id, message=f"with {task_id}", actor=actor)
            asked.append(id)
        elif state in (TaskState.DRAFT, TaskState.OPEN, TaskState.FAILED):
            cancel_now(conn, id, message=f"with {task_id}", actor=actor, by=task_id)
            cancelled.append(id)
        if len(cancelled) + len(asked) > MOST:
            raise _too_many_below(task_id)
        around.extend(dependencies.children_of(conn, id))
    return Settled(cancelled=tuple(cancelled), asked=tuple(asked), waiting=tuple(left))


def _too_many_below(task_id: str) -> RingmasterError:
    return RingmasterError(
        ErrorKind.CONFLICT,
        f"more than {MOST:,} below {task_id} have not ended, too many to cancel in one change; nothing was changed",
        f"rmctl task close {task_id} --children keep, and some of them at a time",
    )
