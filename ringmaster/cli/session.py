"""One call of rmctl: its global options, the instance it speaks to, and the connection."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ringmaster.cli.output import Output, Row
from ringmaster.model.errors import ErrorKind, RingmasterError

if TYPE_CHECKING:
    from ringmaster.cli.progress import Progress
    from ringmaster.client import Client
    from ringmaster.client.feed import FeedReader
    from ringmaster.settings import Paths

DEFAULT_TIMEOUT_S = 30.0
READS = (
    ".list",
    ".show",
    ".ready",
    ".order",
    ".graph",
    ".wait",
    ".diff",
    ".read",
    ".status",
    ".history",
    ".health",
    ".version",
    ".prompt",
    ".discover",
)
"""Ends of the methods that change nothing: repeating one over a new connection is always safe."""


class Deadline:
    """A point on the monotonic clock, or never."""

    def __init__(self, timeout_s: float | None) -> None:
        self.at = None if timeout_s is None else time.monotonic() + timeout_s

    def left_s(self) -> float | None:
        """Seconds left, at least 0; None for ever."""
        return None if self.at is None else max(0.0, self.at - time.monotonic())


class Session:
    """What a command gets as its first argument. Nothing is connected before the first call.

    exit_code: what rmctl ends with when nothing is raised. is_program: the process is rmctl's alone.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.output = Output()
        self.exit_code = 0
        self.instance = ""
        self.is_yes = False
        self.idempotency_key = ""
        self.timeout_s: float | None = None
        self._keys = 0
        self.is_program = False
        self._client: Client | None = None

    def set_global(self, name: str, value: Any) -> None:
        """Take a global option that was given.

        Raises:
            RingmasterError: USAGE for a bad duration.
        """
        if name == "timeout":
            from ringmaster.cli.clock import parse_duration

            self.timeout_s = parse_duration(value)
        elif name == "output":
            self.output.kind = value
        elif name == "fields":
            self.output.fields = tuple(part.strip() for part in value.split(",") if part.strip())
        elif name in ("is_quiet", "is_colour_off"):
            setattr(self.output, name, value)
        elif name == "is_yes":
            self.is_yes = True
        elif name == "instance":
            self.instance = value
        elif name == "idempotency_key":
            self.idempotency_key = value
        else:
            raise AssertionError(name)

    @property
    def paths(self) -> Paths:
        """Where the instance's files lie.

        Raises:
            RingmasterError: USAGE for a bare socket (`RMCTL_SOCKET`, `-s X.sock`) that belongs to no instance by
                its name or place: its state cannot be guessed.
        """
        from ringmaster.settings import resolve_paths

        socket = self._bare_socket()
        if not socket:
            return resolve_paths(self.instance or None, self.environ)
        directory, base = os.path.split(socket)
        for name in (base.removesuffix(".sock"), directory):
            paths = resolve_paths(name, self.environ)
            if str(paths.socket) == socket:
                return paths
        raise RingmasterError(
            ErrorKind.USAGE, f"the socket {socket} does not say where its state is", "name the instance: -s NAME|PATH"
        )

    def socket_path(self) -> str:
        """`-s`, then RMCTL_SOCKET, then the default instance."""
        from ringmaster.cli.locate import find_socket

        return self._bare_socket() or find_socket(self.instance, self.environ) or str(self.paths.socket)

    def _bare_socket(self) -> str:
        if self.instance:
            return os.path.abspath(self.instance) if self.instance.endswith(".sock") else ""
        named = self.environ.get("RMCTL_SOCKET", "")
        return os.path.abspath(named) if named else ""

    def command(self, words: str) -> str:
        """A command line that speaks to the same instance, for people to copy."""
        return f"rmctl -s {self.instance} {words}" if self.instance else f"rmctl {words}"

    def with_instance(self, text: str) -> str:
        """Words of the daemon with every `rmctl …` in them speaking to the same instance."""
        if not self.instance or f"rmctl -s {self.instance} " in text:
            return text
        return text.replace("rmctl -s ", "\0").replace("rmctl ", self.command("")).replace("\0", "rmctl -s ")

    def new_key(self) -> str:
        """An idempotency key for one mutation: the person's own (numbered from the second on), else a new one."""
        self._keys += 1
        if not self.idempotency_key:
            return os.urandom(16).hex()
        return self.idempotency_key if self._keys == 1 else f"{self.idempotency_key}/{self._keys}"

    def deadline(self) -> Deadline:
        """When `--timeout` is over, for commands that wait; never without it."""
        return Deadline(self.timeout_s)

    def client(self) -> Client:
        """The connection, made at its first use."""
        if self._client is None:
            from ringmaster.client import Client
            from ringmaster.client.reach import DEFAULT_NAME

            self._client = Client(self.socket_path(), name=self.instance or DEFAULT_NAME)
            if self.is_program:
                from ringmaster.client.interrupts import Interrupts

                self._client.interrupts = Interrupts()
        return self._client

    def call(self, method: str, params: object = None, *, is_unbounded: bool = False) -> Any:
        """Call a method; the result as plain JSON values.

        `--timeout` bounds it, else 30 s; is_unbounded: the daemon itself answers when it is time.

        Raises:
            RingmasterError: what the daemon or the way to it refused.
        """
        client = self.client()
        client.timeout_s = self.timeout_s or (None if is_unbounded else DEFAULT_TIMEOUT_S)
        if is_unbounded and self.timeout_s is not None:
            # The daemon keeps the time; a margin lets its answer through.
            client.timeout_s = self.timeout_s + 5.0
        return client.call(method, params, is_repeatable=method.endswith(READS))

    def stream(self, method: str, params: object, resume: Callable[[Row], Mapping[str, Any]]) -> Iterator[Row]:
        """Subscribe and yield items; a lost connection is taken up behind the last one. Close it early at will."""
        client = self.client()
        client.timeout_s = DEFAULT_TIMEOUT_S
        yield from client.stream(method, params, resume=resume)

    def feed(self, params: object) -> FeedReader:
        """The feed by `FeedSubscribeParams`; a lost connection is taken up behind the last mark."""
        from ringmaster.client.client import to_plain
        from ringmaster.client.feed import FeedReader

        client = self.client()
        client.timeout_s = DEFAULT_TIMEOUT_S
        return FeedReader(client, to_plain(params))

    @contextmanager
    def open_progress(self) -> Iterator[Progress]:
        """What is under way on stderr, for as long as the block goes on; nothing with -q, nor lines with `-o json`."""
        from ringmaster.cli.progress import is_drawn_on, open_progress

        is_drawn = is_drawn_on(sys.stderr, self.environ)
        is_silent = self.output.is_quiet or (self.output.is_json and not is_drawn)
        client, is_colour_off = self.client(), self.output.is_colour_off
        with open_progress(sys.stderr, self.environ, is_silent=is_silent, is_colour_off=is_colour_off) as progress:
            client.on_wait = progress.tick
            try:
                yield progress
            finally:
                client.on_wait = None

    def is_asked(self) -> bool:
        """Whether a person can be asked: stdin and stderr are terminals and nobody said yes beforehand."""
        return not self.is_yes and sys.stdin.isatty() and sys.stderr.isatty()

    def confirm(self, question: str) -> None:
        """Ask before something that cannot be taken back, where a person can be asked.

        Raises:
            RingmasterError: REFUSED when the answer is not yes.
        """
        if not self.is_asked():
            return
        import click

        try:
            is_sure = click.confirm(question, default=False, err=True)
        except click.Abort:
            is_sure = False
        if not is_sure:
            raise RingmasterError(ErrorKind.REFUSED, "not done", "say yes, or add -y")

    def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
