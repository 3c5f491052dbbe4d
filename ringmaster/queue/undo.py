"""Taking back what a person changed: the values before are in the events, and the rows must be as the events left them.

What came of one change comes back together or not at all. Undoing is a change of its own, with events of its own, and
can be undone by naming it. The rules are in docs/queue.md.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ringmaster.model.errors import RingmasterError
from ringmaster.model.order import RULES, OrderRules
from ringmaster.model.states import TaskState
from ringmaster.model.task import Task
from ringmaster.protocol.task_control import TaskUndone
from ringmaster.queue.blockers import count_move, count_moves, reopen_epic, spread
from ringmaster.queue.changes import moved
from ringmaster.queue.closing import MOST
from ringmaster.queue.dependents import swap_dependencies
from ringmaster.queue.history import data_of, words_of
from ringmaster.queue.holding import set_hold, set_not_before, set_release
from ringmaster.queue.intake import write_edit
from ringmaster.queue.lineage import CONDITIONS, Change, cannot, find_change, members_of, refuse_changed
from ringmaster.queue.view import view_of
from ringmaster.store import controls, decisions, standings, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.controls import Condition

FIELDS = typing.get_type_hints(Task)
More = dict[str, Any]


def undo(conn: Connection, target: str, *, actor: str, rules: OrderRules = RULES) -> TaskUndone:
    """Take back a change: the newest, that of an event's number, or the newest of a task.

    rules: of the settings, for the rank that a priority or deadline gives.

    Raises:
        RingmasterError: NOT_FOUND; WRONG_STATE when there is nothing; CONFLICT, in one line, when it cannot be.
    """
    whole = find_change(conn, target)
    members = members_of(conn, whole)
    epics = list(dict.fromkeys(member.event.task_id for member in members if member.is_end_of_epic))
    members = [member for member in members if not member.is_end_of_epic]
    if len({member.event.task_id for member in members}) > MOST + 1:
        raise cannot(whole, f"more than {MOST:,} tasks were changed with it, too many for one change")
    # Of several changes of one task that came of it the last tells for all.
    for member in {member.event.task_id: member for member in members if "versions" in member.data}.values():
        refuse_changed(conn, whole, member)
    undoing = _Undoing(conn, whole, actor, rules)
    undoing.restore([member for member in members if _is_condition(member)])
    # Before what they waited for comes back, which would find them done, and be in the way of nothing.
    for epic in epics:
        reopen_epic(conn, epic, reason="what ended it was taken back", actor=actor)
    for member in reversed(members):
        if not _is_condition(member):
            undoing.take_back(member)
    undoing.tell()
    spread(conn, epics, actor=actor)
    by_seq = undoing.by_seq
    if "undoes" in whole.data:
        controls.note_redone(conn, int(whole.data["undoes"]))
    controls.note_undone(conn, whole.event.seq, by_seq)
    task_id = whole.event.task_id
    others = tuple(dict.fromkeys(m.event.task_id for m in members if m.event.task_id != task_id))
    view = view_of(conn, task_id)
    with_it = f", with {len(others)} more" if others else ""
    note = f"taken back{with_it}: {words_of(whole.event)}; again: rmctl undo {by_seq}"
    return TaskUndone(view=view, seq=whole.event.seq, by_seq=by_seq, note=note, others=others)


def _is_condition(member: Change) -> bool:
    return member.event.type in CONDITIONS or member.event.type.startswith("decision.")


class _Undoing:
    """One undo under way in its transaction. The event of the whole change is told last, for what is before it to count
    as its members."""

    def __init__(self, conn: Connection, whole: Change, actor: str, rules: OrderRules) -> None:
        self.conn = conn
        self.whole = whole
        self.actor = actor
        self.rules = rules
        self.since = conn.next_seq
        self.by_seq = 0
        self._tellings: list[tuple[Change, Callable[[], None]]] = []

    def _more(self, member: Change) -> More:
        """What the event that takes a member back says of that."""
        more: More = {"undoes": member.event.seq, "back_to": member.versions[0]}
        return more | {"since": self.since} if member is self.whole or self._is_whole(member) else more

    def _is_whole(self, member: Change) -> bool:
        return member.event.seq == self.whole.event.seq

    def restore(self, members: list[Change]) -> None:
        """Put tasks back to how they stood, and their questions.

        First every row, then what hangs on them, all together: looked at one by one an epic would end for want of
        children that are about to be opened.
        """
        conn = self.conn
        before: list[tuple[Change, Task]] = []
        for member in members:
            if member.event.type.startswith("decision."):
                self._turn_question(member)
                continue
            task = tasks.row_by_id(conn, member.event.task_id).task
            condition = msgspec.convert(member.data["before"], Condition)
            if not controls.restore(conn, task.id, task.state, task.version, condition):
                raise cannot(self.whole, f"{task.id} is {task.state}, from where no way leads back")
            before.append((member, task))
        moves = [(task.id, task.state, TaskState(member.data["before"]["state"])) for member, task in before]
        count_moves(conn, moves, actor=self.actor)
        for member, task in before:
            self._later(member, task)

    def _later(self, member: Change, task: Task) -> None:
        def tell() -> None:
            state = tasks.row_by_id(self.conn, task.id).task.state
            told = {"state": state, **moved(self.conn, task), **self._more(member)}
            self.conn.emit("task.restored", project_id=task.project_id, task_id=task.id, actor=self.actor, data=told)

        self._tellings.append((member, tell))

    def _turn_question(self, member: Change) -> None:
        """Ask again what was withdrawn with the task, or withdraw it again. What hangs on it follows with its task."""
        conn, event = self.conn, member.event
        is_reopened = event.type == "decision.withdrawn"
        turn = controls.reopen_decision if is_reopened else decisions.withdraw_decision
        if not turn(conn, event.decision_id):
            raise cannot(self.whole, f"decision {event.decision_id} has changed since")
        if event.task_id:
            standings.shift_blockers(conn, event.task_id, 1 if is_reopened else -1)
        conn.emit(
            "decision.reopened" if is_reopened else "decision.withdrawn",
            project_id=event.project_id,
            task_id=event.task_id,
            attempt_id=event.attempt_id,
            decision_id=event.decision_id,
            actor=self.actor,
        )

    def take_back(self, member: Change) -> None:
        """Take back what is no change of how a task stands."""
        task = tasks.row_by_id(self.conn, member.event.task_id).task
        way = {
            "task.edited": self._fields,
            "task.dependencies_changed": self._dependencies,
            "task.held": self._hold,
            "task.released": self._release,
            "task.deferred": self._defer,
        }[member.event.type]
        if self._is_whole(member):
            self._tellings.append((member, lambda: way(task, member)))
        else:
            way(task, member)

    def _fields(self, task: Task, member: Change) -> None:
        before: Mapping[str, Any] = member.data["before"]
        changes = {name: msgspec.convert(value, FIELDS[name]) for name, value in before.items()}
        write_edit(self.conn, task, changes, actor=self.actor, rules=self.rules, more=self._more(member))

    def _dependencies(self, task: Task, member: Change) -> None:
        data = member.data
        adding = [(id, data.get("modes", {}).get(id, "")) for id in data["removed"]]
        try:
            swap_dependencies(
                self.conn, task, data["kind"], data["added"], adding, actor=self.actor, more=self._more(member)
            )
        except RingmasterError as error:
            raise cannot(self.whole, error.message, error.hint) from error

    def _hold(self, task: Task, member: Change) -> None:
        is_draft = member.data.get("state") != TaskState.DRAFT
        set_release(self.conn, task, is_draft=is_draft, actor=self.actor, more=self._more(member))

    def _release(self, task: Task, member: Change) -> None:
        """Hold it again, and make a draft of what was one; one event tells both."""
        conn, more = self.conn, self._more(member)
        if member.data["was_draft"]:
            condition = msgspec.structs.replace(controls.condition_of(task), state=TaskState.DRAFT)
            if not controls.restore(conn, task.id, task.state, task.version, condition):
                raise cannot(self.whole, f"{task.id} is {task.state}, from where no way leads back")
            count_move(conn, task.id, task.state, TaskState.DRAFT, actor=self.actor)
        if member.data["was_held"]:
            state = {"state": TaskState.DRAFT} if member.data["was_draft"] else {}
            set_hold(conn, task, message="", actor=self.actor, more=more | state)
            return
        told = {"state": TaskState.DRAFT, **moved(conn, task), **more}
        conn.emit("task.restored", project_id=task.project_id, task_id=task.id, actor=self.actor, data=told)

    def _defer(self, task: Task, member: Change) -> None:
        if task.not_before_at != member.data["until_at"]:
            raise cannot(self.whole, f"that time has come, and {task.id} was given free")
        before_at = member.data["before"]["not_before_at"]
        set_not_before(self.conn, task, before_at, actor=self.actor, more=self._more(member))

    def tell(self) -> None:
        """Tell of each task that was put back, of the one that the change was about last."""
        for member, tell in sorted(self._tellings, key=lambda one: self._is_whole(one[0])):
            tell()
            if self._is_whole(member):
                told = (event.seq for event in reversed(self.conn.events) if data_of(event).get("since") == self.since)
                self.by_seq = next(told)
