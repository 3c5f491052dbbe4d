"""Every named query's plan: what grows without bound is found by an index and never looked through."""

from __future__ import annotations

import functools
import re

import apsw
import pytest

from ringmaster.store import (
    accounts,
    attempts,
    budgets,
    comments,
    controls,
    cursors,
    decisions,
    dependencies,
    events,
    generations,
    idempotency,
    imported,
    instance,
    labels,
    leases,
    order,
    pauses,
    projects,
    receipts,
    recounts,
    spawn_failures,
    spending,
    spreading,
    stats,
    tasks,
    versions,
    workers,
)
from ringmaster.store.queries import Queries, find_sql_dir
from tests.fakes.empty_store import connect_empty

ENTITIES: dict[str, Queries] = {
    module.__name__.rpartition(".")[2]: module.queries
    for module in (
        accounts,
        attempts,
        budgets,
        comments,
        controls,
        cursors,
        decisions,
        dependencies,
        events,
        generations,
        idempotency,
        imported,
        instance,
        labels,
        leases,
        order,
        pauses,
        projects,
        receipts,
        recounts,
        spawn_failures,
        spending,
        spreading,
        stats,
        tasks,
        versions,
        workers,
    )
}
QUERIES = [(entity, name) for entity, queries in sorted(ENTITIES.items()) for name in queries]
# Tables of a handful of rows, and `j`, a list that the caller gives, may be looked through; the others grow with use.
HANDFUL = (
    "projects",
    "demands",
    "workers",
    "accounts",
    "budgets",
    "reserved",
    "limited_labels",
    "spreading",
    "meta",
    "CONSTANT",
    "j",
)
SCAN = re.compile(r"SCAN (\w+)(?: (USING .*))?")
ALIASES = {"t": "tasks", "n": "tasks", "a": "attempts", "q": "decisions", "p": "projects"}

# What looks through an index or a table nevertheless, and why that is right.
ALLOWED = {
    "decisions.count_open": "the partial index holds open questions alone",
    "tasks.count_waiting": "the partial index holds open questions alone",
    "tasks.count_by_state": "counts the entries of a covering index, for one screen",
    "tasks.count_ready": "counts the entries of the partial index of what is ready",
    "attempts.live": "the partial index holds live attempts alone, some tens",
    "attempts.count_running": "the partial index holds live attempts alone",
    "labels.running_by_agent": "the partial index holds live attempts alone",
    "labels.running_by_label": "the partial index holds live attempts alone",
    "stats.live": "the partial index holds live attempts alone",
    "spending.running": "the partial index holds live attempts alone",
    "attempts.last_ended": "the last by the index of the end: stops at the first",
    "attempts.newest": "the newest by the index of the start: stops at its limit",
    "decisions.open": "the partial index holds open decisions alone",
    "decisions.all": "for a person who asks for all of them; no index is kept for that",
    "decisions.holding_project": "the partial index holds open decisions alone",
    "decisions.open_of_kind": "the partial index holds open decisions alone",
    "decisions.open_of_project": "the partial index holds open decisions alone",
    "generations.newest": "the newest by number: stops at its limit",
    "generations.last_reload": "from the newest number down to the first that was more than a candidate",
    "generations.bad_of_target": "asked where there is one: from the newest number down to it",
    "generations.unsettled": "the partial index holds candidates and trials alone, a handful",
    "tasks.insert_demand": "SQLite's plan for deferred foreign keys; these are immediate, so it is never run",
}


@functools.cache
def empty() -> apsw.Connection:
    """A plan depends on the schema alone: one database serves all."""
    return connect_empty()


def plan_of(sql: str) -> list[str]:
    return [str(row[3]) for row in empty().execute(f"EXPLAIN QUERY PLAN {sql}", _values(sql))]


