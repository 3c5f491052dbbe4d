"""Clients that ask all the time, to see how long a daemon that is replaced under them gives no answer."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

PING = """
import os, select, socket, sys, time
path, pace_s = sys.argv[1], float(sys.argv[2])
line = b'{"jsonrpc":"2.0","id":1,"method":"daemon.version","params":{}}\\n'
s = socket.socket(socket.AF_UNIX)
s.connect(path)
longest, last = 0.0, time.monotonic()
while True:
    if select.select([0], [], [], pace_s)[0]:
        if not os.read(0, 1):
            break
        os.write(1, b"%f\\n" % longest)
        longest, last = 0.0, time.monotonic()
        continue
    s.sendall(line)
    answer = b""
    while not answer.endswith(b"\\n"):
        more = s.recv(65536)
        if not more:
            sys.exit("the connection was lost")
        answer += more
    if b'"result"' not in answer:
        sys.exit(answer.decode())
    now = time.monotonic()
    longest, last = max(longest, now - last), now
"""
PACE_S = 0.005
"""Between an answer and the next request: clients that leave no time for anything else would measure themselves."""


class Pingers:
    """Processes of one connection each; it is an error when one is lost."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def take_longest_s(self) -> float:
        """The longest time between two answers that one of them saw since it was last asked, the pace included."""
        return max(_ask(process) for process in self._processes)


def _ask(process: subprocess.Popen[str]) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    said = process.stdout.readline()
    if not said:
        raise RuntimeError(f"a client ended with status {process.wait()}")
    return float(said)


@contextlib.contextmanager
def open_pingers(path: Path, count: int) -> Iterator[Pingers]:
    """Clients at work until the end of the block."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PING, str(path), str(PACE_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        yield Pingers(processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
