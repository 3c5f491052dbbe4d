"""Signals as requests to the loop: none of them interrupts anything by itself."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

import trio

log = logging.getLogger("ringmaster.signals")


async def run_signals(
    request_stop: Callable[[str], None], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Turn TERM and INT into a drain; a second one ends the wait for clients. HUP is noted. Runs until cancelled."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
        task_status.started()
        async for number in received:
            if number == signal.SIGHUP:
                log.info("SIGHUP: settings are read at the start; restart the daemon to use new ones")
            else:
                request_stop("drain")
