"""What a seat offers, and which task it takes: the look-up of the claim."""

from __future__ import annotations

import msgspec

from ringmaster.model.task import Task
from ringmaster.store.connection import Connection, Value
from ringmaster.store.labels import PREFIX as LABEL_PREFIX
from ringmaster.store.tasks import UNREADABLE, decode_task, queries

_decode_list = msgspec.json.Decoder(tuple[str, ...]).decode


class Damaged(msgspec.Struct, frozen=True):
    """A task's row that cannot be read. detail: what is wrong with it."""

    id: str
    project_id: str
    detail: str


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """What a seat offers. project_id: the only one it takes tasks of, or empty for any.

    full_labels: capabilities of limited labels that no seat offers now; None where there are no such demands.
    shut: projects of which it may take nothing; '' is all of them.
    """

    agent: str
    project_id: str = ""
    capabilities: tuple[str, ...] = ()
    full_labels: frozenset[str] | None = None
    shut: frozenset[str] = frozenset()


def next_place(conn: Connection, seat: Seat) -> int | None:
    """The place of the first task that a seat can work on; None when there is none."""
    if "" in seat.shut:
        return None
    values: dict[str, Value] = {
        "agent": seat.agent,
        "project_id": seat.project_id,
        "met": _met_lists(conn, seat),
        "shut": "".join(f"\n{project_id}\n" for project_id in seat.shut),
    }
    found: int | None = conn.value(queries.next_place, values)
    return found


def task_at(conn: Connection, seq: int) -> Task | None:
    """The task at a place that is known to be taken; None for a row that cannot be read."""
    try:
        return decode_task(conn.rows(queries.by_seq, (seq,))[0])
    except UNREADABLE:
        return None


def take_place(conn: Connection, seq: int) -> Task | Damaged | None:
    """Move the task at a place to `running`; None when it was not ready after all.

    A damaged row is moved too: the caller puts it aside in the same transaction and looks for the next one.
    """
    if not conn.execute(queries.claim, {"seq": seq, "now": conn.now}):
        return None
    row = conn.rows(queries.by_seq, (seq,))[0]
    try:
        return decode_task(row)
    except UNREADABLE as error:
        task, unread = decode_task.salvage(row)
        return Damaged(task.id, task.project_id, f"{', '.join(unread)}: {error}")


def _met_lists(conn: Connection, seat: Seat) -> str:
    """The lists of capabilities that tasks ask for and the seat meets, each on a line of its own."""
    full = seat.full_labels
    if not seat.capabilities and full is None:
        return ""
    asked = {text for (text,) in conn.rows(queries.capability_lists)}
    return "".join(f"\n{text}\n" for text in asked if all(_is_met(word, seat) for word in _decode_list(text)))


def _is_met(word: str, seat: Seat) -> bool:
    if word in seat.capabilities:
        return True
    return word.startswith(LABEL_PREFIX) and seat.full_labels is not None and word not in seat.full_labels
