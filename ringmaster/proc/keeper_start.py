"""A running daemon gives itself a new keeper after its own has died."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.proc.identity import ProcessIdentity, current_boot_id, own_identity
from ringmaster.proc.instance import KEEPER_VARIABLE
from ringmaster.proc.job import PYTHON

KEEPER = Path(__file__).with_name("keeper.py")


def keeper_from_environment() -> ProcessIdentity | None:
    """The keeper that started this daemon; None without one. Whether it lives is `is_alive`'s to say."""
    pid, _, start_time = os.environ.get(KEEPER_VARIABLE, "").partition(":")
    if not (pid.isdigit() and start_time.isdigit()):
        return None
    return ProcessIdentity(int(pid), int(start_time), current_boot_id())


async def start_adopting_keeper(
    state: Path,
    socket_path: Path,
    lock_fd: int,
    listener_fd: int,
    daemon_argv: Sequence[str],
    *,
    python: str = PYTHON,
) -> ProcessIdentity:
    """Start a keeper that watches this very process; it is ready when this returns.

    The descriptors stay the caller's. daemon_argv: what to run after a crash. Raises RingmasterError with the
    keeper's own line. Until this daemon ends the keeper is below it in the process tree, being its subreaper's
    orphan, but it is in a session of its own: name it among the roots given to `start_job` and
    `adopt_job` so that it is not taken for a leftover.
    """
    own = own_identity()
    argv = [python, "-I", "-S", os.fspath(KEEPER), os.fspath(state), "--socket", os.fspath(socket_path)]
    argv += ["--adopt", f"{own.pid}:{own.start_time}"]
    argv += ["--lock-fd", str(lock_fd), "--listener-fd", str(listener_fd), "--", *daemon_argv]
    done = await trio.run_process(
        argv, capture_stdout=True, capture_stderr=True, check=False, pass_fds=(lock_fd, listener_fd), cwd="/"
    )
    line = done.stdout.decode(errors="replace").strip()
    if done.returncode != 0:
        raise RingmasterError(
            ErrorKind.INTERNAL, f"no new keeper: {line or done.stderr.decode(errors='replace').strip()}"
        )
    fields = dict(word.split("=", 1) for word in line.split()[1:])
    return ProcessIdentity(int(fields["pid"]), int(fields["start_time"]), current_boot_id())
