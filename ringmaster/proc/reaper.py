"""Reap the orphans that come to the daemon because it is a subreaper.

Telling them from children that trio or `subprocess` wait for: an orphan comes out of a job, and jobs
live in sessions that their shims made. So a dead child in the own session is never reaped, one in
another is when nobody has done so for a while. (That may be a job's shim: `Job.wait` looks at a pidfd,
which stays readable, and at files, never at the shim's exit status.)
"""

from __future__ import annotations

import contextlib
import os
import signal

import trio

from ringmaster.proc.shim_procfs import PR_SET_CHILD_SUBREAPER, Stat, call_prctl, read_stat, take_snapshot

GRACE_S = 2.0


def become_subreaper() -> None:
    """Make orphans below this process its children; it lasts through exec. The keeper and the daemon call it."""
    call_prctl(PR_SET_CHILD_SUBREAPER, 1)


def reap_dead_children() -> None:
    """Reap every dead child, whoever's. Only for an image that has just been executed and has started none itself."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def find_dead_orphans() -> list[Stat]:
    """Dead children of this process in another session. Reads all of /proc only when some child is dead."""
    try:
        # Looks and leaves it: `waitpid(-1)` would take the exit status that someone else waits for.
        peek = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return []
    if peek is None:
        return []
    own, session = os.getpid(), os.getsid(0)
    return [s for s in take_snapshot() if s.parent == own and s.is_dead and s.session != session]


def reap(stat: Stat) -> bool:
    """Reap exactly this dead child; False when somebody else has done so."""
    now = read_stat(stat.pid)
    if now is None or now.key != stat.key or now.parent != os.getpid():
        return False
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(stat.pid, os.WNOHANG)[0] == stat.pid
    return False


async def run_reaper(grace_s: float = GRACE_S) -> None:
    """Reap orphans after SIGCHLD until cancelled. Needs trio in the main thread, as signals do.

    What is dead is left alone for `grace_s` more: an owner takes its child at once, an orphan waits for ever, so
    a child that was given a session of its own by mistake does not lose its exit status.
    """
    with trio.open_signal_receiver(signal.SIGCHLD) as signals:
        while True:
            found = await trio.to_thread.run_sync(find_dead_orphans)
            if found:
                await trio.sleep(grace_s)
                for stat in found:
                    reap(stat)
            await anext(signals)
