"""`rmctl db …`: the database, with or without a daemon."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import click

import ringmaster
from ringmaster.cli.command import Group, verb
from ringmaster.cli.gc import size
from ringmaster.cli.output import Column, Row
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError

db = Group("db", help="The database: back it up, check it, say where it is.")

COPY = (Column("PATH", "path"), Column("SIZE", lambda row: size(row["bytes"])))


@verb(db, help="Where it is.")
def path(session: Session) -> None:
    """Print the path; needs neither daemon nor database."""
    row = {"path": str(session.paths.database)}
    session.output.rows([row], (Column("PATH", "path"),), id_of="path", is_headed=False)


@verb(db, help="Copy it to FILE, also while the daemon works on it. Nothing is ever overwritten.")
@click.argument("file")
def backup(session: Session, file: str) -> None:
    """Make a copy that is whole; into a directory under a name with the time."""
    if file in ("", "-"):
        # A variable that is not set, and stdout: neither is a place for a file of that name.
        raise RingmasterError(ErrorKind.USAGE, f"{file!r} is no file to copy to", "name a file or a directory")
    target = os.path.abspath(os.path.expanduser(file))
    if os.path.isdir(target):
        target = os.path.join(target, time.strftime("ringmaster-%Y%m%d-%H%M%S.db"))
    if _is_daemon_there(session):
        from ringmaster.protocol.database import DatabaseBackupParams

        params = DatabaseBackupParams(path=target, idempotency_key=session.new_key())
        made = session.call("database.backup", params, is_unbounded=True)
    else:
        made = ask_store("backup", str(session.paths.database), target)
    session.output.changed(made, COPY, id_of="path")


def _is_daemon_there(session: Session) -> bool:
    """Whether a daemon answers. Of one that hangs or dies at each start nothing is waited for, least of all now."""
    from ringmaster.cli.daemon import probe

    is_there = probe(session) is not None
    session.close()
    return is_there


@verb(db, help="Look through all of it. Exit code 1 when something is wrong.")
def check(session: Session) -> None:
    """Show what a look at every page, index and reference finds."""
    found: Row = (
        session.call("database.check", is_unbounded=True)
        if _is_daemon_there(session)
        else ask_store("check", str(session.paths.database))
    )
    row = {**found, "is_whole": not found["problems"]}
    session.output.item(row, lambda: _words(found), id_of="path")
    if found["min_code_schema"] > found["known_schema"]:
        raise RingmasterError(ErrorKind.INTERNAL, f"{found['path']}: {found['problems'][0]}", "use the newer version")
    if found["problems"]:
        raise RingmasterError(
            ErrorKind.INTERNAL,
            f"{found['path']} is damaged",
            f"keep it aside, stop the daemon ({session.command('daemon stop')}) and put a backup in its place",
        )


def _words(found: Row) -> str:
    facts = f"schema {found['schema']} of {found['known_schema']}, {size(found['bytes'])}, SQLite {found['sqlite']}"
    verdict = "whole: every page, index and reference" if not found["problems"] else "not well"
    return "".join(f"{line}\n" for line in (f"{found['path']}", f"{verdict} ({facts})", *found["problems"]))


def ask_store(*words: str) -> Row:
    """The answer of the store's own program: what knows the database is not loaded into rmctl.

    Raises:
        RingmasterError: what it refused.
    """
    # -P: a directory called ringmaster where one happens to stand is not the package.
    argv = [sys.executable, "-P", "-m", "ringmaster.store.copying", *words]
    environ = {**os.environ, "PYTHONPATH": str(Path(ringmaster.__file__).parent.parent)}
    done = subprocess.run(argv, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise RingmasterError(ErrorKind.INTERNAL, f"the look at the database failed: {said or 'no word'}") from None
    if "error" in answer:
        told = answer["error"]
        raise RingmasterError(ErrorKind(told["kind"]), told["message"], told["hint"])
    row: Row = answer
    return row
