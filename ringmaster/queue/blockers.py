"""What is in a task's way, kept true: counts, children, and what follows when a task ends, opens or is held.

Every change of what `model.dependency.is_in_the_way` looks at ends in `spread`, in the same transaction. It works off a
list instead of calling itself, because chains can be long.
"""

from __future__ import annotations

from collections import deque

import msgspec

from ringmaster.model.dependency import (
    GATING_KINDS,
    GONE_STATES,
    DependencyKind,
    OtherFacts,
    is_epic_over,
    is_in_the_way,
    is_unneeded,
)
from ringmaster.model.states import TaskState
from ringmaster.model.task import TaskType
from ringmaster.queue.changes import moved
from ringmaster.queue.facts import facts_of, find_late, is_any_to_tell
from ringmaster.queue.withdrawing import withdraw_open
from ringmaster.store import controls, dependencies, spreading, standings, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.dependencies import Gated
from ringmaster.store.standings import Standing, Ties

NOT_BEGUN = frozenset({TaskState.DRAFT, TaskState.OPEN, TaskState.FAILED})
"""States in which a task can still be given up because it is not needed."""


MANY = 500
"""More dependents than this are asked anew in pieces."""
PIECE = 250
"""Of so many: some ten milliseconds."""


class Spread(msgspec.Struct, frozen=True):
    """What a change did to others: ids of tasks that became ready, and of those that ended with it."""

    freed: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()


def block(conn: Connection, task_id: str) -> None:
    """One more thing is in a task's way: a question, a hold. What hangs on that follows."""
    standings.shift_blockers(conn, task_id, 1)
    _spread_from_parent(conn, task_id)


def unblock(conn: Connection, task_id: str) -> None:
    """One thing less is in a task's way."""
    standings.shift_blockers(conn, task_id, -1)
    _spread_from_parent(conn, task_id)


def _spread_from_parent(conn: Connection, task_id: str) -> None:
    # Only children look at whether a task is blocked, and nearly no task has any.
    if standings.has_children(conn, task_id):
        spread(conn, [task_id])


def count_move(conn: Connection, task_id: str, old: TaskState, new: TaskState, *, actor: str = "") -> Spread:
    """A task's row has moved from `old` to `new`: count it at its parent, and let what depends on it follow.

    To be called in the transaction of each move into or out of `draft`, `done`, `failed` and `cancelled`, and of one
    back to `open`.
    """
    return _count_move(conn, task_id, standings.ties_of(conn, task_id), old, new, actor=actor)


def _count_move(conn: Connection, task_id: str, ties: Ties, old: TaskState, new: TaskState, *, actor: str) -> Spread:
    starts = [task_id] if ties.has_dependents else []
    if ties.parent_id is not None and _count_child(conn, ties.parent_id, old, new, actor=actor):
        starts.append(ties.parent_id)
    spread_of_others = spread(conn, starts, actor=actor)
    # It may have run while what it was the fallback of came through.
    after = give_up_unneeded(conn, task_id, actor=actor) if new in NOT_BEGUN else Spread()
    return Spread(spread_of_others.freed + after.freed, spread_of_others.ended + after.ended)


def count_moves(conn: Connection, moves: list[tuple[str, TaskState, TaskState]], *, actor: str = "") -> None:
    """The rows of several tasks, each with its state before and now, have moved at once: as `count_move` for each.

    All are counted before any is looked at, and all dependencies asked before anything ends: in between an epic
    could seem to have no child left.
    """
    late = [task_id for task_id, _, _ in moves]
    for task_id, old, new in moves:
        parent_id = dependencies.parent_of(conn, task_id)
        if parent_id is not None and _count_child(conn, parent_id, old, new, actor=actor, late=late):
            late.append(parent_id)
    spread(conn, list(late), actor=actor, late=late)
    spread(conn, late, actor=actor)
    for task_id in dict.fromkeys(late):
        give_up_unneeded(conn, task_id, actor=actor)


def give_up_unneeded(conn: Connection, task_id: str, *, actor: str = "") -> Spread:
    """End a task that was for the case that another fails, once that is done; nothing for one that has begun."""
    if not _is_to_give_up(conn, task_id):
        return Spread()
    standing = standings.standing_of(conn, task_id)
    if standing.state not in NOT_BEGUN:
        return Spread()
    after = spread(conn, [task_id, *_end(conn, standing, "unneeded", actor=actor)], actor=actor)
    return Spread(after.freed, (task_id, *after.ended))


def _is_to_give_up(conn: Connection, task_id: str) -> bool:
    return any(
        standings.standing_of(conn, gate.blocker_id).state is TaskState.DONE
        for gate in dependencies.gates_of(conn, task_id)
        if gate.kind == DependencyKind.CONDITIONAL_BLOCKS
    )


def _count_child(
    conn: Connection,
    parent_id: str,
    old: TaskState | None,
    new: TaskState | None,
    *,
    actor: str = "",
    late: list[str] | None = None,
) -> bool:
    """Move one child in its parent's counters; None is before it was there, or after. False when nothing changed."""
    opened = (new is not None and new not in GONE_STATES) - (old is not None and old not in GONE_STATES)
    done = (new is TaskState.DONE) - (old is TaskState.DONE)
    total = (new is not None) - (old is not None)
    if not (opened or done or total):
        return False
    standings.count_children(conn, parent_id, children=total, open_children=opened, done_children=done)
    if opened > 0:
        reopen_epic(conn, parent_id, actor=actor, late=late)
    return True


