"""From what the machine says to findings. Pure."""

from __future__ import annotations

import re
import shlex

from ringmaster.doctor.facts import (
    ClockFacts,
    DiskFacts,
    FileFacts,
    GitFacts,
    InotifyFacts,
    LimitFacts,
    OutsideFacts,
    RightsFacts,
    SettingsFacts,
)
from ringmaster.doctor.machine import NETWORK_KINDS
from ringmaster.doctor.words import duration, size
from ringmaster.protocol.doctor import Finding

GIT_NEEDED = (2, 38)
"""`merge-tree --write-tree` came with 2.38."""
FILES_BASE, FILES_PER_SEAT = 512, 8
"""What agents and their builds open counts by itself, but against the limit that they inherit."""
FILES_LEAST = 256
TASKS_PER_SEAT = 40
"""An agent with its tools, a build and a gate: threads count too."""
ROOM_BYTES = 2 * 1024**3
"""Less than this is soon used up by builds in workspaces."""
FEW_INODES = 20_000
CLOCK_S = 10.0
FILE_CLOCK_S = 2.0
SOCKET_BYTES = 107


def judge_git(git: GitFacts) -> Finding:
    """Whether there is a git that is new enough."""
    if not git.program:
        return Finding(check="git", level="error", words="there is no git on PATH", mend="sudo apt install git")
    found = re.search(r"(\d+)\.(\d+)(?:\.\d+)*", git.said)
    if found is None:
        return Finding(
            check="git", level="error", words=f"{git.program} does not work: {git.said}", mend="sudo apt install git"
        )
    if (int(found[1]), int(found[2])) < GIT_NEEDED:
        return Finding(
            check="git",
            level="error",
            words=f"{git.program} is {found[0]}, and 2.38 or newer is needed",
            mend="sudo apt install git",
        )
    identity = f"; commits are made as {git.identity}" if git.identity else ""
    return Finding(check="git", level="ok", words=f"{git.program} {found[0]}{identity}")


def judge_limits(limits: LimitFacts, unit: str = "") -> tuple[Finding, ...]:
    """Whether so many seats can run. unit: of systemd, which then sets the limits."""
    needed = FILES_BASE + FILES_PER_SEAT * limits.seats
    again = f"systemctl --user edit {unit}" if unit else ""
    seats = "1 seat" if limits.seats == 1 else f"{limits.seats} seats"
    if limits.files < needed:
        files = Finding(
            check="open files",
            level="error" if limits.files < FILES_LEAST else "warning",
            words=f"the daemon may open {limits.files} files, and {seats} may need {needed}",
            mend=f"{again}   # [Service] LimitNOFILE=4096" if again else "ulimit -n 4096 && rmctl daemon restart",
        )
    else:
        files = Finding(check="open files", level="ok", words=f"the daemon may open {limits.files}, enough for {seats}")
    return files, _judge_processes(limits, seats, again)


def _judge_processes(limits: LimitFacts, seats: str, again: str) -> Finding:
    needed = TASKS_PER_SEAT * limits.seats
    for maximum, now, whose, mend in (
        (limits.processes, limits.processes_now, "the user", "ulimit -u 8192 && rmctl daemon restart"),
        (limits.tasks_max, limits.tasks_now, "its control group", f"{again or 'systemctl edit'}   # TasksMax=8192"),
    ):
        if maximum is not None and maximum - now < needed:
            return Finding(
                check="processes",
                level="warning",
                words=f"{whose} has {now} threads and may have {maximum}; {seats} may need {needed} more",
                mend=mend,
            )
    return Finding(check="processes", level="ok", words=f"room for {seats}")


def judge_disk(disk: DiskFacts) -> Finding:
    """Whether there is room, and on a file system that locks and syncs as it says."""
    check = f"disk of {disk.what}"
    if disk.kind in NETWORK_KINDS:
        return Finding(
            check=check,
            level="error",
            words=f"{disk.path} is on a network file system ({disk.kind}): locks and syncs cannot be trusted there",
            mend="rmctl -s /a/local/path daemon start",
        )
    free = f"{size(disk.free_bytes)} free on {disk.path}"
    if disk.free_bytes < disk.reserve_bytes:
        return Finding(
            check=check,
            level="error",
            words=f"{free}, less than the {size(disk.reserve_bytes)} of the reserve: nothing new is begun",
            mend="rmctl gc",
        )
    if disk.free_bytes < ROOM_BYTES:
        return Finding(check=check, level="warning", words=f"{free}: builds use that up soon", mend="rmctl gc")
    if disk.free_inodes is not None and disk.free_inodes < FEW_INODES:
        return Finding(
            check=check, level="warning", words=f"{disk.free_inodes} inodes left on {disk.path}", mend="rmctl gc"
        )
    return Finding(check=check, level="ok", words=free)


