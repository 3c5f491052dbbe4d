"""Gathering what the machine says. Standard library only; each reads and changes nothing but one file of its own."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from ringmaster.doctor.facts import (
    DiskFacts,
    FileFacts,
    GitFacts,
    InotifyFacts,
    LimitFacts,
    OutsideFacts,
    RightsFacts,
    Stray,
)

GIT_S = 10.0
NETWORK_KINDS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "glusterfs", "lustre", "beegfs"}
)


def read_git(environ: Mapping[str, str], identity: str = "") -> GitFacts:
    """git on the PATH of an environment, and what it says of itself. Blocking."""
    program = shutil.which("git", path=environ.get("PATH"))
    if program is None:
        return GitFacts(program="")
    try:
        done = subprocess.run([program, "--version"], capture_output=True, timeout=GIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return GitFacts(program=program, said=str(error), identity=identity)
    return GitFacts(program=program, said=done.stdout.decode(errors="replace").strip(), identity=identity)


def read_limits(seats: int) -> LimitFacts:
    """Limits of this very process."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    group = _control_group()
    return LimitFacts(
        files=files,
        processes=None if processes == resource.RLIM_INFINITY else processes,
        processes_now=sum(1 for pid in _own_pids() for _ in _listed(f"/proc/{pid}/task")),
        tasks_max=_number(f"{group}/pids.max"),
        tasks_now=_number(f"{group}/pids.current") or 0,
        seats=seats,
    )


def _control_group() -> str:
    for line in _text("/proc/self/cgroup").splitlines():
        if line.startswith("0::/"):
            return f"/sys/fs/cgroup{line[3:]}".rstrip("/")
    return "/sys/fs/cgroup"


def read_disk(what: str, path: Path, reserve_bytes: int) -> DiskFacts:
    """The file system of a path, or of the nearest directory above it that is there."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return DiskFacts(
        what=what,
        path=str(path),
        free_bytes=found.f_bavail * found.f_frsize,
        free_inodes=found.f_favail if found.f_files else None,
        reserve_bytes=reserve_bytes,
        kind=file_system_of(path),
    )


def file_system_of(path: Path, mounts: str | None = None) -> str:
    """The kind of file system that a path is on, '' where it cannot be told. mounts: a text of /proc/self/mountinfo."""
    real, best, kind = os.path.realpath(path), "", ""
    for line in (_text("/proc/self/mountinfo") if mounts is None else mounts).splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        place = fields[4].replace("\\040", " ")
        # The last of the deepest: a later mount hides an earlier one at the same place.
        if (real == place or real.startswith(place.rstrip("/") + "/")) and len(place) >= len(best):
            best, kind = place, after.split()[0]
    return kind


def read_inotify() -> InotifyFacts:
    """The user's limits, and what all programs of the user use of them."""
    instances = watches = 0
    for pid in _own_pids():
        for fd in _listed(f"/proc/{pid}/fd"):
            try:
                if os.readlink(f"/proc/{pid}/fd/{fd}") != "anon_inode:inotify":
                    continue
            except OSError:
                continue
            instances += 1
            watches += _text(f"/proc/{pid}/fdinfo/{fd}").count("inotify wd:")
    return InotifyFacts(
        max_instances=_number("/proc/sys/fs/inotify/max_user_instances") or 0,
        used_instances=instances,
        max_watches=_number("/proc/sys/fs/inotify/max_user_watches") or 0,
        used_watches=watches,
    )


def read_file(what: str, path: Path, wanted: int) -> FileFacts:
    """Mode and owner of a file; of what a link points to."""
    try:
        found = os.stat(path)
    except OSError:
        return FileFacts(what=what, path=str(path), mode=None, is_own=False, wanted=wanted)
    is_own = found.st_uid == os.getuid()
    return FileFacts(what=what, path=str(path), mode=stat.S_IMODE(found.st_mode), is_own=is_own, wanted=wanted)


def read_file_time(directory: Path, now: float) -> float:
    """The time that the file system gives a file that is written now; `now` where none can be written."""
    try:
        with tempfile.NamedTemporaryFile(prefix=".doctor-", dir=directory) as file:
            file.write(b"x")
            file.flush()
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return now


def read_outside(environ: Mapping[str, str], workspaces: Path, live: frozenset[str]) -> OutsideFacts:
    """What agents can ask to run something for them, and what ended attempts left running.

    live: attempts that have not ended: what belongs to them is looked after by their shims.
    """
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    sockets = {
        "docker": ("/var/run/docker.sock", f"{runtime}/docker.sock"),
        "podman": (f"{runtime}/podman/podman.sock",),
        "systemd": (f"{runtime}/systemd/private",),
    }
    services = [name for name, paths in sockets.items() if any(os.access(path, os.W_OK) for path in paths)]
    programs = {"tmux": "tmux", "screen": "screen", "cron": "crontab", "at": "at"}
    services += [name for name, program in programs.items() if shutil.which(program, path=environ.get("PATH"))]
    return OutsideFacts(services=tuple(services), strays=tuple(_strays(workspaces, live)))


def _strays(workspaces: Path, live: frozenset[str]) -> Iterator[Stray]:
    for pid in _own_pids():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                pairs = dict(pair.partition(b"=")[::2] for pair in file.read().split(b"\0"))
        except OSError:
            continue
        attempt_id = os.fsdecode(pairs.get(b"RM_ATTEMPT", b""))
        place = os.fsdecode(pairs.get(b"RM_WORKSPACE", b""))
        if attempt_id and attempt_id not in live and Path(place).is_relative_to(workspaces):
            yield Stray(pid=int(pid), program=_text(f"/proc/{pid}/comm").strip(), attempt_id=attempt_id)


def read_rights(mounts: str | None = None) -> RightsFacts:
    """Whether /proc shows every process. mounts: a text of /proc/self/mountinfo."""
    for line in (_text("/proc/self/mountinfo") if mounts is None else mounts).splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[4:5] == ["/proc"] and "hidepid=" in after:
            level = after.partition("hidepid=")[2].split(",")[0].split(" ")[0]
            return RightsFacts(is_hidden=level not in ("0", "off"))
    return RightsFacts(is_hidden=False)


def _own_pids() -> Iterator[str]:
    """Processes of this user. One that ends meanwhile is left out."""
    own = os.getuid()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}").st_uid == own:
                yield pid


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def _text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _number(path: str) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdigit() else None
