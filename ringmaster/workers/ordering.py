"""Keeping the order of work by the graph: one trio task that starts the program which ranks it, when that is due."""

from __future__ import annotations

import contextlib
import functools
import logging
import math
import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import msgspec
import trio
from trio.abc import ReceiveStream, SendStream

from ringmaster.bus import Lagged, Subscription
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.order import OrderRules
from ringmaster.proc.job import PYTHON
from ringmaster.queue import order_program
from ringmaster.queue.order import (
    Reading,
    has_graph,
    is_in_graph,
    is_ranked_by,
    mend_ranks,
    rank_lone,
    rules_line,
    write_ranks,
)
from ringmaster.store.connection import Connection
from ringmaster.workers.surroundings import Surroundings

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("ringmaster.order")

PROGRAM = Path(order_program.__file__)
LONE_EVENTS = frozenset(
    {
        "task.cancelled",
        "task.created",
        "task.done",
        "task.edited",
        "task.failed",
        "task.opened",
        "task.restored",
    }
)
"""After these the graph is another one if the task has to do with others."""
IDS_AT_ONCE = 500
EDGES_AT_MOST = 1_000_000
LIMIT_S = 300.0
START_DELAY_S = 5.0
"""At the start ranks are as they were left: who has been waiting for the daemon comes first."""
LEAST_PAUSE_S = 0.05
PAUSES_PER_RUN = 4
"""A run is followed by a pause of so many times its length, so it takes a fifth of a processor at most."""
CHUNK = 1 << 18
WORDS = 500
REAP_S = 5.0
NEWLINE = "\n"


class OrderFailed(Exception):
    """The program has not ranked the graph, for the reason in words. The ranks stand as they are."""


async def mend_order(sur: Surroundings) -> None:
    """Give a rank to what older code left without one, and to what has one of a time when the clock was ahead.

    Before anything is given out: a row without a rank would go first, and one ranked too late would wait for long.
    """
    while mended := await sur.store.write_essential(mend_ranks, sur.settings.order.rules):
        log.info("%d tasks had no rank that could be, and have one now", mended)


async def run_ordering(sur: Surroundings) -> None:
    """Rank the graph anew whenever it has changed, until cancelled, which ends the program.

    Never twice at once; what changes during a run or the pause after it is one further run. A run that fails is a line
    in the log, and the next change begins another.
    """
    # What has piled up at the start, when a database was filled meanwhile, is one run.
    with sur.bus.open_subscription(_is_about_order) as events:
        delay_s = START_DELAY_S
        while True:
            await _wait_until_due(sur, events, delay_s)
            delay_s = math.inf
            began = trio.current_time()
            # The graph first: of what it has ranked nothing is left to do. By rules as they were before it.
            lone = functools.partial(rank_lone_tasks, rules=sur.settings.order.rules)
            for step in (rank_graph, lone):
                try:
                    await step(sur)
                except (OrderFailed, OSError) as error:
                    log.error("the order of work stays as it is: %s", error)  # noqa: TRY400 - foreseen, and in words
                    delay_s = LIMIT_S
            await trio.sleep(max(LEAST_PAUSE_S, PAUSES_PER_RUN * (trio.current_time() - began)))


class _Created(msgspec.Struct, frozen=True):
    """What an event says of the dependencies with which a task came."""

    after: tuple[str, ...] = ()
    depends: tuple[msgspec.Raw, ...] = ()
    parent_id: str = ""


_decode_created = msgspec.json.Decoder(_Created).decode


def _is_about_order(event: Event) -> bool:
    if event.type == "task.created":
        # Most come alone, by thousands a second: that is no reason to look at the store.
        created = _decode_created(event.data)
        return bool(created.after or created.depends or created.parent_id)
    if event.type in LONE_EVENTS or event.type == "task.dependencies_changed":
        return True
    if event.type != "settings.reloaded":
        return False
    changed: Sequence[str] = msgspec.json.decode(event.data).get("changed", ())
    return any(name.startswith("order.") for name in changed)


