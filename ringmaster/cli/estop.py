"""`rmctl estop`: end every agent now. Works by files and signals, with or without a daemon."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from ringmaster.cli.command import top
from ringmaster.cli.instance import open_shims, wait_gone
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError

LOOK_S = 2.5
"""A shim looks for the ESTOP file every second and then kills its tree."""
TERM_S = 5.0


@top("estop", help="End every agent now, and start none until --clear. Needs no daemon.")
@click.option("--clear", "is_cleared", is_flag=True, help="Let work start again.")
def estop(session: Session, is_cleared: bool) -> None:
    """Write or remove the ESTOP file; wait until the agents have ended."""
    paths = session.paths
    if not paths.state.is_dir():
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no state at {paths.state}", "name the instance: -s NAME|PATH")
    if is_cleared:
        was_there = paths.estop.exists()
        _remove(paths.estop)
        return session.output.words("work may start again" if was_there else "there was no estop")
    _write(paths.estop)
    ended, left = end_shims(session)
    session.output.item(
        {"id": "estop", "ended": ended, "left": left},
        lambda: _told(ended, left, is_terminal=session.output.is_terminal),
    )
    session.output.words(f"nothing starts before: {session.command('estop --clear')}")
    if left:
        raise RingmasterError(
            ErrorKind.INTERNAL,
            f"{len(left)} shims do not end: {', '.join(map(str, left))}",
            f"look at them: ps -o pid,stat,wchan,args -p {','.join(map(str, left))}",
        )


def _told(ended: int, left: list[int], *, is_terminal: bool) -> str:
    if is_terminal:
        return f"agents and gates ended: {ended}\n" if ended or left else "no agent and no gate was at work\n"
    return f"ended\t{ended}\n" + "".join(f"left\t{pid}\n" for pid in left)


def _write(path: os.PathLike[str]) -> None:
    """The file alone is what counts; a full disk still has room for an empty one's name in most cases."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise RingmasterError(
            ErrorKind.INTERNAL, f"cannot write {os.fspath(path)}: {error.strerror}", "make room, then again"
        ) from error


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise RingmasterError(
            ErrorKind.INTERNAL, f"cannot remove {path}: {error.strerror}", "nothing starts before it is gone"
        ) from error


def end_shims(session: Session) -> tuple[int, list[int]]:
    """Wait for the shims to see the file, ask those that do not; how many ended, and the pids that did not."""
    shims = open_shims(session.paths.attempts)
    try:
        for shim in shims:
            # A shim that somebody stopped looks at nothing.
            shim.send(signal.SIGCONT)
        left = wait_gone(shims, LOOK_S)
        for shim in left:
            shim.send(signal.SIGTERM)
        left = wait_gone(left, TERM_S)
        return len(shims) - len(left), [shim.pid for shim in left]
    finally:
        for shim in shims:
            shim.close()