def _values(sql: str) -> dict[str, None] | list[None]:
    bare = re.sub(r"--[^\n]*|'[^']*'", "", sql)
    names = re.findall(r":([a-z_]+)", bare)
    return dict.fromkeys(names) if names else [None] * bare.count("?")


def indexes_of(sql: str) -> set[str]:
    return {match[1] for step in plan_of(sql) if (match := re.search(r"INDEX (\w+)", step))}


def scans_of(plan: list[str]) -> list[str]:
    """The steps that look through a table that grows."""
    found = []
    for step in plan:
        match = SCAN.search(step)
        if match is not None and ALIASES.get(match[1], match[1]) not in HANDFUL:
            found.append(step)
    return found


def test_every_query_file_is_looked_at():
    assert {path.stem for path in (find_sql_dir() / "queries").glob("*.sql")} == set(ENTITIES)


@pytest.mark.parametrize(("entity", "name"), QUERIES, ids=lambda part: part)
def test_nothing_that_grows_is_looked_through(entity: str, name: str):
    scans = scans_of(plan_of(ENTITIES[entity][name]))
    assert bool(scans) == (f"{entity}.{name}" in ALLOWED), scans or "not a scan any more: take it off the list"


def test_each_index_serves_a_query_or_holds_something_unique():
    used = {
        name for queries in ENTITIES.values() for sql in map(queries.__getitem__, queries) for name in indexes_of(sql)
    }
    made = empty().execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index'").fetchall()
    assert [name for name, sql in made if sql and not str(sql).startswith("CREATE UNIQUE") and name not in used] == []


def test_the_claim_looks_up_one_task_for_each_demand():
    plan = plan_of(tasks.queries.next_place)
    assert [step for step in plan if "tasks_claim" in step] == ["SEARCH n USING INDEX tasks_claim (demand_id=?)"], plan
    # An order that is not the index's would read every ready task of a demand before the first is known.
    assert not any("TEMP B-TREE" in step for step in plan), plan


def test_who_waits_for_a_person_is_counted_from_the_questions():
    plan = plan_of(tasks.queries.count_waiting)
    # From the tasks it looks at each that is open: 300 ms in a queue of a million, for every look at the status.
    assert [step for step in plan if " q " in step or " t " in step] == [
        "SCAN q USING INDEX decisions_open",
        "SEARCH t USING INDEX sqlite_autoindex_tasks_1 (id=?)",
    ], plan


@pytest.mark.parametrize(
    ("name", "index"),
    [("attempts", "attempts_ended"), ("tasks", "events_task_ended"), ("gates", "receipts_ended")],
)
def test_figures_of_a_span_are_read_from_an_index_alone(name: str, index: str):
    plan = plan_of(stats.queries[name])
    begin = {"attempts": "ended_at", "tasks": "at", "gates": "ended_at"}[name]
    table = {"attempts": "attempts", "tasks": "events", "gates": "receipts"}[name]
    assert plan[0] == f"SEARCH {table} USING COVERING INDEX {index} ({begin}>? AND {begin}<?)", plan


def test_landings_are_timed_from_the_newest_on_without_sorting():
    plan = plan_of(stats.queries.landed_after)
    assert plan[0] == "SEARCH e USING COVERING INDEX events_task_ended (at>? AND at<?)", plan
    assert not any("TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        ("order", "ready_after"),
        ("tasks", "open_after"),
        ("tasks", "of_state_after"),
        ("tasks", "all_after"),
        ("events", "after"),
        ("events", "before"),
        ("events", "after_of_task"),
        ("events", "before_of_task"),
        ("attempts", "newest"),
        ("order", "waits_after"),
        ("order", "children_after"),
        ("order", "termed_after"),
        ("order", "unranked"),
        ("order", "ranked_after"),
        ("order", "ranked_from"),
    ],
)
def test_a_page_is_read_in_the_order_of_its_index(entity: str, name: str):
    plan = plan_of(ENTITIES[entity][name])
    assert not any("TEMP B-TREE" in step for step in plan), plan
