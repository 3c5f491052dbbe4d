"""Signals are held in every thread that could take one, and children of a thread begin with none blocked."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from ringmaster.daemon.threads import REQUESTS, Signals


@pytest.fixture
def signals() -> Iterator[Signals]:
    before = {number: signal.getsignal(number) for number in REQUESTS}
    made = Signals()
    made.install()
    yield made
    made.let_go()
    for number, handler in before.items():
        signal.signal(number, handler)


def blocked(thread: int) -> bool:
    for line in Path(f"/proc/self/task/{thread}/status").read_text().splitlines():
        if line.startswith("SigBlk:"):
            return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
    raise AssertionError(thread)


async def make_idle_threads(count: int) -> None:
    barrier = threading.Barrier(count)

    def wait() -> None:
        barrier.wait()

    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(trio.to_thread.run_sync, wait)


def test_what_comes_while_they_are_held_waits_and_is_noted_then(signals: Signals) -> None:
    trio.run(make_idle_threads, 3)
    signals.hold()
    # To this thread: who runs the tests has threads of its own, which would take what is sent to the process.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.pthread_kill(threading.get_ident(), number)
    assert {signal.SIGTERM, signal.SIGHUP} <= signal.sigpending()
    assert (signals.is_stop_noted, signals.is_reload_noted) == (False, False)
    signals.let_go()
    assert (signals.is_stop_noted, signals.is_reload_noted) == (True, True)


def test_a_word_to_read_settings_is_no_stop(signals: Signals) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    assert (signals.is_stop_noted, signals.is_reload_noted) == (False, True)


def test_no_thread_is_left_that_could_take_a_signal_and_later_none_that_blocks_one(signals: Signals) -> None:
    trio.run(make_idle_threads, 3)
    signals.hold()
    own = [thread.native_id for thread in threading.enumerate() if thread.name.startswith("Trio")]
    assert own
    assert all(blocked(thread) for thread in own if thread)
    # Again, for those that came since: nothing waits for ever.
    signals.hold()
    signals.let_go()
    masks = trio.run(trio.to_thread.run_sync, lambda: signal.pthread_sigmask(signal.SIG_BLOCK, []))
    assert signal.SIGTERM not in masks
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
