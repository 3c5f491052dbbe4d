"""Signals as requests to the loop: none of them interrupts anything by itself."""

from __future__ import annotations

import signal
from collections.abc import Callable

import trio


async def run_signals(
    request_stop: Callable[[str], None],
    request_reload: Callable[[], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Turn TERM and INT into a drain; a second one ends the wait for clients. HUP has the settings read again.

    Runs until cancelled.
    """
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        task_status.started()
        async for number in received:
            if number == signal.SIGHUP:
                request_reload()
            else:
                request_stop("drain")
