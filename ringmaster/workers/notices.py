"""Telling people of new questions by a command of theirs: a desktop's notice, a mail, a chat."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import trio

from ringmaster.model.decision import Decision
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.states import DecisionState
from ringmaster.queue.defaults import NOTICES
from ringmaster.store import cursors, decisions, events
from ringmaster.store.connection import Connection
from ringmaster.workers.surroundings import Surroundings

log = logging.getLogger("ringmaster.notices")
WAKING = ("decision.opened", "settings.reloaded")
SAID_BYTES = 4096
REAP_S = 5.0
_NOT_HANDED = ("RM_", "RMCTL_", "LISTEN_", "WATCHDOG_", "NOTIFY_SOCKET", "RINGMASTER_")


class Notice(msgspec.Struct, frozen=True):
    """A question that nobody has been told of. decision: None where it needs no telling any more."""

    seq: int
    decision: Decision | None


class Notices:
    """Tells of each new question once, in order, one at a time. Made once; `run` is its life.

    on_told: called after each. How far it has come is a cursor in the store: what a daemon did not finish telling is
    told by the next one, so twice at most where it ended meanwhile.
    """

    def __init__(self, sur: Surroundings, on_told: Callable[[], None]) -> None:
        self._sur = sur
        self._on_told = on_told
        self._cursor = -1

    async def run(self) -> None:
        """Tell until cancelled; a command that runs then is ended, and its question not taken for told."""
        with self._sur.bus.open_subscription(_wakes) as waking:
            while True:
                try:
                    await self._tell_all()
                except RingmasterError as error:
                    # The disk is full: the next question, or the next start, finds the cursor where it was.
                    if error.kind is not ErrorKind.DISK_FULL:
                        raise
                    log.warning("who is told of questions could not be noted: %s", error.message)
                await waking.receive_batch()

    async def _tell_all(self) -> None:
        sur = self._sur
        while True:
            settings = sur.settings.daemon
            if not settings.on_decision:
                if await sur.store.read(cursors.read_cursor, NOTICES) is not None:
                    await sur.store.write(cursors.drop_cursor, NOTICES)
                    self._on_told()
                self._cursor = -1
                return
            if self._cursor < 0:
                self._cursor = await sur.store.write(begin_telling)
            notice = await sur.store.read(next_notice, self._cursor)
            if notice is None:
                return
            if notice.decision is not None:
                document = document_of(notice.decision, sur.paths.name)
                failure = await run_command(settings.on_decision, document, settings.on_decision_limit_s)
                if failure:
                    log.warning("on_decision for %s: %s", notice.decision.id, failure)
            # In this process it is told, whether or not that can be written down.
            self._cursor = notice.seq
            await sur.store.write_essential(cursors.write_cursor, NOTICES, notice.seq)
            self._on_told()


def _wakes(event: Event) -> bool:
    return event.type in WAKING


def begin_telling(conn: Connection) -> int:
    """The cursor; where there is none people are told of what is asked from now on."""
    cursor = cursors.read_cursor(conn, NOTICES)
    if cursor is None:
        cursor = events.last_seq(conn)
        cursors.write_cursor(conn, NOTICES, cursor)
    return cursor


def next_notice(conn: Connection, cursor: int) -> Notice | None:
    """The first question after the cursor; one that was answered or withdrawn meanwhile needs no telling."""
    for seq, decision_id in events.asked_after(conn, cursor, 1):
        decision = decisions.salvaged_by_id(conn, decision_id)
        return Notice(seq, decision if decision.state is DecisionState.OPEN else None)
    return None


def document_of(decision: Decision, instance: str) -> bytes:
    """What the command reads: the decision as `decision.show` has it, and `command`, which answers it."""
    name = "" if instance == "default" else f"-s {shlex.quote(instance)} "
    answers = "|".join(decision.options) or "WORDS"
    fields: dict[str, Any] = msgspec.to_builtins(decision)
    return msgspec.json.encode(fields | {"command": f"rmctl {name}decision answer {decision.id} {answers}"}) + b"\n"


def environment_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The daemon's own environment without what is about the daemon: a desktop's and a mailer's variables are in it."""
    return {name: value for name, value in environ.items() if not name.startswith(_NOT_HANDED)}


async def run_command(argv: Sequence[str], document: bytes, limit_s: float) -> str:
    """Run a command in a session of its own with a document as its stdin; in words what went wrong, '' for nothing.

    What it left running in its process group is killed, also after the limit and when cancelled.
    """
    try:
        process = await trio.lowlevel.open_process(
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd="/",
            env=environment_of(os.environ),
            start_new_session=True,
        )
    except OSError as error:
        return f"{argv[0]}: {error.strerror}"
    said = bytearray()
    is_in_time = False
    try:
        with trio.move_on_after(limit_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_feed, process, document)
                nursery.start_soon(_listen, process, said)
                await _wait_exit(process)
                is_in_time = True
                nursery.cancel_scope.cancel()
    finally:
        # Not reaped yet, so the number of its group is nobody else's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + REAP_S):
            await process.wait()
        for stream in (process.stdin, process.stderr):
            if stream is not None:
                await trio.aclose_forcefully(stream)
    if not is_in_time:
        return f"{argv[0]} took more than {limit_s:g} s and was ended"
    if process.returncode == 0:
        return ""
    words = " ".join(said.decode("utf-8", "replace").split())[-300:]
    return f"{argv[0]} ended with {process.returncode}" + (f": {words}" if words else "")


async def _feed(process: trio.Process, document: bytes) -> None:
    assert process.stdin is not None
    # It need not read.
    with contextlib.suppress(trio.BrokenResourceError):
        await process.stdin.send_all(document)
    await process.stdin.aclose()


async def _listen(process: trio.Process, said: bytearray) -> None:
    """Read all it says, so that it never waits, and keep the beginning."""
    assert process.stderr is not None
    while data := await process.stderr.receive_some(SAID_BYTES):
        said += data[: SAID_BYTES - len(said)]


async def _wait_exit(process: trio.Process) -> None:
    """Until it is dead, without reaping it."""
    pidfd = os.pidfd_open(process.pid)
    try:
        await trio.lowlevel.wait_readable(pidfd)
    finally:
        os.close(pidfd)
