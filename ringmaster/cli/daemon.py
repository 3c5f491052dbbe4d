"""`rmctl daemon …`: start, stop and look after the daemon."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

import click

import ringmaster
from ringmaster.cli import instance
from ringmaster.cli.command import Group, verb
from ringmaster.cli.output import Row
from ringmaster.cli.page import Page
from ringmaster.cli.session import Deadline, Session
from ringmaster.model.errors import EXIT_CODES, ErrorKind, RingmasterError

daemon = Group("daemon", help="Start, stop and look after the daemon.")

Mode = Literal["drain", "abort"]
PACKAGE = Path(ringmaster.__file__).parent
START_S = 60.0
STOP_S = 30.0
LOOK_S = 2.0
ANSWER_S = 5.0
"""How long `status` and `stop` wait for an answer before they take the daemon for silent."""
HELD = 75
DEATH = b": the daemon ended with "
"""What the keeper writes into the daemon's log at every end that was not asked for."""


def daemon_argv(session: Session) -> list[str]:
    """The command line of the daemon: the checkout's stub, else the installed package."""
    stub = PACKAGE.parent / "bin" / "ringmasterd"
    program = [str(stub)] if stub.exists() else [sys.executable, "-I", str(PACKAGE / "_bin" / "ringmasterd")]
    return [*program, "-s", session.paths.name]


def find_health(session: Session, timeout_s: float | None = None) -> Row | None:
    """The daemon's health, None when none answers."""
    before, session.timeout_s = session.timeout_s, timeout_s or session.timeout_s
    try:
        found: Row = session.call("daemon.health")
        return found
    except RingmasterError as error:
        if error.kind is ErrorKind.UNREACHABLE:
            return None
        raise
    finally:
        session.timeout_s = before


def probe(session: Session) -> Row | None:
    """The daemon's health; None also when it takes the connection and does not answer in time."""
    try:
        return find_health(session, session.timeout_s or ANSWER_S)
    except RingmasterError as error:
        if error.kind is ErrorKind.TIMED_OUT:
            return None
        raise


@verb(daemon, help="Start the daemon with a keeper that restarts it; mends a missing keeper. No error when it runs.")
def start(session: Session) -> None:
    """Start the daemon, or say that it runs."""
    start_instance(session)


def start_instance(session: Session) -> None:
    """Start the keeper and wait until the daemon answers; give a running daemon the keeper it lacks.

    Raises:
        RingmasterError: what the keeper refused, or the last words of a daemon that dies at every start.
    """
    found = find_health(session)
    if found is not None:
        return _keep(session, found)
    from ringmaster.cli.service import find_unit
    from ringmaster.settings import load_settings

    load_settings(session.paths.config)
    unit = find_unit(session)
    if unit is not None:
        # Two who start it would fight for the state, and for the place of the socket.
        raise _is_systemds(f"systemctl --user start {unit.socket_name} {unit.service_name}")
    log = session.paths.state / "daemon.log"
    log_start = log.stat().st_size if log.exists() else 0
    is_new = _start_keeper(session)
    if not is_new:
        _refuse_lost_socket(session)
    found = _wait_for_answer(session, log, log_start)
    _show(session, found)
    session.output.words("started" if is_new else "already running")


def _keep(session: Session, found: Row) -> None:
    if not found["is_kept"]:
        kept = session.call("daemon.keep")
        found = {**found, "is_kept": True}
        session.output.words(f"it was unkept; now keeper {kept['keeper_pid']} looks after it")
    else:
        session.output.words("already running")
    _show(session, found)


