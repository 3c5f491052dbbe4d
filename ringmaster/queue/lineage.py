"""Which change an undo means, what came of it, and whether its tasks still are as it left them.

A row's version counts every change of it, so being of the version that an event left means that nothing has happened
since: also not there and back. A change that was taken back since has brought the row back to the version before it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.states import LIVE_TASK_STATES
from ringmaster.queue.defaults import ACTOR as DEFAULT
from ringmaster.queue.history import data_of, words_of
from ringmaster.queue.lookup import resolve_task
from ringmaster.store import controls, decisions, events, tasks
from ringmaster.store.connection import Connection

LOOK_BACK = 20_000
PAGE = 200
CONDITIONS = frozenset({"task.cancelled", "task.done", "task.opened", "task.restored"})
"""Events that carry how a task stood before."""
CHANGES = CONDITIONS | {
    "task.edited",
    "task.dependencies_changed",
    "task.held",
    "task.released",
    "task.deferred",
}
LASTING = frozenset(
    {
        "task.created",
        "task.commented",
        "queue.paused",
        "queue.resumed",
        "project.added",
        "project.edited",
        "project.paused",
        "project.resumed",
        "project.removed",
        "budget.changed",
    }
)
"""What else a person does to the queue, and no undo takes back."""


class Change(msgspec.Struct, frozen=True):
    """An event and what it says."""

    event: Event
    data: dict[str, Any]

    @property
    def versions(self) -> tuple[int, int]:
        """Of its task's row, before and after."""
        before, after = self.data["versions"]
        return before, after

    @property
    def is_end_of_epic(self) -> bool:
        """Whether it tells of an epic that its children ended: that follows from what they and the epic wait for."""
        return self.event.type == "task.done" and self.data.get("done_by") == "children"


def cannot(change: Change, why: str, hint: str = "") -> RingmasterError:
    """The one line that refuses."""
    event = change.event
    what = ": ".join(word for word in (event.task_id or event.project_id, words_of(event)) if word)
    return RingmasterError(
        ErrorKind.CONFLICT,
        f"event {event.seq} ({what}) cannot be taken back: {why}; nothing was changed",
        hint or f"rmctl task history {event.task_id or 'ID'}",
    )


def find_change(conn: Connection, target: str) -> Change:
    """The whole change that is meant: of an event's number, of a task's newest, or the newest of all with ''.

    Raises:
        RingmasterError: NOT_FOUND; WRONG_STATE when there is nothing to undo; CONFLICT for what cannot be taken back.
    """
    # No event has a number that SQLite cannot hold.
    if target.isdigit() and len(target) <= 18:
        return _named(conn, int(target))
    task_id = resolve_task(conn, target) if target else ""
    before, floor = conn.next_seq, max(0, conn.next_seq - LOOK_BACK)
    while True:
        if task_id:
            page = events.events_of_task_before(conn, task_id, before, PAGE)
        else:
            page = controls.changes_before(conn, before, after=floor, limit=PAGE)
        for event in page:
            change = Change(event, data_of(event))
            _refuse_final(change)
            if not task_id:
                _refuse_lasting(conn, change)
            if event.type not in CHANGES or "versions" not in change.data or "undoes" in change.data:
                continue
            whole = _whole(conn, change)
            if whole is not None and controls.undone_by(conn, whole.event.seq) is None:
                return whole
        if len(page) < PAGE:
            break
        before = page[-1].seq
    about = f" of {task_id}" if task_id else ""
    raise RingmasterError(
        ErrorKind.WRONG_STATE,
        f"there is no change{about} that could be taken back",
        f"rmctl task history {task_id}" if task_id else "rmctl task history ID, then rmctl undo EVENT",
    )


def _refuse_final(change: Change) -> None:
    """Raise CONFLICT for what a person did that nothing takes back: older changes are not what is meant then."""
    event = change.event
    if event.type == "attempt.cancel_requested":
        raise cannot(change, "work had begun", f"when the attempt has ended: rmctl retry {event.task_id}")
    if event.type == "decision.answered" and change.data.get("effect") not in ("note", "keep"):
        raise cannot(change, "what an answer did stands")


