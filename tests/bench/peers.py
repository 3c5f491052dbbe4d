"""Enqueue and claim + report of other queues on SQLite, as a program for the environment that `bin/setup-bench` makes.

    python peers.py {huey|litequeue|persist-queue} DIRECTORY WAITING SECONDS

Puts WAITING items into a new queue in bulk, by its own tables, then enqueues for so many seconds, and takes items and
calls them done for as many, from one thread, by the queue's own functions. Prints two numbers: enqueues and pairs a
second.

They are as durable as they can be told to be: huey with fsync, persist-queue by SQLite's defaults. litequeue sets
`synchronous = NORMAL`, so it may lose its last commits in a power cut. None of them has dependencies, leases or events.
"""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Step = Callable[[], Any]
BODY = "x" * 200


def make_huey(place: Path, waiting: int) -> tuple[Step, Step]:
    from huey.storage import SqliteStorage  # type: ignore[import-not-found]  # of .bench alone

    queue = SqliteStorage(filename=str(place / "huey.db"), fsync=True)
    data = BODY.encode()
    with queue.db(commit=True) as cursor:
        rows = (("huey", data, 0.0) for _ in range(waiting))
        cursor.executemany("insert into task (queue, data, priority) values (?, ?, ?)", rows)

    def take() -> None:
        assert queue.dequeue() is not None
        # What a worker of huey does at the end of a task: its result is kept.
        queue.put_data("done", data)

    return (lambda: queue.enqueue(data, 1.0)), take


def make_litequeue(place: Path, waiting: int) -> tuple[Step, Step]:
    from litequeue import LiteQueue  # type: ignore[import-not-found]  # of .bench alone

    queue = LiteQueue(str(place / "litequeue.db"))
    with queue.transaction():
        rows = ((BODY, f"{number:032x}", 0, number) for number in range(waiting))
        queue.conn.executemany(
            f"INSERT INTO {queue.table} (data, message_id, status, in_time) VALUES (?, ?, ?, ?)", rows
        )

    def take() -> None:
        queue.done(queue.pop().message_id)

    return (lambda: queue.put(BODY)), take


def make_persist_queue(place: Path, waiting: int) -> tuple[Step, Step]:
    from persistqueue import SQLiteAckQueue  # type: ignore[import-not-found]  # of .bench alone

    SQLiteAckQueue(str(place)).close()
    queue = SQLiteAckQueue(str(place))
    data = pickle.dumps(BODY)
    with queue._putter as connection:
        rows = ((data, 1.0, 0) for _ in range(waiting))
        connection.executemany("INSERT INTO ack_queue_default (data, timestamp, status) VALUES (?, ?, ?)", rows)
    queue.total = waiting

    def take() -> None:
        queue.ack(queue.get(block=False))

    return (lambda: queue.put(BODY)), take


PEERS = {"huey": make_huey, "litequeue": make_litequeue, "persist-queue": make_persist_queue}


def rate(step: Step, seconds: float) -> float:
    """Calls a second."""
    began = time.perf_counter()
    count = 0
    while (passed := time.perf_counter() - began) < seconds:
        step()
        count += 1
    return count / passed


def main() -> None:
    name, place, waiting, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    enqueue, take = PEERS[name](place, waiting)
    print(f"{rate(enqueue, seconds):.1f} {rate(take, seconds):.1f}")


if __name__ == "__main__":
    main()