def _start_keeper(session: Session) -> bool:
    """Run the keeper, which goes into the background after its one line. False when the state is held already."""
    paths = session.paths
    keeper = [sys.executable, "-I", "-S", str(PACKAGE / "proc" / "keeper.py")]
    argv = [*keeper, str(paths.state), "--socket", str(paths.socket), "--", *daemon_argv(session)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode == 0:
        return True
    if done.returncode == HELD:
        return False
    said = (done.stdout or done.stderr).decode(errors="replace").strip().rpartition("\n")[2]
    raise RingmasterError(ErrorKind.INTERNAL, f"the keeper did not start: {said.removeprefix('error: ')}")


def _refuse_lost_socket(session: Session) -> None:
    """Whoever holds the state listens by the time that it is found held: without a socket file nobody can come."""
    if session.paths.socket.exists():
        return
    holders = instance.open_holders(session.paths.state)
    names = " and ".join(f"{holder.role} {holder.pid}" for holder in holders)
    for holder in holders:
        holder.close()
    if names:
        raise RingmasterError(
            ErrorKind.UNREACHABLE,
            f"there is {names}, but the socket {session.paths.socket} was deleted",
            f"agents go on meanwhile: {session.command('daemon restart')}",
        )


def _wait_for_answer(session: Session, log: Path, log_start: int) -> Row:
    """The first answer. The keeper listens already, so the request waits in the socket; a daemon that dies at
    its start is told by the log, as soon as it has died twice."""
    deadline = Deadline(session.timeout_s or START_S)
    while True:
        try:
            left = deadline.left_s() or 0.001
            found = find_health(session, min(left, LOOK_S))
            if found is not None:
                return found
            raise RingmasterError(ErrorKind.UNREACHABLE, "the daemon ended as soon as it started", _log_hint(log))
        except RingmasterError as error:
            if error.kind is not ErrorKind.TIMED_OUT:
                raise
            said = _read_from(log, log_start)
            if said.count(DEATH) >= 2:
                raise _died(log, said) from None
            if not deadline.left_s():
                raise


def _log_hint(log: Path) -> str:
    return f"its log says why: {log}"


def _read_from(log: Path, start: int) -> bytes:
    try:
        with open(log, "rb") as file:
            file.seek(start)
            return file.read(1 << 20)
    except OSError:
        return b""


def _died(log: Path, said: bytes) -> RingmasterError:
    own = [line for line in said.decode(errors="replace").splitlines() if " keeper " not in line and line.strip()]
    last = own[-1].strip() if own else "it said nothing"
    return RingmasterError(
        ErrorKind.UNREACHABLE, f"the daemon dies at every start: {last}", f"{_log_hint(log)}; then: rmctl daemon stop"
    )


def _show(session: Session, found: Row) -> None:
    session.output.item({"id": session.paths.name, **found}, lambda: _layout(session, found))


def _layout(session: Session, found: Row) -> str:
    page = Page(session.output)
    kept = "kept" if found["is_kept"] else "unkept"
    page.title(
        session.paths.name, found["state"], "" if found["state"] == "ok" else session.with_instance(found["words"])
    )
    page.fact("pid", found["pid"])
    if found.get("unit"):
        page.fact("unit", f"{found['unit']}, which starts it again")
    else:
        page.fact("keeper", kept if found["is_kept"] else f"none; mend it: {session.command('daemon start')}")
    page.fact("started", page.at(found["started_at"]))
    page.fact("socket", session.socket_path())
    page.fact("log", _log_place(session, found))
    return page.done()


def _systemctl(found: Row) -> str:
    return "systemctl --user" if found["is_user_unit"] else "systemctl"


def _log_place(session: Session, found: Row) -> object:
    if found.get("unit"):
        return f"journalctl {'--user ' if found['is_user_unit'] else ''}-u {found['unit']}"
    return session.paths.state / "daemon.log" if found["is_kept"] else ""


@verb(daemon, help="Whether it runs, its pid, whether a keeper looks after it. Exit code 3 when it is down.")
def status(session: Session) -> None:
    """Show the daemon; a daemon that is down is said on stdout too, for scripts that read it."""
    found = probe(session)
    if found is not None:
        return _show(session, found)
    holders = instance.open_holders(session.paths.state)
    words = "not running"
    if holders:
        names = " and ".join(f"{holder.role} {holder.pid}" for holder in holders)
        words = f"there is {names}, but nobody answers; log: {session.paths.state / 'daemon.log'}"
    for holder in holders:
        holder.close()
    is_kept = any(holder.role == "keeper" for holder in holders)
    row = {"id": session.paths.name, "state": "down", "words": words, "pid": None, "is_kept": is_kept}

    def layout() -> str:
        page = Page(session.output)
        page.title(session.paths.name, "down", words)
        page.fact("next", session.command("daemon start"))
        return page.done()

    session.output.item(row, layout)
    session.exit_code = EXIT_CODES[ErrorKind.UNREACHABLE]


@verb(daemon, help="Stop daemon and keeper; agents at work go on and are taken up again at the next start.")
@click.option("--abort", "is_abort", is_flag=True, help="End the attempts first; their tasks go back on the queue.")
def stop(session: Session, is_abort: bool) -> None:
    """Stop, and return when both processes are gone."""
    if is_abort:
        session.confirm("end every attempt that is under way?")
    stop_instance(session, "abort" if is_abort else "drain")


def stop_instance(session: Session, mode: Mode) -> None:
    """Ask the daemon to stop and wait for its end and its keeper's, by pidfd.

    Raises:
        RingmasterError: TIMED_OUT when one is still there.
    """
    found = probe(session)
    if found is not None and found.get("unit"):
        socket = found["unit"].removesuffix(".service") + ".socket"
        raise _is_systemds(f"{_systemctl(found)} stop {socket} {found['unit']}")
    processes = instance.open_holders(session.paths.state)
    try:
        if found is not None:
            _ask_to_stop(session, mode)
        elif processes:
            # Between two starts, or hanging: the keeper, which comes first, passes the signal on.
            processes[0].send(signal.SIGTERM)
        else:
            return session.output.words("not running")
        left = instance.wait_gone(processes, session.timeout_s or STOP_S)
    finally:
        for process in processes:
            process.close()
    if left:
        names = ", ".join(f"{process.role} {process.pid}" for process in left)
        raise RingmasterError(
            ErrorKind.TIMED_OUT, f"still there: {names}", f"its log: {session.paths.state / 'daemon.log'}"
        )
    session.output.words("stopped")


def _is_systemds(command: str) -> RingmasterError:
    """Stopped by anyone else the daemon would be started again at once: that is what the unit is for."""
    return RingmasterError(ErrorKind.REFUSED, "systemd starts and stops this daemon", command)


def _ask_to_stop(session: Session, mode: Mode) -> None:
    from ringmaster.protocol.daemon import StopParams

    stopping = session.call("daemon.stop", StopParams(mode=mode, idempotency_key=session.new_key()))
    if live := stopping["live_attempts"]:
        going = "1 attempt goes on without it; the next start takes it up"
        session.output.words(going if live == 1 else f"{live} attempts go on without it; the next start takes them up")


@verb(daemon, help="Stop and start. Agents at work do not notice.")
def restart(session: Session) -> None:
    """Stop if it runs, then start."""
    found = probe(session)
    if found is not None and found.get("unit"):
        raise _is_systemds(f"{_systemctl(found)} restart {found['unit']}")
    from ringmaster.settings import load_settings

    # Before the stop: settings that keep it from starting must not cost the daemon that runs.
    load_settings(session.paths.config)
    stop_instance(session, "drain")
    session.close()
    start_instance(session)


@verb(daemon, help="Run in the foreground, without a keeper: nothing restarts it.")
def run(session: Session) -> None:
    """Become the daemon."""
    argv = daemon_argv(session)
    session.output.words("in the foreground, without a keeper: nothing restarts it (with one: rmctl daemon start)")
    sys.stdout.flush()
    os.execv(argv[0], argv)