def _refuse_lasting(conn: Connection, change: Change) -> None:
    """The same where nothing is named: what is older than that is not what whoever says just `undo` thinks of."""
    event = change.event
    is_answer = event.type == "decision.answered"
    # Words that go with a cancel or a retry are stored as a question that is asked and answered at once.
    if is_answer and decisions.salvaged_by_id(conn, event.decision_id).created_at == event.at:
        return
    is_by_person = event.actor not in ("", DEFAULT) and not event.actor.startswith("attempt:")
    if is_by_person and (is_answer or event.type in LASTING):
        raise cannot(
            change,
            "it is the newest thing done, and there is no undo of it",
            "an older change by its number: rmctl task history ID, then rmctl undo EVENT",
        )


def _named(conn: Connection, seq: int) -> Change:
    event = controls.event_at(conn, seq)
    if event is None:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no event {seq}", "rmctl task history ID")
    change = Change(event, data_of(event))
    _refuse_final(change)
    if event.type not in CHANGES:
        raise cannot(change, "it is no change that a person made to a task")
    whole = _whole(conn, change)
    if whole is None:
        raise cannot(change, "it came of an answer, or of work that had begun")
    by_seq = controls.undone_by(conn, whole.event.seq)
    if by_seq is not None:
        raise cannot(whole, f"it was, by event {by_seq}", f"to do it again: rmctl undo {by_seq}")
    return whole


def _whole(conn: Connection, change: Change) -> Change | None:
    """The event that ends the change which this one is part of: later, in the same transaction."""
    seq, at = change.event.seq, change.event.at
    if "since" in change.data:
        return change
    while True:
        page = events.events_after(conn, seq, PAGE)
        for event in page:
            if event.at != at:
                return None
            data = data_of(event)
            if event.type in CHANGES and data.get("since", event.seq + 1) <= change.event.seq:
                return Change(event, data)
        if len(page) < PAGE:
            return None
        seq = page[-1].seq


def members_of(conn: Connection, whole: Change) -> list[Change]:
    """All that came of a change and must come back with it, in order, itself last.

    Raises:
        RingmasterError: CONFLICT when an attempt was ended with it.
    """
    found: list[Change] = []
    seq = int(whole.data["since"]) - 1
    while seq < whole.event.seq:
        page = [event for event in events.events_after(conn, seq, PAGE) if event.seq <= whole.event.seq]
        for event in page:
            data = data_of(event)
            if event.type.startswith("attempt."):
                raise cannot(whole, f"the attempt {event.attempt_id} was ended with it")
            is_change = event.type in CHANGES and "versions" in data
            if is_change or event.type in ("decision.withdrawn", "decision.reopened"):
                found.append(Change(event, data))
        seq = page[-1].seq
    return found


def refuse_changed(conn: Connection, whole: Change, member: Change) -> None:
    """Raises CONFLICT unless a task is as an event of it left it."""
    task_id, wanted = member.event.task_id, member.versions[1]
    version = controls.version_of(conn, task_id)
    before = conn.next_seq
    while version != wanted:
        page = events.events_of_task_before(conn, task_id, before, PAGE)
        for event in page:
            data = data_of(event)
            if event.seq <= member.event.seq:
                break
            if "versions" not in data or data["versions"][1] != version:
                continue
            if "back_to" not in data:
                raise cannot(
                    whole, _what_changed(conn, task_id, event), f"take that back first: rmctl undo {event.seq}"
                )
            version = int(data["back_to"])
            if version == wanted:
                return
        else:
            if len(page) == PAGE:
                before = page[-1].seq
                continue
        raise cannot(whole, _what_changed(conn, task_id, None))


def _what_changed(conn: Connection, task_id: str, event: Event | None) -> str:
    task = tasks.row_by_id(conn, task_id).task
    if task.state in LIVE_TASK_STATES:
        return f"{task_id} is {task.state}: work has begun"
    if task.landed_commit:
        return f"{task_id} has landed as {task.landed_commit[:12]}"
    if event is not None:
        return f"{task_id} has changed since, by event {event.seq} ({words_of(event)})"
    return f"{task_id} has changed since, and is {task.state}"
