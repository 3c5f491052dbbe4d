from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.inline import open_inline_store
from tests.unit.store.schema import add_item, item_names, make_sql_dir


async def test_a_simulated_full_disk_refuses_what_is_not_essential(tmp_path: Path):
    async with open_inline_store(sql_dir=make_sql_dir(tmp_path), clock=lambda: 0.0) as store:
        store.is_degraded = True
        with pytest.raises(RingmasterError) as caught:
            await store.write(add_item, "new")
        assert caught.value.kind is ErrorKind.DISK_FULL
        await store.write_essential(add_item, "outcome")
        assert not await store.probe_disk()
        store.is_degraded = False
        assert await store.probe_disk()
        await store.write(add_item, "later")
        assert await store.read(item_names) == ["later", "outcome"]


async def test_the_shipped_schema_opens_in_memory():
    async with open_inline_store(clock=lambda: 0.0) as store:
        assert await store.read(lambda conn: conn.value("SELECT count(*) FROM events")) == 0
