"""Reap the orphans that come to the daemon because it is a subreaper.

Telling them from children that trio or `subprocess` wait for: an orphan comes out of a job, and jobs
live in sessions that their shims made; what the daemon starts for itself stays in the daemon's session.
So a dead child in another session may be reaped, one in the own session never is, and nothing but this
package may start a session from the daemon. (A job's shim is in another session too and may be reaped here:
`Job.wait` looks at a pidfd, which stays readable, and at files, never at the shim's exit status.)
"""

from __future__ import annotations

import os
import signal

import trio

from ringmaster.proc.shim_procfs import PR_SET_CHILD_SUBREAPER, call_prctl, read_stat, take_snapshot


def become_subreaper() -> None:
    """Make orphans below this process its children; it lasts through exec. The keeper and the daemon call it."""
    call_prctl(PR_SET_CHILD_SUBREAPER, 1)


def reap_orphans() -> list[int]:
    """Reap every dead child that is in another session; returns their pids. Never waits.

    By pid: `waitpid(-1)` would take the exit status of children that someone else waits for.
    """
    own_session = os.getsid(0)
    reaped: list[int] = []
    while True:
        try:
            peek = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return reaped
        if peek is None:
            return reaped
        stat = read_stat(peek.si_pid)
        if stat is None or stat.session == own_session:
            # The kernel shows this one again and again until its owner takes it: look past it.
            return reaped + _reap_scanned(own_session)
        if _reap(stat.pid):
            reaped.append(stat.pid)


def _reap_scanned(own_session: int) -> list[int]:
    own = os.getpid()
    dead = [s for s in take_snapshot() if s.parent == own and s.is_dead and s.session != own_session]
    return [stat.pid for stat in dead if _reap(stat.pid)]


def _reap(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


async def run_reaper() -> None:
    """Reap orphans upon each SIGCHLD until cancelled. Needs trio in the main thread, as signals do."""
    with trio.open_signal_receiver(signal.SIGCHLD) as signals:
        reap_orphans()
        async for _ in signals:
            reap_orphans()
