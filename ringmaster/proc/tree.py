"""Kill what a dead shim has left behind.

While a shim lives it does this itself and exactly: as a subreaper it cannot lose a descendant. Here its
tree is found again by two marks that survive it: the nonce in the environment, and descent from the
daemon or its keeper (subreapers too) without a live shim between.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence

import msgspec

from ringmaster.proc.identity import ProcessIdentity, read_nonce
from ringmaster.proc.shim_procfs import (
    Stat,
    freeze_and_kill,
    read_small,
    read_stat,
    take_snapshot,
    wait_until_dead,
)

GIVE_UP_S = 10.0
ROUND_S = 1.0
EMPTY_ROUNDS = 2
# No event tells that an exec is over, so those in one are looked at again this much later.
EXEC_LOOK_S = 0.005
LOOKS = 3
KERNEL_THREAD = 0x00200000  # PF_KTHREAD of the kernel's include/linux/sched.h
OWN_PROGRAMS = (b"/proc/shim.py", b"/proc/keeper.py")


class Killed(msgspec.Struct, frozen=True):
    """What `kill_leftovers` did: pids that were killed, and those still there when it gave up."""

    pids: tuple[int, ...] = ()
    survivors: tuple[int, ...] = ()


def is_own_program(pid: int) -> bool:
    """Whether `pid` runs as a shim, as a keeper or as git, by its command line.

    git: the daemon gives its git commands sessions of their own against a terminal's Ctrl-C, so the session does
    not tell them from orphans. A job's git is found by its nonce all the same.
    """
    text = read_small(f"/proc/{pid}/cmdline")
    if not text:
        # In the middle of its exec, where it could be any of these: the next round sees what it is.
        return True
    words = text.split(b"\0")
    if words[0].rpartition(b"/")[2] == b"git":
        return True
    return words[1:3] == [b"-I", b"-S"] and len(words) > 3 and words[3].endswith(OWN_PROGRAMS)


def carries_nonce(pid: int, nonce: str) -> bool | None:
    """Whether the environment of `pid` carries the nonce; None in the middle of an exec, where it cannot be seen.

    From the moment the kernel has given a process its new memory until it has laid the environment out there,
    `environ` reads as empty and the field env_end of `stat` is 0 (proc_pid_stat(5)). On a busy machine a
    process may be interrupted there, for longer than any number of looks takes.
    """
    found = read_nonce(pid)
    # Again when there is none: an exec that ended between the two reads has left something to be seen.
    for _ in range(LOOKS):
        if found is not None or read_small(f"/proc/{pid}/environ") != b"":
            break
        if _has_no_environment_yet(pid):
            return None
        found = read_nonce(pid)
    return found == nonce


def _has_no_environment_yet(pid: int) -> bool:
    text = read_small(f"/proc/{pid}/stat")
    if not text:
        return False
    # Numbered as in proc_pid_stat(5), where the state, the first behind the name, is the third.
    fields = text[text.rindex(b")") + 2 :].split()
    is_kernel_thread = int(fields[9 - 3]) & KERNEL_THREAD
    return not is_kernel_thread and fields[0] not in b"ZX" and int(fields[51 - 3]) == 0


def choose_by_nonce(snapshot: list[Stat], nonce: str, in_exec: list[Stat] | None = None) -> list[Stat]:
    """Those whose environment carries the nonce. An empty nonce chooses nothing.

    in_exec: is given those of whom it cannot be told yet.
    """
    if not nonce:
        return []
    own = os.getpid()
    chosen = []
    for stat in snapshot:
        if stat.is_dead or stat.pid == own:
            continue
        is_carried = carries_nonce(stat.pid, nonce)
        if is_carried:
            chosen.append(stat)
        elif is_carried is None and in_exec is not None:
            in_exec.append(stat)
    return chosen


def choose_by_descent(
    snapshot: list[Stat],
    roots: Sequence[ProcessIdentity],
    live_shims: Collection[tuple[int, int]] = (),
) -> list[Stat]:
    """What descends from a root with no live shim between, and is in none of the roots' sessions.

    The session tells a job's orphan from a child that the daemon has started for itself: a job's
    processes are in sessions made by its shim or below, and a session is never joined. So what the
    daemon starts in another session must be known to `is_own_program`. `live_shims` are keys of shims known;
    others are known by their command line, so that one that is just starting is spared.
    """
    by_key = {stat.key: stat for stat in snapshot}
    children: dict[int, list[Stat]] = {}
    for stat in snapshot:
        children.setdefault(stat.parent, []).append(stat)
    found_roots = [by_key[root.key] for root in roots if root.key in by_key]
    root_pids = {stat.pid for stat in found_roots}
    sessions = {stat.session for stat in found_roots}
    queue = [stat.pid for stat in found_roots]
    chosen: list[Stat] = []
    for pid in queue:
        for child in children.get(pid, ()):
            if child.pid in root_pids or child.key in live_shims or is_own_program(child.pid):
                continue
            queue.append(child.pid)
            if not child.is_dead and child.session not in sessions:
                chosen.append(child)
    return chosen


def kill_leftovers(
    nonce: str,
    roots: Sequence[ProcessIdentity] = (),
    *,
    live_shims: Collection[tuple[int, int]] = (),
    give_up_after_s: float = GIVE_UP_S,
) -> Killed:
    """Freeze and kill by nonce and, where `roots` are given, by descent, until nothing is left.

    Blocking: call it in a thread. Reaps nothing. The caller must have taken the job's lock, so that no shim
    can start meanwhile.
    """

    in_exec: list[Stat] = []

    def choose(snapshot: list[Stat]) -> list[Stat]:
        in_exec.clear()
        found = {stat.key: stat for stat in choose_by_nonce(snapshot, nonce, in_exec)}
        found.update((stat.key, stat) for stat in choose_by_descent(snapshot, roots, live_shims))
        return list(found.values())

    deadline = time.monotonic() + give_up_after_s
    pids: dict[int, None] = {}
    # Twice: what descends from a root is told by its command line too, which is not there in the middle of an exec.
    empty_rounds = 0
    while True:
        killed = freeze_and_kill(choose)
        if not killed:
            if in_exec and time.monotonic() < deadline:
                wait_until_dead(in_exec, EXEC_LOOK_S)
                continue
            empty_rounds += 1
            if empty_rounds == EMPTY_ROUNDS:
                return Killed(tuple(pids))
            continue
        empty_rounds = 0
        pids.update(dict.fromkeys(stat.pid for stat in killed))
        wait_until_dead(killed, min(ROUND_S, max(0.0, deadline - time.monotonic())))
        if time.monotonic() >= deadline:
            left = choose(take_snapshot())
            return Killed(tuple(pids), tuple(stat.pid for stat in left if read_stat(stat.pid)))