def reopen_epic(
    conn: Connection, task_id: str, *, reason: str = "a child is open", actor: str = "", late: list[str] | None = None
) -> None:
    """An epic that its children ended has work again; nothing for any other task, and what a person closed stays so.

    late: gets the parent that is to be spread from, instead of that being done here.
    """
    standing = standings.standing_of(conn, task_id)
    if standing.type != TaskType.EPIC or standing.state is not TaskState.DONE:
        return
    before = tasks.row_by_id(conn, task_id).task
    if before.done_by != "children":
        return
    controls.reopen(conn, task_id)
    told = {"reason": reason, **moved(conn, before)}
    conn.emit("task.opened", project_id=standing.project_id, task_id=task_id, actor=actor, data=told)
    parent_id = dependencies.parent_of(conn, task_id)
    if parent_id is not None and _count_child(conn, parent_id, TaskState.DONE, TaskState.OPEN, actor=actor, late=late):
        if late is None:
            spread(conn, [parent_id], actor=actor)
        else:
            late.append(parent_id)


def count_child_in(conn: Connection, parent_id: str, child: Standing) -> None:
    """A task has got a parent."""
    _count_child(conn, parent_id, None, child.state)


def count_child_out(conn: Connection, parent_id: str, child: Standing) -> None:
    """A task has lost its parent."""
    _count_child(conn, parent_id, child.state, None)


def spread(
    conn: Connection,
    task_ids: list[str],
    *,
    actor: str = "",
    is_thorough: bool = False,
    late: list[str] | None = None,
) -> Spread:
    """Ask anew of every dependency on these tasks whether it is in the way, and of all that changes by it.

    is_thorough: children too are asked one by one, where they may not all have been told the same.
    late: gets the ids of those that are to end by it, and none ends.
    """
    waiting = deque(task_ids)
    freed: dict[str, None] = {}
    ended: list[str] = []
    while waiting:
        task_id = waiting.popleft()
        dependents = dependencies.gated_by(conn, task_id, MANY + 1)
        other = standings.standing_of(conn, task_id)
        if not dependents and not other.children:
            continue
        if late is not None and _is_epic_to_end(conn, other):
            late.append(task_id)
        elif _is_epic_to_end(conn, other):
            waiting.extend(_end(conn, other, "children", actor=actor))
            ended.append(task_id)
            other = standings.standing_of(conn, task_id)
        facts = facts_of(conn, other)
        if len(dependents) > MANY:
            if is_any_to_tell(conn, task_id, facts):
                _put_off(conn, other)
        else:
            _ask_each(conn, task_id, dependents, facts, waiting, freed, ended, actor=actor, late=late)
        if other.children:
            _ask_children(conn, other, facts, waiting, freed, is_thorough=is_thorough)
    return Spread(tuple(freed), tuple(ended))


def _ask_each(
    conn: Connection,
    task_id: str,
    dependents: list[Gated],
    facts: OtherFacts,
    waiting: deque[str],
    freed: dict[str, None],
    ended: list[str],
    *,
    actor: str,
    late: list[str] | None = None,
) -> None:
    for gated in dependents:
        if is_unneeded(gated.kind, facts) and late is not None:
            late.append(gated.task_id)
        elif is_unneeded(gated.kind, facts):
            dependent = standings.standing_of(conn, gated.task_id)
            if dependent.state in NOT_BEGUN:
                waiting.extend(_end(conn, dependent, "unneeded", by=task_id, actor=actor))
                waiting.append(gated.task_id)
                ended.append(gated.task_id)
        _ask_anew(conn, task_id, gated, facts, waiting, freed)


def _ask_children(
    conn: Connection,
    other: Standing,
    facts: OtherFacts,
    waiting: deque[str],
    freed: dict[str, None],
    *,
    is_thorough: bool,
) -> None:
    """All children of a task look at the same of it, so one tells whether anything changes for them."""
    is_under_way = spreading.is_under_way(conn, other.id)
    is_open = is_in_the_way(DependencyKind.PARENT_CHILD, "", facts)
    if not (is_thorough or is_under_way) and dependencies.are_children_held(conn, other.id) == is_open:
        return
    if is_under_way or other.children > MANY:
        return _put_off(conn, other)
    for child_id in dependencies.children_of(conn, other.id):
        gated = Gated(child_id, DependencyKind.PARENT_CHILD, "", not is_open)
        _ask_anew(conn, other.id, gated, facts, waiting, freed)


def _put_off(conn: Connection, other: Standing) -> None:
    """Have all that depend on a task asked anew in pieces of their own: at once it would take seconds.

    Who is told late that something is no longer in the way is only given out later. Who is told late that something
    is in the way could be given out before, so the claim asks for the row that it picks (`tell_late`).
    """
    if not spreading.is_under_way(conn, other.id):
        conn.emit("task.spreading", project_id=other.project_id, task_id=other.id)
    spreading.begin(conn, other.id)