def judge_inotify(inotify: InotifyFacts) -> Finding:
    """Whether files can be watched: daemon, agents, build tools and editors of a user share one limit."""
    for name, used, most in (
        ("instances", inotify.used_instances, inotify.max_instances),
        ("watches", inotify.used_watches, inotify.max_watches),
    ):
        if most and used > most * 0.9:
            return Finding(
                check="inotify",
                level="error" if used >= most else "warning",
                words=f"{used} of {most} {name} are used: the daemon, or a build tool of an agent, may get none",
                mend=f"sudo sysctl fs.inotify.max_user_{name}={max(1024, most * 4)}",
            )
    return Finding(
        check="inotify",
        level="ok",
        words=f"{inotify.used_instances} of {inotify.max_instances} instances,"
        f" {inotify.used_watches} of {inotify.max_watches} watches used",
    )


def judge_file(file: FileFacts) -> Finding:
    """Whether it is the user's own and nobody else's business."""
    path = shlex.quote(file.path)
    if file.mode is None:
        return Finding(check=file.what, level="ok", words=f"{file.path} is not there yet")
    if not file.is_own:
        return Finding(
            check=file.what,
            level="error",
            words=f"{file.path} belongs to another user",
            mend=f"sudo chown -R $USER {path}",
        )
    if file.mode & 0o077:
        return Finding(
            check=file.what,
            level="warning",
            words=f"{file.path} has mode {file.mode:04o}: other users get at prompts, tokens and the daemon",
            mend=f"chmod {file.wanted:o} {path}",
            is_safe=True,
        )
    return Finding(check=file.what, level="ok", words=f"{file.path}, mode {file.mode:04o}")


def judge_socket_path(path: str) -> Finding:
    """Whether the socket's path fits into an address."""
    length = len(path.encode(errors="surrogateescape"))
    if length > SOCKET_BYTES:
        return Finding(
            check="socket path",
            level="error",
            words=f"{length} bytes, and the kernel takes {SOCKET_BYTES}: {path}",
            mend="export XDG_RUNTIME_DIR=/run/user/$(id -u)",
        )
    return Finding(check="socket path", level="ok", words=f"{length} of {SOCKET_BYTES} bytes: {path}")


def judge_clock(clock: ClockFacts) -> Finding:
    """Whether time goes on evenly: leases, limits and back-off are counted by it."""
    look = "timedatectl set-ntp true"
    if abs(clock.file_at - clock.now) > FILE_CLOCK_S:
        words = f"the state's file system is {duration(abs(clock.file_at - clock.now))} apart from the clock"
        return Finding(check="clock", level="warning", words=words, mend=look)
    if clock.newest_event_at is not None and clock.newest_event_at > clock.now + CLOCK_S:
        ahead = duration(clock.newest_event_at - clock.now)
        words = f"the newest event lies {ahead} ahead: the clock was set back, and what waits for a time waits longer"
        return Finding(check="clock", level="warning", words=words, mend=look)
    if clock.ran_s is not None and clock.ran_by_clock_s is not None:
        jump = clock.ran_by_clock_s - clock.ran_s
        if abs(jump) > CLOCK_S:
            way = "forward" if jump > 0 else "back"
            words = f"the clock was put {way} by {duration(abs(jump))} since the daemon began"
            return Finding(check="clock", level="warning", words=words, mend=look)
    return Finding(check="clock", level="ok", words="even, and the same as the file system's")


def judge_settings(settings: SettingsFacts) -> Finding:
    """Whether the settings file can be used and is in use."""
    if settings.error:
        return Finding(
            check="settings", level="error", words=settings.error, mend=f"${{EDITOR:-vi}} {shlex.quote(settings.path)}"
        )
    if settings.is_other:
        return Finding(
            check="settings",
            level="warning",
            words=f"{settings.path} was changed since the daemon started",
            mend="rmctl daemon restart",
        )
    words = settings.path if settings.is_there else f"there is no {settings.path}: the defaults hold"
    return Finding(check="settings", level="ok", words=words)


def judge_outside(outside: OutsideFacts) -> tuple[Finding, ...]:
    """What no attempt's end reaches: promised is the end of every descendant, not of what others run for it."""
    found = []
    if outside.services:
        words = f"agents can ask {', '.join(outside.services)} to run something, which does not end with their attempt"
        found.append(Finding(check="outside", level="ok", words=words))
    for stray in outside.strays:
        words = f"{stray.program} (pid {stray.pid}) was left running by {stray.attempt_id}, which has ended"
        found.append(Finding(check="outside", level="warning", words=words, mend=f"kill {stray.pid}"))
    return tuple(found) or (Finding(check="outside", level="ok", words="nothing runs outside of attempts"),)


def judge_rights(rights: RightsFacts) -> Finding:
    """Whether an agent can be told from a person."""
    if rights.is_hidden:
        return Finding(
            check="rights",
            level="warning",
            words="/proc hides processes (hidepid): an agent that drops its environment may pass for a person",
            mend="sudo mount -o remount,hidepid=0 /proc",
        )
    return Finding(check="rights", level="ok", words="every caller is known by its ancestors")
