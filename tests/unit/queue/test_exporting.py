"""A file goes in, comes out, and goes in elsewhere to the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ringmaster.model.beads import VOLATILE, translate_beads
from ringmaster.model.dependency import DependencyKind
from ringmaster.model.importing_lines import translate_lines
from ringmaster.model.project import ProjectConfig
from ringmaster.model.states import TaskState
from ringmaster.model.task import Limits, TaskType
from ringmaster.protocol.importing import TaskImported, TaskImportParams
from ringmaster.protocol.task import DependencyWish, TaskEditParams
from ringmaster.queue import comments, control, dependents, intake, registry
from ringmaster.queue.blockers import complete_task
from ringmaster.queue.exporting import iter_exported
from ringmaster.queue.importing import plan_import, store_import
from ringmaster.store.connection import Connection, configure_writer
from ringmaster.store.migrate import load_migrations, migrate
from ringmaster.store.queries import find_sql_dir
from tests.fakes.beads import DEPENDENCY_TYPES, as_lines, make_bead, make_dependency
from tests.unit.queue.making import Queue, check_invariants, open_queue

NOW = 1_800_000_000.0
TRANSLATE = {"beads": translate_beads, "jsonl": translate_lines}
STORED = """
SELECT id, project_id, title, description, priority, labels, acceptance, capabilities, agent, model, limits,
       max_attempts, is_diff_needed, state, open_blockers, not_before_at, type, deadline_at, held_at, created_at,
       last_child, children, open_children, done_children
