"""Ctrl-C ends a wait also where Python's own exception came to nothing."""

from __future__ import annotations

import signal
import subprocess
import sys

WAITING = """
import os, signal, socket, sys
from ringmaster.client.interrupts import Interrupts
from ringmaster.client.transport import Transport

ours, theirs = socket.socketpair()
transport = Transport(ours)
transport.interrupts = Interrupts()
try:
    # As code that is imported may do with what comes while it runs.
    print("ready", flush=True)
    sys.stdin.readline()
except KeyboardInterrupt:
    pass
print("waiting", flush=True)
try:
    transport.receive(None)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupt_that_was_swallowed_ends_the_next_wait():
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "waiting\n"
        assert process.stdout.readline() == "interrupted\n"
    assert process.returncode == 0
