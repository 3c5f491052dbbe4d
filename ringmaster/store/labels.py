"""Rows of limited labels, and the demands that tasks make because of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries

queries = load_queries("labels")
PREFIX = "label:"
"""What a limited label's capability begins with; no capability that a person names may."""
_decode_list = msgspec.json.Decoder(tuple[str, ...]).decode


class LimitedLabel(msgspec.Struct, frozen=True):
    """A label that demands have, are being given, or are being rid of where it is limited no longer.

    seq: how far that came by place; None once it is over.
    """

    label: str
    seq: int | None
    is_limited: bool


def limited_labels(conn: Connection) -> dict[str, LimitedLabel]:
    """Every label that demands may have, by its name."""
    return {row[0]: LimitedLabel(row[0], row[1], bool(row[2])) for row in conn.rows(queries.limited)}


def note_label(conn: Connection, label: str, seq: int | None, *, is_limited: bool) -> None:
    """Note how far tasks with this label have been given new demands."""
    conn.execute(queries.note, (label, seq, int(is_limited)))


def forget_label(conn: Connection, label: str) -> None:
    """No demand has this label any more."""
    conn.execute(queries.forget, (label,))


def demand_of(conn: Connection, capabilities: Iterable[str], labels: Iterable[str]) -> tuple[str, ...]:
    """What a task asks of a seat: its capabilities, and its labels that are limited."""
    carried = set(labels)
    return wanted_of(capabilities, carried, limited_words(conn) if carried else frozenset())


def limited_words(conn: Connection) -> frozenset[str]:
    """The labels that are limited now."""
    return frozenset(row.label for row in limited_labels(conn).values() if row.is_limited)


def wanted_of(capabilities: Iterable[str], labels: Iterable[str], limited: frozenset[str]) -> tuple[str, ...]:
    """The same where the labels that are limited are known."""
    return tuple(sorted({*capabilities, *(PREFIX + label for label in limited.intersection(labels))}))


def running_by_label(conn: Connection) -> Counter[str]:
    """How many attempts that hold a seat are of a task with each label."""
    return Counter({row[0]: row[1] for row in conn.rows(queries.running_by_label)})


def running_by_agent(conn: Connection) -> Counter[str]:
    """How many attempts of each agent hold a seat."""
    return Counter({row[0]: row[1] for row in conn.rows(queries.running_by_agent)})


class Carrier(msgspec.Struct, frozen=True):
    """A task with labels, and what it asks of a seat."""

    id: str
    project_id: str
    agent: str
    capabilities: tuple[str, ...]
    labels: tuple[str, ...]


def carriers_between(conn: Connection, after_seq: int, to_seq: int) -> list[Carrier]:
    """The tasks with labels in a range of places. A row that cannot be read is left out: no claim takes it."""
    found = []
    for id, project_id, agent, capabilities, labels in conn.rows(queries.carriers, (after_seq, to_seq)):
        try:
            found.append(Carrier(id, project_id, agent, _decode_list(capabilities), _decode_list(labels)))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return found


def last_seq(conn: Connection) -> int:
    """The place of the newest task."""
    return int(conn.value(queries.last_seq))


def set_demand(conn: Connection, task_id: str, demand_id: int) -> None:
    """Put a task below another demand."""
    conn.execute(queries.set_demand, (demand_id, task_id, demand_id))


def demand_of_seq(conn: Connection, seq: int) -> tuple[str, ...]:
    """The capabilities of the demand that the task at a place makes."""
    return _decode_list(conn.value(queries.demand_of_seq, (seq,)))
