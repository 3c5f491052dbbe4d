from __future__ import annotations

import random

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.importing_original import translate
from ringmaster.model.project import ProjectConfig
from ringmaster.protocol.importing import TaskImportParams
from ringmaster.queue import importing, registry
from ringmaster.queue.importing import plan_import, store_import
from ringmaster.store.connection import Connection
from ringmaster.store.labels import note_label
from tests.fakes.empty_store import open_empty_store
from tests.fakes.original import make_row

PARAMS = TaskImportParams(kind="ringmaster", path="/old.db")


def add_project(conn: Connection) -> None:
    config = ProjectConfig(gate="true")
    registry.add_project(
        conn, name="shop", path="/shop", common_dir="/shop/.git", target="main", config=config, actor="test"
    )


def take(conn: Connection, rows: list[dict[str, object]], after: list[tuple[str, str]]) -> int:
    plan = plan_import(conn, translate(rows, after, conn.now), (), PARAMS)  # type: ignore[arg-type]
    return store_import(conn, plan, actor="test", max_attempts=3, rng=random.Random(1)).new


@pytest.mark.timeout(20)
async def test_a_long_chain_takes_no_longer_for_each_link():
    count = 6_000
    rows = [make_row(f"bd-{number}") for number in range(count)]
    after = [(f"bd-{number}", f"bd-{number - 1}") for number in range(1, count)]
    async with open_empty_store(clock=lambda: 0.0) as store:
        await store.write(add_project)
        assert await store.write(take, rows, after) == count
        recounted = await store.read(
            lambda conn: conn.value(
                "SELECT count(*) FROM tasks AS t WHERE open_blockers <> "
                "(SELECT count(*) FROM dependencies WHERE task_id = t.id AND is_open)"
            )
        )
        assert recounted == 0


async def test_more_than_one_transaction_can_take_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(importing, "MOST_ROWS", 2)
    async with open_empty_store(clock=lambda: 0.0) as store:
        await store.write(add_project)
        with pytest.raises(RingmasterError) as caught:
            await store.write(take, [make_row("bd-1"), make_row("bd-2")], [("bd-1", "bd-2")])
        assert caught.value.kind is ErrorKind.REFUSED
        assert "--map" in caught.value.hint
        assert await store.write(take, [make_row("bd-1"), make_row("bd-2")], []) == 2


async def test_what_is_brought_with_a_limited_label_asks_for_it_at_once():
    async with open_empty_store(clock=lambda: 0.0) as store:
        await store.write(add_project)
        await store.write(note_label, "epic", None, is_limited=True)
        assert await store.write(take, [make_row("bd-1", type="epic")], []) == 1
        asked = await store.read(
            lambda conn: conn.value("SELECT d.capabilities FROM tasks AS t JOIN demands AS d ON d.id = t.demand_id")
        )
        assert asked == '["label:epic"]'
