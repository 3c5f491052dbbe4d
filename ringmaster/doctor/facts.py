"""What the rules look at. Each is gathered where it is true: the daemon's limits and PATH are not rmctl's."""

from __future__ import annotations

import msgspec


class GitFacts(msgspec.Struct, frozen=True, kw_only=True):
    """program: where it is, '' without one. said: its own line. identity: in whose name commits are made."""

    program: str
    said: str = ""
    identity: str = ""


class LimitFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the daemon's process. seats: attempts that may run at once.

    files: descriptors it may have. processes, tasks_max: threads that the user, and its control group, may have; None
    for no limit. processes_now, tasks_now: that there are.
    """

    files: int
    processes: int | None
    processes_now: int
    tasks_max: int | None
    tasks_now: int
    seats: int


class DiskFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The file system that holds a directory. what: `state`, `workspaces`. kind: of file system, '' unknown.

    reserve_bytes: what the daemon sets aside. free_inodes: None where the file system has no such limit.
    """

    what: str
    path: str
    free_bytes: int
    free_inodes: int | None
    reserve_bytes: int
    kind: str


class InotifyFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Of the user, of all programs. A limit that cannot be read is 0."""

    max_instances: int
    used_instances: int
    max_watches: int
    used_watches: int


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A file or directory that is nobody else's business. mode: None where it is not there. wanted: its mode."""

    what: str
    path: str
    mode: int | None
    is_own: bool
    wanted: int


class ClockFacts(msgspec.Struct, frozen=True, kw_only=True):
    """now: unix seconds. file_at: the time that the state's file system gave a file written now.

    newest_event_at: None without any. ran_s, ran_by_clock_s: how long the daemon has run, by what nobody can set and
    by the clock; None when there is no daemon.
    """

    now: float
    file_at: float
    newest_event_at: float | None = None
    ran_s: float | None = None
    ran_by_clock_s: float | None = None


class SettingsFacts(msgspec.Struct, frozen=True, kw_only=True):
    """error: why the file cannot be used, else ''. is_other: the daemon runs with other settings."""

    path: str
    is_there: bool
    error: str = ""
    is_other: bool = False


class Stray(msgspec.Struct, frozen=True, kw_only=True):
    """A process that an attempt left behind when it ended."""

    pid: int
    program: str
    attempt_id: str


class OutsideFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What no attempt's end reaches. services: what agents can ask to run something for them."""

    services: tuple[str, ...]
    strays: tuple[Stray, ...]


class RightsFacts(msgspec.Struct, frozen=True, kw_only=True):
    """is_hidden: /proc hides processes of others (hidepid), so that an ancestry may not be read to its end."""

    is_hidden: bool


class AgentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as the daemon finds it on its PATH.

    program: where it is, '' when not found; wanted: what was looked for, '' when each seat names its own.
    is_named: settings say something about it. needs_login: it works for an account.
    """

    name: str
    kind: str
    wanted: str
    program: str
    version: str
    account: str
    needs_login: bool
    seats: int
    is_named: bool
    key_env: str = ""
    rests_until_at: float | None = None
    rests_because: str = ""


class ProjectFacts(msgspec.Struct, frozen=True, kw_only=True):
    """is_there: its repository is. has_sandbox_program: bubblewrap is on the daemon's PATH."""

    id: str
    path: str
    is_there: bool
    is_sandboxed: bool
    has_sandbox_program: bool


class PageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The page over HTTP. url: '' where none is served. why_not: then, or where it is not served as settings say.

    is_enabled: it is wanted.

    unseen: why a client's process could not be found, '' where each was.
    """

    is_enabled: bool
    url: str = ""
    why_not: str = ""
    unseen: str = ""


class KeeperFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Who starts the daemon again. unit: of systemd, '' without. state, words: of its health."""

    is_kept: bool
    unit: str
    state: str
    words: str


class RunningJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that runs though its attempt has ended. pid: of its shim, whose end is the end of all below; 0 unknown."""

    attempt_id: str
    pid: int


class LeftoverFacts(msgspec.Struct, frozen=True, kw_only=True):
    """due: what gc would remove now, in words, and due_bytes of it. kept: what it leaves alone, with the reason.

    unowned: paths that belong to no project or task. stale: paths of the daemon's own work that a kill cut short.
    unknown: attempts that the store does not know and whose work is kept in the daemon's repositories.
    """

    due: tuple[str, ...]
    due_bytes: int
    kept: tuple[str, ...]
    unowned: tuple[str, ...]
    stale: tuple[str, ...]
    unknown: tuple[str, ...] = ()
    running: tuple[RunningJob, ...] = ()


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A process that has the state's lock open."""

    role: str
    pid: int


class ReachFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What rmctl sees of the daemon. answer: `answers`, `none` (no socket), `dead`, `silent`, or words of a refusal.

    named_pid: whom the lock file names, None without one; is_named_gone: that process has ended. version,
    protocol: the daemon's; own_*: rmctl's.
    """

    socket: str
    answer: str
    holders: tuple[Holder, ...]
    named_pid: int | None
    is_named_gone: bool
    log: str
    own_version: str
    version: str = ""
    own_protocol: int = 0
    protocol: int = 0


class UnitFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The user's systemd and the units of this instance. is_other: their texts are not what install would write.

    enabled: as systemd says it, '' unknown. linger: yes, no or unknown. environment_mode: of the file of variables,
    None without one.
    """

    has_manager: bool
    name: str
    is_installed: bool
    is_other: bool
    enabled: str
    linger: str
    environment_mode: int | None
