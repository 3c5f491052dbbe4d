"""What a person changes in a task's row besides its fields, and which changes were taken back."""

from __future__ import annotations

import msgspec

from ringmaster.model.event import Event
from ringmaster.model.states import TASK_MOVES, UNDO_MOVES, TaskState
from ringmaster.model.task import Task
from ringmaster.store.connection import Connection, Value
from ringmaster.store.events import decode_event
from ringmaster.store.queries import load_queries

queries = load_queries("controls")


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How a task stands: what closing, cancelling and opening change in its row, and undoing puts back."""

    state: TaskState
    done_by: str
    landed_commit: str
    counted_attempts: int
    streak: int
    failure: str
    same_failures: int
    not_before_at: float | None


def condition_of(task: Task) -> Condition:
    """How a task stands."""
    return Condition(**{name: getattr(task, name) for name in Condition.__struct_fields__})


def version_of(conn: Connection, task_id: str) -> int:
    """The version of a row that is there."""
    return int(conn.value(queries.version_of, (task_id,)))


def touch(conn: Connection, task_id: str) -> None:
    """Count a change that no column shows."""
    conn.execute(queries.touch, {"id": task_id, "now": conn.now})


def hold(conn: Connection, task_id: str) -> bool:
    """Mark a task as held; False when it is, or has ended. The caller counts it."""
    return conn.execute(queries.hold, {"id": task_id, "now": conn.now}) > 0


def release(conn: Connection, task_id: str) -> bool:
    """Take the mark away; False when there is none. The caller counts it."""
    return conn.execute(queries.release, {"id": task_id, "now": conn.now}) > 0


def defer(conn: Connection, task_id: str, until_at: float | None) -> bool:
    """Set the time before which an open task is not given out; False in any other state."""
    return conn.execute(queries.defer, {"id": task_id, "until_at": until_at, "now": conn.now}) > 0


def reopen(conn: Connection, task_id: str) -> bool:
    """done, failed or cancelled -> open, with no attempts counted; False in any other state."""
    return conn.execute(queries.reopen, {"id": task_id, "now": conn.now}) > 0


def restore(conn: Connection, task_id: str, old: TaskState, version: int, condition: Condition) -> bool:
    """Put a task back to how it stood; False when it is not in `old`, of another version, or that is no way back."""
    if condition.state is not old and condition.state not in TASK_MOVES[old] | UNDO_MOVES[old]:
        return False
    values: dict[str, Value] = {
        **msgspec.structs.asdict(condition),
        "state": str(condition.state),
        "id": task_id,
        "old": str(old),
        "version": version,
        "now": conn.now,
    }
    return conn.execute(queries.restore, values) > 0


def undone_by(conn: Connection, seq: int) -> int | None:
    """The event that took this one back, if one did."""
    found: int | None = conn.value(queries.undone_by, (seq,))
    return found


def note_undone(conn: Connection, seq: int, by_seq: int) -> None:
    """An event is taken back, by another. One that was taken back before breaks the key."""
    conn.execute(queries.insert_undone, (seq, by_seq))


def note_redone(conn: Connection, seq: int) -> None:
    """What had taken this event back was itself taken back."""
    conn.execute(queries.forget_undone, (seq,))


def choose_dependents(conn: Connection, attempt_id: str, choice: str) -> None:
    """Keep with an attempt that is being ended what is to become of who waits for its task."""
    conn.execute(queries.choose_dependents, {"id": attempt_id, "choice": choice})


def chosen_dependents(conn: Connection, attempt_id: str) -> str:
    """What was chosen; '' is to keep them."""
    return str(conn.value(queries.chosen_dependents, (attempt_id,)))


def reopen_decision(conn: Connection, decision_id: str) -> bool:
    """withdrawn -> open; False when it is not withdrawn. The caller counts it."""
    return conn.execute(queries.reopen_decision, {"id": decision_id}) > 0


def changes_before(conn: Connection, seq: int, *, after: int, limit: int) -> list[Event]:
    """Events by which a person may have changed a task, between two places, the newest first."""
    values: dict[str, Value] = {"before": seq, "after": after, "limit": limit}
    return decode_event.all(conn.rows(queries.changes_before, values))


def event_at(conn: Connection, seq: int) -> Event | None:
    """The event of this number."""
    return decode_event.optional(conn.row(queries.event, (seq,)))
