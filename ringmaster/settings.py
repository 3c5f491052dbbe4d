"""Settings of a daemon, and where its files lie.

Settings come from `config.toml` and are frozen; a bad file is refused whole, in one line.
Paths follow the XDG base directory specification 0.8.
"""

from __future__ import annotations

import os
import pwd
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.order import PATIENCE_S, RULES, OrderRules
from ringmaster.model.stream_settings import StreamSettings

SOCKET_PATH_LIMIT = 107
"""`sun_path` holds 108 bytes with its NUL (unix(7))."""

CONFIG_BYTES = 1 << 20
"""A settings file is some kilobytes; anything this large is something else."""
MEND = "mend it, then: rmctl config check"

Positive = Annotated[float, msgspec.Meta(gt=0)]
Argument = Annotated[str, msgspec.Meta(pattern=r"\A[^\x00]*\Z")]
"""A word of a command; none can have a NUL in it."""
Count = Annotated[int, msgspec.Meta(ge=1)]
Limit = Annotated[int, msgspec.Meta(ge=0)]
Span = Annotated[int, msgspec.Meta(ge=0, le=366 * 86400)]
Patience = Annotated[int, msgspec.Meta(ge=-366 * 86400, le=366 * 86400)]


class AgentSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="command"
):
    """A named agent of kind `command`. argv: a template; see docs/agents.md for what is filled in."""

    argv: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


class ClaudeSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="claude"
):
    """An agent of kind `claude`.

    bin: program, searched in PATH. config: `own` uses the person's configuration directory, and so their login;
        `isolated` one of the agent's own, which needs a key.
    key_env: variable that holds the key or token to pay with; nothing of the kind is handed over unless named.
    env: further variables to hand over. max_turns, max_budget_usd: limits of one attempt.
    """

    bin: str = "claude"
    config: Literal["own", "isolated"] = "own"
    key_env: str = ""
    env: tuple[str, ...] = ()
    model: str = ""
    max_turns: Count | None = None
    max_budget_usd: Positive | None = None
    extra_args: tuple[str, ...] = ()


class CodexSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="codex"
):
    """An agent of kind `codex`. Fields as in `ClaudeSettings`.

    prices: per model dollars for a million tokens in, in from the cache, and out; they come before the built-in ones.
    """

    bin: str = "codex"
    config: Literal["own", "isolated"] = "own"
    key_env: str = ""
    env: tuple[str, ...] = ()
    model: str = ""
    max_turns: Count | None = None
    max_budget_usd: Positive | None = None
    prices: dict[str, tuple[float, float, float]] = {}
    extra_args: tuple[str, ...] = ()


AnyAgentSettings = AgentSettings | ClaudeSettings | CodexSettings
KINDS = ("command", "claude", "codex")


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of an attempt that names none itself.

    lingering_s: how long an agent may go on in silence after it gave its result.
    logs_bytes: of the output of all attempts together; beyond it the oldest goes, see docs/logs.md. 0 for no bound.
    agents, labels: how many attempts may run at once of an agent, and of tasks with a label.
    """

    wall_s: Positive = 3600.0
    idle_s: Positive = 1800.0
    output_bytes: Count = 256 * 1024 * 1024
    max_attempts: Count = 3
    cancel_grace_s: Positive = 5.0
    lingering_s: Positive = 30.0
    logs_bytes: Limit = 20 * 1024 * 1024 * 1024
    agents: dict[str, Limit] = {}
    labels: dict[str, Limit] = {}


class DaemonSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the process itself behaves.

    on_decision: a command that is run for each new question to a person, which it gets as JSON on stdin, for at most
        `on_decision_limit_s`. See docs/operations.md.
    """

    drain_s: Positive = 5.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    max_running: Count = 64
    prompt_tokens: Count = 24_000
    gc_every_s: Positive = 3600.0
    on_decision: tuple[Argument, ...] = ()
    on_decision_limit_s: Positive = 30.0
    reserve_bytes: Count = 8 * 1024 * 1024


class RoomSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[room]`: what must be free of the machine before something is given out; 0 for whatever there is.

    memory_bytes: what the kernel says is available (MemAvailable). disk_bytes: where the state and workspaces lie.
    """

    memory_bytes: Limit = 256 * 1024 * 1024
    disk_bytes: Limit = 256 * 1024 * 1024


class OwnSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[self]`: how the daemon replaces its own code. See docs/reload.md.

    follow: what becomes a release: commits that land on the target of a self project; its work tree too, uncommitted
        edits included; or nothing unasked.
    debounce_s: how long it must be quiet after a change. rescan_s: how often it looks although nothing was told.
    probation_s: how long new code is watched before it is good. guard_s: how long its loop may be silent
        meanwhile, a day at most.
    quiesce_s: how long a switch waits for the answers to what was begun.
    keep_releases: how many releases stay on disk beside those in use.
    """

    follow: Literal["target", "worktree", "never"] = "target"
    debounce_s: Positive = 0.2
    probation_s: Positive = 30.0
    # Bounded, because the timers behind it overflow at some decades, and each release would end on trial, and be bad.
    guard_s: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 10.0
    quiesce_s: Positive = 2.0
    keep_releases: Count = 5
    rescan_s: Positive = 300.0


class OrderSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[order]`: which task goes first. See docs/queue.md.

    critical_path_s, unblocks_s, pagerank_s, betweenness_s: how far the task with most of it is brought forward; cap_s:
        the most that they do together. patience_s: by priority, how long after its arrival a task should start; another
        one holds for all that has not ended.
    seed, pivots: which tasks, and how many, betweenness is reckoned from.
    """

    critical_path_s: Span = RULES.critical_path_s
    unblocks_s: Span = RULES.unblocks_s
    pagerank_s: Span = RULES.pagerank_s
    betweenness_s: Span = RULES.betweenness_s
    cap_s: Span = RULES.cap_s
    patience_s: tuple[Patience, Patience, Patience, Patience, Patience] = PATIENCE_S
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = RULES.seed
    pivots: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = RULES.pivots

    @property
    def rules(self) -> OrderRules:
        """The same as the model has it."""
        return OrderRules(**msgspec.structs.asdict(self))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of `config.toml`. own: its table `[self]`, a name that Python keeps for something else."""

    daemon: DaemonSettings = DaemonSettings()
    limits: LimitSettings = LimitSettings()
    room: RoomSettings = RoomSettings()
    own: OwnSettings = msgspec.field(name="self", default=OwnSettings())
    order: OrderSettings = OrderSettings()
    stream: StreamSettings = StreamSettings()
    agents: dict[str, AnyAgentSettings] = {}


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """Where one instance's files lie. `name` is how a person calls it: a state's name or its path."""

    name: str
    state: Path
    socket: Path
    config: Path

    @property
    def database(self) -> Path:
        """The store."""
        return self.state / "ringmaster.db"

    @property
    def lock(self) -> Path:
        """The flock that makes one daemon per state."""
        return self.state / "lock"

    @property
    def estop(self) -> Path:
        """While this file is there nothing starts and every shim ends its tree."""
        return self.state / "ESTOP"

    @property
    def repositories(self) -> Path:
        """The daemon's own bare repositories."""
        return self.state / "repositories"

    @property
    def workspaces(self) -> Path:
        """Where agents work."""
        return self.state / "workspaces"

    @property
    def gates(self) -> Path:
        """The fixed checkouts in which gates run."""
        return self.state / "gates"

    @property
    def attempts(self) -> Path:
        """Prompts and job directories."""
        return self.state / "attempts"

    @property
    def caches(self) -> Path:
        """Package caches of agents and gates."""
        return self.state / "caches"

    def repository(self, project_id: str) -> Path:
        """The daemon's bare repository of a project."""
        return self.repositories / f"{project_id}.git"

    def workspace(self, project_id: str, task_id: str) -> Path:
        """The workspace that a task's attempts share."""
        return self.workspaces / project_id / task_id

    def gate_checkout(self, project_id: str) -> Path:
        """The one path at which a project's gate runs."""
        return self.gates / project_id / "checkout"

    def attempt(self, attempt_id: str) -> Path:
        """The directory of an attempt's prompt and jobs."""
        return self.attempts / attempt_id


def _base(environ: Mapping[str, str], variable: str, default: str) -> Path:
    value = environ.get(variable, "")
    if value.startswith("/"):
        return Path(value)
    return home_directory(environ) / default


def home_directory(environ: Mapping[str, str]) -> Path:
    """The person's home: HOME, and where that is not a whole path the one that the system knows.

    Raises:
        RingmasterError: USAGE when it knows none.
    """
    home = environ.get("HOME", "")
    if not home.startswith("/"):
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            raise RingmasterError(
                ErrorKind.USAGE,
                f"HOME is not set and the system knows no home of user {os.getuid()}",
                "set HOME to a directory of yours",
            ) from None
    return Path(home)


