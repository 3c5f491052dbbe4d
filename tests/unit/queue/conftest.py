"""A queue in memory for every test here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.queue.making import Queue, open_queue


@pytest.fixture
async def queue() -> AsyncIterator[Queue]:
    async with open_queue() as queue:
        yield queue
