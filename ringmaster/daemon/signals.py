"""Signals as requests to the loop: none of them interrupts anything by itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import trio


async def run_signals(
    request_stop: Callable[[str], None],
    request_reload: Callable[[], None],
    note_stop: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Turn TERM and INT into a drain; a second one ends the wait for clients. HUP has the settings read again.

    note_stop: called at once, in the handler, for a stop: a loop that stands still never hears of it.
    Runs until cancelled.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        # The receiver puts back what was there before, at its end.
        for stop in (signal.SIGTERM, signal.SIGINT):
            signal.signal(stop, _noting(note_stop, signal.getsignal(stop)))
        task_status.started()
        async for number in received:
            if number == signal.SIGHUP:
                request_reload()
            else:
                request_stop("drain")


def _noting(note: Callable[[], None], receive: Any) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        note()
        receive(number, frame)

    return handle