def spread_further(conn: Connection) -> bool:
    """Ask the next dependents of a task whose spread was put off; False when no spread is under way any more."""
    row = spreading.first(conn)
    if row is None:
        return False
    other = standings.standing_of(conn, row.blocker_id)
    facts = facts_of(conn, other)
    waiting: deque[str] = deque()
    for kind in sorted(GATING_KINDS):
        if kind < row.kind:
            continue
        page = spreading.page_of(conn, other.id, kind, row.task_id if kind == row.kind else "", PIECE)
        if page:
            # Before what follows, which may begin the same spread anew.
            spreading.advance(conn, other.id, kind, page[-1].task_id)
            _ask_each(conn, other.id, page, facts, waiting, {}, [], actor="")
            break
    else:
        spreading.end(conn, other.id)
        if _is_epic_to_end(conn, other):
            waiting.append(other.id)
    spread(conn, list(waiting))
    return spreading.first(conn) is not None


def tell_late(conn: Connection, task_id: str) -> bool:
    """Whether a task that seems ready is not, by a spread that is under way; one thing of it is told then."""
    if give_up_unneeded(conn, task_id).ended:
        return True
    late = find_late(conn, task_id)
    if late is None:
        return False
    facts = facts_of(conn, standings.standing_of(conn, late.gate.blocker_id))
    waiting: deque[str] = deque()
    gated = Gated(late.task_id, late.gate.kind, late.gate.mode, False)
    _ask_anew(conn, late.gate.blocker_id, gated, facts, waiting, {})
    spread(conn, list(waiting))
    return True


def _ask_anew(
    conn: Connection, task_id: str, gated: Gated, facts: OtherFacts, waiting: deque[str], freed: dict[str, None]
) -> None:
    is_open = is_in_the_way(gated.kind, gated.mode, facts)
    if is_open == gated.is_open or not dependencies.set_open(conn, gated.task_id, task_id, gated.kind, is_open=is_open):
        return
    standings.shift_blockers(conn, gated.task_id, 1 if is_open else -1)
    dependent = standings.standing_of(conn, gated.task_id)
    if dependent.state is TaskState.OPEN and dependent.open_blockers == 0:
        freed[gated.task_id] = None
        conn.emit("task.unblocked", project_id=dependent.project_id, task_id=gated.task_id, data={"by": task_id})
    elif is_open and dependent.state is TaskState.OPEN and dependent.open_blockers == 1:
        freed.pop(gated.task_id, None)
        conn.emit("task.blocked", project_id=dependent.project_id, task_id=gated.task_id, data={"by": task_id})
    if dependent.children:
        waiting.append(gated.task_id)


def _is_epic_to_end(conn: Connection, other: Standing) -> bool:
    if other.type != TaskType.EPIC or other.state is not TaskState.OPEN:
        return False
    facts = facts_of(conn, other)
    if not is_epic_over(facts) or facts.is_held_up:
        return False
    row = spreading.first(conn)
    if row is None or row.kind == spreading.LAST or find_late(conn, other.id) is None:
        return True
    # It is held up and has not been told. Looked at again when all have been: what it waits for may be over by then.
    spreading.look_last(conn, other.id)
    return False


def _end(conn: Connection, standing: Standing, done_by: str, *, by: str = "", actor: str) -> list[str]:
    """Move a task that nobody worked on to `done`; the ids whose dependents are to be asked besides its own."""
    before = tasks.row_by_id(conn, standing.id).task
    if standing.state is TaskState.DRAFT:
        tasks.move_task(conn, standing.id, TaskState.DRAFT, TaskState.OPEN)
    old = TaskState.OPEN if standing.state is TaskState.DRAFT else standing.state
    tasks.finish_task(conn, standing.id, old=old, done_by=done_by)
    withdraw_open(conn, standing)
    conn.emit(
        "task.done",
        project_id=standing.project_id,
        task_id=standing.id,
        actor=actor,
        data={"done_by": done_by, "commit": "", "by": by, **moved(conn, before)},
    )
    parent_id = dependencies.parent_of(conn, standing.id)
    if parent_id is not None and _count_child(conn, parent_id, standing.state, TaskState.DONE):
        return [parent_id]
    return []


def complete_task(
    conn: Connection,
    task_id: str,
    *,
    project_id: str,
    old: TaskState,
    done_by: str,
    landed_commit: str = "",
    actor: str = "",
) -> list[str]:
    """Move a task to `done`, take back its questions and free what waits for it; the ids that became ready."""
    ties = standings.ties_of(conn, task_id)
    if ties.has_blockers:
        withdraw_open(conn, standings.standing_of(conn, task_id))
    tasks.finish_task(conn, task_id, old=old, done_by=done_by, landed_commit=landed_commit)
    conn.emit(
        "task.done",
        project_id=project_id,
        task_id=task_id,
        actor=actor,
        data={"done_by": done_by, "commit": landed_commit},
    )
    return list(_count_move(conn, task_id, ties, old, TaskState.DONE, actor=actor).freed)