FROM tasks ORDER BY id
"""
WAITS = "SELECT task_id, blocker_id, kind, mode, is_open FROM dependencies ORDER BY 1, 2, 3"
SAID = "SELECT task_id, author, text, at FROM comments ORDER BY task_id, id"


def take(conn: Connection, kind: str, data: bytes) -> TaskImported:
    found = TRANSLATE[kind](data, conn.now)
    asked = TaskImportParams(kind=kind, path="/x", is_dropping_circles=True)  # type: ignore[arg-type]
    plan = plan_import(conn, found, (), asked)
    return store_import(conn, plan, actor="test", max_attempts=3, rng=random.Random(1))


def give(conn: Connection, kind: str) -> bytes:
    return b"".join(one.line + b"\n" for one in iter_exported(conn, kind, "", max_attempts=3))


def everything(conn: Connection) -> Any:
    # What became done by coming here, as an epic whose parts are all done, goes out as done.
    kept = [
        (id, source, without(msgspec.json.decode(fields), SHIFTING | (CLOSING if state == "done" else set())))
        for id, source, fields, state in conn.rows(KEPT)
    ]
    return conn.rows(STORED), conn.rows(WAITS), conn.rows(SAID), kept


KEPT = "SELECT i.task_id, i.source, i.fields, t.state FROM imported AS i JOIN tasks AS t ON t.id = i.task_id ORDER BY 1"
SHIFTING = VOLATILE | {"ringmaster_was"}
CLOSING = {"status", "closed_at", "close_reason"}


def without(fields: dict[str, Any], names: set[str] | frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def add_project(conn: Connection) -> None:
    registry.add_project(
        conn, name="toy", path="/toy", common_dir="/toy/.git", target="main", config=ProjectConfig(), actor="test"
    )


@pytest.fixture(scope="module")
def database() -> Iterator[apsw.Connection]:
    """One for all: to make its tables takes as long as all that an example does."""
    db = apsw.Connection(":memory:")
    configure_writer(db)
    migrate(db, load_migrations(find_sql_dir()))
    yield db
    db.close()


@contextmanager
def open_scratch(db: apsw.Connection) -> Iterator[Connection]:
    """A transaction on a database with one project, of which nothing stays."""
    db.execute("BEGIN IMMEDIATE")
    conn = Connection(db, NOW)
    add_project(conn)
    yield conn
    db.execute("ROLLBACK")


def through(db: apsw.Connection, data: bytes, kind: str, via: str) -> tuple[Any, Any, bytes]:
    """What a file makes here, what its export makes elsewhere, and the export."""
    with open_scratch(db) as conn:
        take(conn, kind, data)
        check_invariants(conn)
        here = everything(conn)
        text = give(conn, via)
        for known, how in ((data, kind), (text, via)):
            again = take(conn, how, known)
            assert (again.new, again.changed_there) == (0, 0), again.notes
            assert everything(conn) == here
    with open_scratch(db) as conn:
        take(conn, via, text)
        check_invariants(conn)
        return here, everything(conn), text


IDS = st.sampled_from([f"bd-{n}" for n in range(7)] + ["bd-1.1", "bd-1.2", "my-app-a3f2", "UP-7"])
WORDS = st.sampled_from(["", "plain", "## Design\n\nin it", "ends\n\n", " \n", "ünï\tcode ✓", "a\n\n## Notes\n\nb"])
TIMES = st.sampled_from(["2025-11-29T00:35:52.359237464-07:00", "2027-03-01T00:00:00Z", "2026-01-02", "never"])
STATUSES = st.sampled_from(
    ["open", "in_progress", "blocked", "deferred", "closed", "pinned", "hooked", "odd", "tombstone"]
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "title": st.sampled_from(["One", "  two  spaces ", "x" * 600, ""]),
    "description": WORDS,
    "design": WORDS,
    "notes": WORDS | st.none(),
    "acceptance_criteria": st.sampled_from(["- a\n- b", "a", "", None, "1. x\n\n## y"]),
    "status": STATUSES,
    "priority": st.sampled_from([0, 1, 2, 3, 4, 9, None, "P1"]),
    "issue_type": st.sampled_from(["task", "bug", "epic", "epic", "spike", "message", "story", ""]),
    "labels": st.lists(st.sampled_from(["a", "b", " c ", ""]), max_size=3) | st.none(),
    "assignee": st.sampled_from(["ann", None]),
    "estimated_minutes": st.integers(0, 900),
    "external_ref": st.sampled_from(["gh-9", None]),
    "defer_until": TIMES | st.none(),
    "due_at": TIMES | st.none(),
    "close_reason": st.sampled_from(["Done", "wontfix", ""]),
    "ephemeral": st.booleans(),
    "is_template": st.sampled_from([0, 1, False]),
    "pinned": st.booleans(),
    "unheard_of": st.recursive(st.none() | st.integers(-5, 5) | st.text(max_size=3), st.lists, max_leaves=3),
    "comments": st.lists(
        st.fixed_dictionaries({"id": st.integers(1, 9), "author": st.just("ann"), "text": WORDS, "created_at": TIMES}),
        max_size=2,
    ),
    "parent": IDS,
}
DEPENDENCIES = st.lists(
    st.tuples(IDS, st.sampled_from([*DEPENDENCY_TYPES, "blocks", "blocks", "parent-child", "team-ref"]), st.booleans()),
    max_size=4,
)


@st.composite
def bead_files(draw: st.DrawFn) -> bytes:
    records = []
    for id in draw(st.lists(IDS, min_size=1, max_size=8, unique=True)):
        record = {**make_bead(id), **draw(st.fixed_dictionaries({}, optional=FIELDS))}
        depends = draw(DEPENDENCIES)
        if depends:
            gate = '{"gate":"any-children"}'
            record["dependencies"] = [
                make_dependency(id, other, type, gate if is_any else "{}") for other, type, is_any in depends
            ]
        records.append(record)
    return as_lines(*records)


# A failing file is small enough to be read, and to make it smaller takes minutes.
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(bead_files(), st.sampled_from(["beads", "jsonl"]))
def test_what_came_from_beads_goes_out_and_in_again_to_the_same(database: apsw.Connection, data: bytes, via: str):
    here, elsewhere, _ = through(database, data, "beads", via)
    assert here == elsewhere


def test_every_field_of_a_record_comes_out_as_it_came_in(database: apsw.Connection):
    records = [
        make_bead(
            "bd-1", description="Why.", design="How.", owner="ann", metadata={"x": [1, None]}, status="in_progress"
        ),
        make_bead("bd-1.1", ("bd-1", "parent-child"), ("bd-gone", "blocks"), close_reason="Done", status="closed"),
        make_bead("bd-2", ("bd-1", "tracks"), status="pinned", sender="bob", labels=["a", "b"], priority=0),
    ]
    _, _, text = through(database, as_lines(*records), "beads", "beads")
    assert [msgspec.json.decode(line) for line in text.splitlines()] == records


@pytest.mark.parametrize("via", ["beads", "jsonl"])
def test_a_circle_that_was_given_up_is_none_where_the_file_comes_in(database: apsw.Connection, via: str):
    records = [make_bead(f"bd-{n}", (f"bd-{(n + 1) % 3}", "blocks")) for n in range(3)]
    _, _, text = through(database, as_lines(*records), "beads", via)
    with open_scratch(database) as conn:
        found = TRANSLATE[via](text, conn.now)
        # Nobody says that circles may be dropped.
        plan = plan_import(conn, found, (), TaskImportParams(kind=via, path="/x"))  # type: ignore[arg-type]
        assert (plan.told.new, plan.told.dependencies, plan.told.notes) == (3, 3, ())
    if via == "beads":
        lines = [msgspec.json.decode(line) for line in text.splitlines()]
        assert [{**line, "ringmaster": None} for line in lines] == [{**line, "ringmaster": None} for line in records]


NOT_BEFORE = 5000.5
"""What a cancelled task would wait for, were it open again."""


async def make_work(queue: Queue) -> None:
    """A task of each sort that is made here."""
    epic = await queue.add_task("All of it", type=TaskType.EPIC, labels=("a",))
    child = await queue.add_task("A part", parent_id=epic, priority=0, acceptance=("it adds up", "it is fast"))
    other = await queue.add_task("Another", after=(child,), capabilities=("gpu",), agent="codex", model="big")
    await queue.add_task("Later", not_before_at=5000.5, deadline_at=9000.0, limits=Limits(turns=3, budget_usd=0.5))
    await queue.add_task("Not now", is_held=True, is_diff_needed=False, max_attempts=7)
    await queue.add_task("Not yet", is_draft=True, description="One.\n\n## Notes\n\nTwo.")
    wish = DependencyWish(id=epic, kind=DependencyKind.WAITS_FOR, mode="any")
    await queue.add_task("Then", depends=(wish, DependencyWish(id=other, kind=DependencyKind.DISCOVERED_FROM)))
    given_up = await queue.add_task("Given up", not_before_at=NOT_BEFORE)
    await queue.do(control.cancel_task, given_up, actor="test")
    done = await queue.add_task("Done")
    await queue.do(
        complete_task, done, project_id="toy", old=TaskState.OPEN, done_by="person", landed_commit="", actor="test"
    )
    await queue.do(comments.add_comment, other, "Mind the gap.", actor="operator")


@pytest.mark.parametrize("via", ["beads", "jsonl"])
async def test_what_was_made_here_is_the_same_elsewhere(via: str):
    async with open_queue() as queue, open_queue() as elsewhere:
        await make_work(queue)
        rows, waits, said, _ = await queue.store.read(everything)
        text = await queue.store.read(give, via)
        await elsewhere.do(take, via, text)
        assert (await elsewhere.store.read(everything))[:3] == (rows, waits, said)
        # And there it is known, here too.
        for where in (queue, elsewhere):
            again = await where.do(take, via, text)
            assert (again.new, again.changed_there, again.notes) == (0, 0, ())
        assert {row[13] for row in rows} == {"open", "draft", "cancelled", "done"}


BEADS = (
    make_bead("bd-1", description="Why.", design="How.", issue_type="epic"),
    make_bead("bd-1.1", ("bd-1", "parent-child"), ("bd-2", "blocks"), owner="ann"),
    make_bead("bd-2", status="pinned"),
    make_bead("bd-3", ("bd-2", "tracks"), ("bd-1", "related")),
)


async def test_what_was_changed_here_stays_and_goes_out():
    async with open_queue() as queue, open_queue() as elsewhere:
        await queue.do(take, "beads", as_lines(*BEADS))
        await queue.do(intake.edit_task, TaskEditParams(id="bd-1", title="Mine", description="New."), actor="test")
        await queue.do(dependents.remove_dependency, "bd-1.1", "bd-2", "blocks")
        await queue.do(dependents.add_dependency, "bd-1.1", "bd-3", "blocks")
        await queue.do(comments.add_comment, "bd-3", "Seen.", actor="operator")
        await queue.do(complete_task, "bd-3", project_id="toy", old=TaskState.OPEN, done_by="person")
        before = await queue.store.read(everything)
        events = len(await queue.events())
        told = await queue.do(take, "beads", as_lines(*BEADS))
        assert (told.new, told.there_already, told.notes) == (0, 4, ())
        assert await queue.store.read(everything) == before
        assert len(await queue.events()) == events
        text = await queue.store.read(give, "beads")
        await elsewhere.do(take, "beads", text)
        after = await elsewhere.store.read(everything)
        assert after[:3] == before[:3]
        lines = {record["id"]: record for record in map(msgspec.json.decode, text.splitlines())}
        assert (lines["bd-1"]["title"], lines["bd-1"]["description"], "design" in lines["bd-1"]) == (
            "Mine",
            "New.",
            False,
        )
        assert (lines["bd-1.1"]["owner"], lines["bd-3"]["status"], lines["bd-2"]) == ("ann", "closed", BEADS[2])
        assert [entry["depends_on_id"] for entry in lines["bd-1.1"]["dependencies"]] == ["bd-1", "bd-3"]


async def test_what_has_changed_there_is_named_and_not_taken():
    async with open_queue() as queue:
        await queue.do(take, "beads", as_lines(*BEADS))
        before = await queue.store.read(everything)
        newer = (
            {**BEADS[0], "title": "Theirs", "updated_at": "2026-01-01T00:00:00Z", "status": "closed"},
            {**BEADS[1], "owner": "bob", "dependency_count": 9},
            {**BEADS[2], "dependency_count": 9},
            make_bead("bd-3", ("bd-2", "blocks"), ("bd-2", "tracks"), ("bd-1", "related")),
            make_bead("bd-4", ("bd-2", "blocks")),
        )
        told = await queue.do(take, "beads", as_lines(*newer))
        assert (told.new, told.there_already, told.changed_there) == (1, 4, 3)
        assert told.notes == (
            "not taken: bd-1 has changed there since it was taken (title, state not as here)",
            "not taken: bd-1.1 has changed there since it was taken (owner not as here)",
            "not taken: bd-3 has changed there since it was taken (dependencies not as here)",
        )
        rows = [row for row in (await queue.store.read(everything))[0] if row[0] != "bd-4"]
        assert rows == before[0]
        assert (await queue.task("bd-4")).open_blockers == 1


async def test_what_comes_later_finds_its_place_among_what_is_there():
    async with open_queue() as queue:
        await queue.do(take, "beads", as_lines(*BEADS[:1], make_bead("bd-5", status="closed")))
        later = (
            make_bead("bd-1.1", ("bd-1", "parent-child"), status="closed"),
            make_bead("bd-1.2", ("bd-1", "parent-child"), ("bd-5", "blocks")),
            make_bead("bd-6", ("bd-5", "conditional-blocks"), ("bd-1", "waits-for")),
        )
        told = await queue.do(take, "beads", as_lines(*later))
        assert told.notes == ("kept as related: bd-6 is for the failure of bd-5, which is done",)
        epic = await queue.task("bd-1")
        assert (epic.children, epic.open_children, epic.done_children, str(epic.state)) == (2, 1, 1, "open")
        await queue.do(complete_task, "bd-1.2", project_id="toy", old=TaskState.OPEN, done_by="person")
        assert ((await queue.task("bd-1")).done_by, (await queue.task("bd-6")).open_blockers) == ("children", 0)


async def test_a_circle_through_what_is_there_is_found():
    async with open_queue() as queue:
        first = (make_bead("bd-1", issue_type="epic"), make_bead("bd-2", ("bd-1", "blocks")))
        await queue.do(take, "beads", as_lines(*first))
        told = await queue.do(
            take, "beads", as_lines(make_bead("bd-1.1", ("bd-1", "parent-child"), ("bd-2", "blocks")))
        )
        assert told.notes == ("left out: bd-1.1 waits for bd-2, which closes bd-1.1 -> bd-2 -> bd-1 -> bd-1.1",)


async def test_an_epic_whose_parts_are_all_done_is_done_and_a_fallback_nobody_needs_too():
    async with open_queue() as queue:
        records = (
            make_bead("bd-1", issue_type="epic"),
            make_bead("bd-1.1", ("bd-1", "parent-child"), status="closed"),
            make_bead("bd-2", ("bd-1", "blocks")),
            make_bead("bd-3", ("bd-1.1", "conditional-blocks")),
        )
        await queue.do(take, "beads", as_lines(*records))
        assert [(await queue.task(id)).done_by for id in ("bd-1", "bd-1.1", "bd-3")] == [
            "children",
            "import",
            "unneeded",
        ]
        assert (await queue.task("bd-2")).open_blockers == 0


async def test_an_id_that_an_attempt_of_another_would_have_is_left_out():
    async with open_queue() as queue:
        await queue.do(take, "beads", as_lines(make_bead("my-app")))
        told = await queue.do(take, "beads", as_lines(make_bead("my-app-2"), make_bead("bd-2"), make_bead("UP-7")))
        assert (told.new, told.notes) == (2, ("left out: my-app-2 is what attempts of my-app are called",))