async def _wait_until_due(sur: Surroundings, events: Subscription[Event], limit_s: float) -> None:
    """Until something has happened to a task that has to do with others, for at most `limit_s`."""
    with trio.move_on_after(limit_s):
        while True:
            batch = await events.receive_batch()
            # Who has just lost its last dependency has nothing to do with others any more: what it waited for has.
            if any(isinstance(event, Lagged) or event.type not in LONE_EVENTS for event in batch):
                return
            ids = list(dict.fromkeys(event.task_id for event in batch if isinstance(event, Event)))
            for first in range(0, len(ids), IDS_AT_ONCE):
                if await sur.store.read(is_in_graph, ids[first : first + IDS_AT_ONCE]):
                    return


async def rank_lone_tasks(sur: Surroundings, rules: OrderRules) -> None:
    """Rank what has to do with no other anew, when the patience is another than it was ranked by.

    Page by page, as ranks of the graph are written. Cancellation: what was written stands; the next start goes on.

    Raises:
        OrderFailed: when the disk is full.
    """
    if await sur.store.read(is_ranked_by, rules):
        return
    place: tuple[int, int] | None = (0, 0)
    while place is not None:
        place = await _write(sur, rank_lone, rules, place)


async def _write(
    sur: Surroundings, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    try:
        return await sur.store.write(fn, *args, **kwargs)
    except RingmasterError as error:
        if error.kind is not ErrorKind.DISK_FULL:
            raise
        raise OrderFailed(error.message) from error


async def rank_graph(sur: Surroundings) -> int:
    """Have the graph ranked by the program and write what is new; how many ranks have changed.

    Cancellation kills the program; what was written stands.

    Raises:
        OrderFailed: when the graph is too large, the program dies, says what nobody understands or takes too long, or
            the disk is full.
        OSError: when it cannot be started.
    """
    if not await sur.store.read(has_graph):
        return 0
    process = await trio.lowlevel.open_process(
        [PYTHON, "-I", "-S", os.fspath(PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env={"LANG": "C.UTF-8"},
    )
    try:
        with trio.move_on_after(LIMIT_S):
            return await _converse(sur, process)
        raise OrderFailed(f"its program took more than {LIMIT_S:g} s")
    finally:
        process.kill()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + REAP_S):
            await process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                await trio.aclose_forcefully(stream)


async def _converse(sur: Surroundings, process: trio.Process) -> int:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    # One that is gone says why at its end.
    with contextlib.suppress(trio.BrokenResourceError):
        await _tell_graph(sur, process.stdin)
    await process.stdin.aclose()
    changed = await _write_answer(sur, process.stdout)
    words = (await process.stderr.receive_some(CHUNK)).decode("utf-8", "replace").strip()
    if (code := await process.wait()) != 0:
        how = f"exit status {code}" if code >= 0 else f"signal {-code}"
        raise OrderFailed(f"its program ended with {how}: {words.rpartition(NEWLINE)[2][:WORDS]}")
    return changed


async def _tell_graph(sur: Surroundings, stdin: SendStream) -> None:
    reading = Reading()
    await stdin.send_all(rules_line(sur.settings.order.rules))
    # Look by look, so that others who read wait for one alone.
    while (line := await sur.store.read(reading.look)) is not None:
        if reading.edges > EDGES_AT_MOST:
            raise OrderFailed(f"more than {EDGES_AT_MOST:,} dependencies are open; tasks go by priority and arrival")
        await stdin.send_all(line)


async def _write_answer(sur: Surroundings, stdout: ReceiveStream) -> int:
    changed, pending = 0, b""
    async for chunk in stdout:
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            try:
                changed += await _write(sur, write_ranks, line)
            except msgspec.MsgspecError as error:
                raise OrderFailed(f"its program said what is no ranks: {error}") from error
    return changed
