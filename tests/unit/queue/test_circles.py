from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import pytest

from ringmaster.model.dependency import DependencyKind
from ringmaster.model.errors import RingmasterError
from ringmaster.model.task import TaskType
from ringmaster.queue import circles
from ringmaster.queue.dependents import add_dependency
from ringmaster.store.connection import Connection
from tests.unit.queue.making import Queue

KINDS = ("blocks", "blocks", "conditional-blocks", "waits-for", "parent-child")
STORE = "INSERT OR IGNORE INTO dependencies (task_id, blocker_id, kind, is_open, created_at) VALUES (?, ?, ?, 1, 1)"


def has_way_back(conn: Connection, start: circles.Point) -> bool:
    """Whether a point needs itself, found from one side alone."""
    seen: set[circles.Point] = set()
    left = [start]
    while left:
        for needed in circles.needs(conn, left.pop()):
            if needed == start:
                return True
            if needed not in seen:
                seen.add(needed)
                left.append(needed)
    return False


def is_way(conn: Connection, names: list[str]) -> bool:
    """Whether each id has a point that needs one of the next."""
    return all(
        any(needed[0] == other for is_end in (False, True) for needed in circles.needs(conn, (id, is_end)))
        for id, other in itertools.pairwise(names)
    )


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_searched_from_both_ends_is_what_one_end_finds(queue: Queue, seed: int):
    rng = random.Random(seed)
    ids = [await queue.add_task(type=TaskType.EPIC if n % 3 == 0 else TaskType.TASK) for n in range(12)]
    points = [(id, is_end) for id in ids for is_end in (False, True)]

    def store(conn: Connection) -> int:
        found = 0
        for _ in range(60):
            task_id, other_id = rng.sample(ids, 2)
            conn.execute(STORE, (task_id, other_id, rng.choice(KINDS)))
            back = {(a, b) for b in points for a in circles.needed_by(conn, b)}
            assert back == {(a, b) for a in points for b in circles.needs(conn, a)}
            for point in points:
                circle = circles.find_circle(conn, point)
                assert (circle is not None) == has_way_back(conn, point)
                if circle is not None:
                    found += 1
                    assert circle[0] == circle[-1] == point[0]
                    assert is_way(conn, circle), circle
        return found

    # Beside the invariants, which know no circles.
    assert await queue.store.write(store)


async def test_who_begins_to_wait_for_a_long_chain_does_not_walk_it(queue: Queue, monkeypatch: pytest.MonkeyPatch):
    last = await queue.add_task()
    first = last
    for _ in range(60):
        last = await queue.add_task(after=(last,))
    alone = await queue.add_task()
    looks = 0

    def count(steps):
        def counting(conn: Connection, point: circles.Point) -> Iterator[circles.Point]:
            nonlocal looks
            looks += 1
            return steps(conn, point)

        return counting

    monkeypatch.setattr(circles, "needs", count(circles.needs))
    monkeypatch.setattr(circles, "needed_by", count(circles.needed_by))
    # At either end of it.
    await queue.do(add_dependency, alone, last)
    await queue.do(add_dependency, first, await queue.add_task())
    assert looks < 20
    with pytest.raises(RingmasterError, match="closes the circle"):
        await queue.do(add_dependency, first, last)


async def test_what_could_be_taken_away_is_named_as_it_is_stored(queue: Queue):
    epic = await queue.add_task(type=TaskType.EPIC)
    child = await queue.add_task(parent_id=epic)
    outside = await queue.add_task(after=(epic,))
    with pytest.raises(RingmasterError) as raised:
        await queue.do(add_dependency, child, outside)
    assert raised.value.hint == f"rmctl task dep {outside} --remove {epic}"
    with pytest.raises(RingmasterError) as raised:
        await queue.do(add_dependency, epic, child)
    assert raised.value.hint == f"rmctl task dep {child} --remove {epic} --kind {DependencyKind.PARENT_CHILD}"
