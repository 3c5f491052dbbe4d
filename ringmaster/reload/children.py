"""Children of the candidate's program: run one within a limit, in a session of its own, and end it whole.

What leaves its session is ended with the job: its shim is the subreaper of all of them.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

TAIL_BYTES = 3_000
MARKS = ("RM_NONCE",)


class Ended(NamedTuple):
    """How a child ended. code: its exit status, negative for a signal; None when it was ended for its limit."""

    code: int | None
    wall_s: float

    @property
    def words(self) -> str:
        """How, in words."""
        return "took longer than its limit" if self.code is None else words_of_status(self.code)


def words_of_status(code: int) -> str:
    """An exit status as people say it."""
    if code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return f"signal {signal.Signals(-code).name}"
    return f"signal {-code}"


def run_child(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], output: Path, limit_s: float) -> Ended:
    """Run a program to its end, or to its limit. Both its streams go to the file `output`, made anew. Blocking.

    Raises OSError when it cannot be started.
    """
    began = time.monotonic()
    fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            argv, cwd=cwd, env=marked(env), stdin=subprocess.DEVNULL, stdout=fd, stderr=fd, start_new_session=True
        )
    finally:
        os.close(fd)
    is_over = wait_process(process, limit_s)
    kill_session(process)
    return Ended(process.returncode if is_over else None, time.monotonic() - began)


def marked(env: Mapping[str, str]) -> dict[str, str]:
    """An environment with the job's mark in it, by which what it started is found when its shim was killed."""
    return {**env, **{name: value for name in MARKS if (value := os.environ.get(name))}}


def wait_process(process: subprocess.Popen[bytes], limit_s: float) -> bool:
    """Wait for a child for at most `limit_s`; whether it has ended. Blocking, without looking again and again."""
    with open_pidfd(process.pid) as pidfd:
        if not select.select([pidfd], [], [], limit_s)[0]:
            return False
    process.wait()
    return True


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a child's process group, and the child."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def open_pidfd(pid: int) -> Iterator[int]:
    """A descriptor of a child that nobody else reaps."""
    fd = os.pidfd_open(pid)
    try:
        yield fd
    finally:
        os.close(fd)


def tail(path: Path, size: int = TAIL_BYTES) -> str:
    """The end of what a child said, in whole lines where there are any."""
    try:
        with path.open("rb") as file:
            skipped = max(0, os.fstat(file.fileno()).st_size - size)
            file.seek(skipped)
            said = file.read(size)
            if skipped and b"\n" in said:
                said = said.partition(b"\n")[2]
            return said.decode("utf-8", "replace").strip()
    except OSError:
        return ""
