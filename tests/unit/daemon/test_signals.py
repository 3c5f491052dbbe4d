"""What signals ask for, and that a stop is noted also while the loop stands still."""

from __future__ import annotations

import signal
import threading

import pytest
import trio

from ringmaster.daemon.signals import run_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_is_noted_at_once_and_then_received(number: signal.Signals):
    told: list[str] = []
    received = trio.Event()

    def request_stop(mode: str) -> None:
        told.append(mode)
        received.set()

    before = signal.getsignal(number)
    async with trio.open_nursery() as nursery:
        await nursery.start(run_signals, request_stop, received.set, lambda: told.append("noted"))
        # The loop has no turn before it is received.
        signal.pthread_kill(threading.get_ident(), number)
        assert told == ["noted"]
        with trio.fail_after(10):
            await received.wait()
        assert told == ["noted", "drain"]
        nursery.cancel_scope.cancel()
    assert signal.getsignal(number) is before


async def test_who_asks_for_the_settings_asks_for_no_stop():
    told: list[str] = []
    received = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(run_signals, told.append, received.set, lambda: told.append("noted"))
        signal.pthread_kill(threading.get_ident(), signal.SIGHUP)
        with trio.fail_after(10):
            await received.wait()
        nursery.cancel_scope.cancel()
    assert told == []
