"""`rmctl worker run`: the loop of a worker in the foreground, which pulls and starts its agent below a shim."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import sleep
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

import click

from ringmaster.cli.command import top
from ringmaster.cli.inputs import split_words
from ringmaster.cli.output import Row
from ringmaster.cli.pull import wait_until_ready
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.worker import HAND

if TYPE_CHECKING:
    from ringmaster.cli.foreground import Foreground

T = TypeVar("T")

LEASE_S = 120.0
"""How long a task is held for a loop that has died before its agent was started."""
AWAY_PAUSES_S = (1.0, 2.0, 5.0)
LEAVING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130
LATER = (ErrorKind.NOTHING_TO_CLAIM, ErrorKind.REFUSED, ErrorKind.DISK_FULL)
"""Why a pull may be refused for now: waiting tells when it may be tried again, or that it never will."""


@top(
    "run",
    keeps_rest=True,
    help="Be a worker in this terminal: pull tasks, run its agent on each, again and again. Ctrl-C finishes the one at "
    "hand, a second one stops it and hands it back. What follows -- is the program of a new worker.",
)
@click.argument("name")
@click.option("-a", "--agent", default="", help="The agent of a new worker.")
@click.option("-P", "--project", "project_id", default="", help="Only tasks of this project, for a new worker.")
@click.option("--cap", "capabilities", multiple=True, metavar="WORD", help="A capability of a new worker; repeatable.")
@click.option("--once", "is_once", is_flag=True, help="Leave after one task.")
def run(
    session: Session,
    name: str,
    agent: str,
    project_id: str,
    capabilities: tuple[str, ...],
    is_once: bool,
    rest: tuple[str, ...],
) -> None:
    """Run a worker."""
    ensure_worker(session, name, agent, rest, project_id, split_words(capabilities))
    loop = Loop(session, name)
    with loop.catching_signals():
        session.exit_code = loop.run(is_once=is_once)


def ensure_worker(
    session: Session,
    name: str,
    agent: str,
    command: tuple[str, ...],
    project_id: str,
    capabilities: tuple[str, ...],
) -> None:
    """Make the worker if it is not there; one that is there must be what was asked for.

    Raises:
        RingmasterError: USAGE for a new one without an agent; CONFLICT for one that is another.
    """
    from ringmaster.protocol.worker import WorkerIdParams, WorkerSpawnParams

    kind = agent or ("command" if command else "")
    try:
        known = session.call("worker.show", WorkerIdParams(id=name))["worker"]
    except RingmasterError as error:
        if error.kind is not ErrorKind.NOT_FOUND:
            raise
        known = None
    if known is None or known["id"] != name:
        refuse_hand(kind, name)
        if not kind:
            raise RingmasterError(
                ErrorKind.USAGE,
                f"there is no worker {name} yet, and nothing says what it runs",
                f"rmctl worker run {name} --agent claude, or: rmctl worker run {name} -- PROGRAM ARG…",
            )
        params = WorkerSpawnParams(
            id=name,
            agent=kind,
            command=command,
            project_id=project_id,
            capabilities=capabilities,
            is_pulled=True,
            idempotency_key=session.new_key(),
        )
        session.call("worker.spawn", params)
        return
    if (kind and kind != known["agent"]) or (command and list(command) != known["command"]):
        raise RingmasterError(
            ErrorKind.CONFLICT,
            f"worker {name} is there and runs {' '.join((known['agent'], *known['command']))}",
            f"rmctl worker run {name}, or choose another name",
        )


def refuse_hand(agent: str, name: str) -> None:
    """Refuse to run what is no program. Raises USAGE."""
    if agent == HAND:
        raise RingmasterError(
            ErrorKind.USAGE,
            f"{HAND} is a person or a script that pulls for itself: there is no agent to run",
            f"rmctl pull --worker {name or 'NAME'}; to run an agent: --agent claude",
        )


class Loop:
    """Pulls and runs until it is told to leave.

    The daemon may go away meanwhile: what runs goes on, and the loop waits for it to come back.
    """

    def __init__(self, session: Session, name: str) -> None:
        self.session = session
        self.name = name
        self.signals: list[int] = []
        self._is_over = False
        self._is_waiting = False
        self._job: Foreground | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether to leave at once: Ctrl-C twice, or told to end."""
        return len(self.signals) > 1 or any(number != signal.SIGINT for number in self.signals)

    @contextmanager
    def catching_signals(self) -> Iterator[None]:
        """While inside, signals say when to leave."""
        # Under nohup a closed terminal is no reason to leave.
        heard = [number for number in LEAVING if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._on_signal) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)
        if self._job is not None:
            words = "stops it and hands it back" if self.is_stopped else "finishes this one; again to stop it now"
            # Not by sys.stderr, which may be in the middle of a line of its own.
            os.write(2, f"worker {self.name} {words}\n".encode())
            if self.is_stopped:
                self._job.stop()
        elif self._is_waiting or self.is_stopped:
            raise KeyboardInterrupt

    def run(self, *, is_once: bool) -> int:
        """The exit code it leaves with."""
        try:
            while not self.signals and not self._is_over:
                pulled = self._pull()
                if pulled is None:
                    continue
                self._work(pulled)
                if is_once:
                    break
        except KeyboardInterrupt:
            # Nothing was at hand.
            return self._exit_code(is_idle=True)
        return self._exit_code(is_idle=False)

    def _exit_code(self, *, is_idle: bool) -> int:
        if not self.signals or (is_idle and self.signals[-1] == signal.SIGINT) or not self.is_stopped:
            return 0
        ended = next((number for number in self.signals if number != signal.SIGINT), signal.SIGINT)
        return 128 + ended if ended != signal.SIGINT else INTERRUPTED

    def _pull(self) -> Row | None:
        """A task, or None when it is time to look again."""
        from ringmaster.protocol.attempt import AttemptPullParams

        with self._waiting():
            self._wait_for_seat()
        key = self.session.new_key()
        params = AttemptPullParams(worker=self.name, lease_s=LEASE_S, is_run=True, idempotency_key=key)
        try:
            pulled: Row = self._patiently(lambda: self.session.call("attempt.pull", params, is_unbounded=True))
            return pulled
        except RingmasterError as error:
            if error.kind not in LATER:
                raise
            if error.kind is not ErrorKind.NOTHING_TO_CLAIM:
                self.session.output.words(f"worker {self.name} waits: {error.message}")
        try:
            with self._waiting():
                self._patiently(lambda: wait_until_ready(self.session, self.name, None))
        except RingmasterError as error:
            if error.kind is not ErrorKind.REFUSED:
                raise
            self.session.output.words(error.message)
            self._is_over = True
        return None

    def _wait_for_seat(self) -> None:
        """Until what was begun for this worker before has been judged, whoever began it."""
        from ringmaster.protocol.worker import WorkerWaitParams

        params = WorkerWaitParams(id=self.name, is_seat_enough=True)
        self._patiently(lambda: self.session.call("worker.wait", params, is_unbounded=True))

    def _work(self, pulled: Row) -> None:
        from ringmaster.cli.foreground import Foreground

        self.session.output.words(f"{pulled['attempt']}  {pulled['title']}")
        job = Foreground(self.session, pulled)
        if job.start():
            self._job = job
            try:
                if self.is_stopped:
                    job.stop()
                job.wait()
            finally:
                self._job = None
        if not self.is_stopped:
            self._wait_for_seat()
            self._tell(pulled["attempt"])

    def _tell(self, attempt_id: str) -> None:
        """Say what became of it."""
        from ringmaster.protocol.attempt import AttemptIdParams

        row = self._patiently(lambda: self.session.call("attempt.show", AttemptIdParams(id=attempt_id)))
        became = f"{row['outcome']}: {row['reason']}" if row["outcome"] else f"{row['state']}: gate and landing follow"
        self.session.output.words(f"{attempt_id}  {became}")

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """While inside, a signal ends the loop at once: nothing is at hand that could be lost."""
        self._is_waiting = True
        try:
            if self.signals:
                raise KeyboardInterrupt
            yield
        finally:
            self._is_waiting = False

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call, and while the daemon is away wait for it to come back: nobody looks after this loop."""
        tries = 0
        while True:
            try:
                return call()
            except RingmasterError as error:
                if error.kind not in (ErrorKind.UNREACHABLE, ErrorKind.STOPPING) or self.signals:
                    raise
                if not tries:
                    self.session.output.words(f"worker {self.name} waits for the daemon: {error.message}")
            self.session.close()
            sleep(AWAY_PAUSES_S[min(tries, len(AWAY_PAUSES_S) - 1)])
            tries += 1