def resolve_paths(name: str | None, environ: Mapping[str, str]) -> Paths:
    """Where the instance called `name` lies: a name under the state home, or a path when it has a slash.

    Raises:
        RingmasterError: USAGE for a socket path that the kernel would refuse, or a name with odd characters.
    """
    name = name or environ.get("RINGMASTER_STATE") or "default"
    config_home = _base(environ, "XDG_CONFIG_HOME", ".config") / "ringmaster"
    if "/" in name:
        state = Path(os.path.abspath(os.path.expanduser(name)))
        name = str(state)
        runtime = None
        config = state / "config.toml"
        if not config.exists():
            config = config_home / "config.toml"
    else:
        if not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name.startswith("."):
            raise RingmasterError(
                ErrorKind.USAGE, f"{name!r} is no name for a state", "use letters, digits, - and _, or a path"
            )
        state = _base(environ, "XDG_STATE_HOME", ".local/state") / "ringmaster" / name
        runtime = environ.get("XDG_RUNTIME_DIR")
        named = config_home / f"{name}.toml"
        config = named if named.exists() else config_home / "config.toml"
    if runtime and runtime.startswith("/") and os.path.isdir(runtime):
        socket = Path(runtime) / "ringmaster" / f"{name}.sock"
    else:
        socket = state / "ringmaster.sock"
    check_socket_path(socket)
    return Paths(name=name, state=state, socket=socket, config=config)


def check_socket_path(socket: Path) -> None:
    """Refuse a socket path that does not fit into `sun_path`.

    Raises:
        RingmasterError: USAGE with its length.
    """
    length = len(os.fsencode(socket))
    if length > SOCKET_PATH_LIMIT:
        raise RingmasterError(
            ErrorKind.USAGE,
            f"the socket path is {length} bytes and the kernel takes {SOCKET_PATH_LIMIT}: {socket}",
            "use a shorter state directory: -s PATH or XDG_STATE_HOME",
        )


AT_START_ALONE = frozenset({"daemon.reserve_bytes"})
"""What is used up when the store is opened. Everything else is looked up where it is needed."""


def load_settings(config: Path) -> Settings:
    """Read settings; a missing file means the defaults.

    Raises:
        RingmasterError: USAGE naming the file and the first thing wrong in it.
    """
    try:
        return msgspec.convert(_with_kinds(read_table(config)), Settings)
    except msgspec.ValidationError as error:
        raise RingmasterError(ErrorKind.USAGE, f"{config}: {error}", MEND) from error


def read_table(config: Path) -> dict[str, Any]:
    """What the settings file says, before it is judged; empty when there is none.

    Never waits and never takes more than `CONFIG_BYTES`: the daemon reads it too, and a pipe would hold its loop, a
    device without an end its memory.

    Raises:
        RingmasterError: USAGE naming the file and what is wrong with it.
    """
    try:
        with open(config, "rb", opener=_open_at_once) as file:
            if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                raise RingmasterError(ErrorKind.USAGE, f"cannot read {config}: it is a pipe and no file", MEND)
            text = file.read(CONFIG_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RingmasterError(ErrorKind.USAGE, f"cannot read {config}: {error.strerror}", MEND) from error
    if len(text) > CONFIG_BYTES:
        raise RingmasterError(ErrorKind.USAGE, f"{config} is larger than {CONFIG_BYTES >> 20} MiB", MEND)
    try:
        return tomllib.loads(text.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RingmasterError(ErrorKind.USAGE, f"{config}: {error}", MEND) from error


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def taken_over(found: Settings, current: Settings) -> Settings:
    """What a daemon that runs with `current` takes over of `found`: all but what only a start can."""
    kept = msgspec.structs.replace(found.daemon, reserve_bytes=current.daemon.reserve_bytes)
    return msgspec.structs.replace(found, daemon=kept)


def _with_kinds(table: dict[str, Any]) -> dict[str, Any]:
    """Agents with the kind that they leave out: that of their name, else `command`."""
    agents = table.get("agents")
    if not isinstance(agents, dict):
        return table
    named = {
        name: {"kind": name if name in KINDS else "command", **agent} if isinstance(agent, dict) else agent
        for name, agent in agents.items()
    }
    return {**table, "agents": named}
