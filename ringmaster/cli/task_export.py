"""`rmctl task export`: give every task to another system, or to another instance."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import click

from ringmaster.cli import terminal
from ringmaster.cli.command import top
from ringmaster.cli.output import Row
from ringmaster.cli.page import Page
from ringmaster.cli.session import Session

WAYS = {
    "beads": "what a beads repository has as .beads/issues.jsonl",
    "jsonl": "a JSON object a line with every field",
}


@top(
    "export",
    help="Write every task as a file that rmctl task import takes to the same; to stdout without FILE. KIND: beads,"
    f" {WAYS['beads']}; jsonl, {WAYS['jsonl']}.",
)
@click.argument("kind", type=click.Choice(list(WAYS)))
@click.argument("file", required=False)
@click.option("-P", "--project", "project_id", default="", help="Of one project.")
def export(session: Session, kind: str, file: str | None, project_id: str) -> None:
    """Export to a file, which is replaced when the new one is whole, or to stdout."""
    if file is not None:
        found = _export(session, kind, os.path.abspath(file), project_id)
        session.output.item({"id": kind, **found}, lambda: _layout(session, found))
        return
    # The daemon writes files, from one state of the queue, and not down the socket.
    place = session.paths.state / f"export-{secrets.token_hex(8)}.jsonl"
    try:
        _export(session, kind, str(place), project_id)
        _copy_out(place)
    finally:
        place.unlink(missing_ok=True)


def _export(session: Session, kind: str, path: str, project_id: str) -> Row:
    from ringmaster.protocol.exporting import TaskExportParams

    params = TaskExportParams(kind=kind, path=path, project_id=project_id, idempotency_key=session.new_key())  # type: ignore[arg-type]
    found: Row = session.call("task.export", params, is_unbounded=True)
    for note in found["notes"]:
        session.output.words(terminal.one_line(note))
    if found["more_notes"]:
        session.output.words(f"and {found['more_notes']} more such lines")
    return found


def _copy_out(place: Path) -> None:
    with open(place, "rb") as file:
        while part := file.read(1 << 20):
            sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def _layout(session: Session, found: Row) -> str:
    page = Page(session.output)
    page.fact("tasks", found["tasks"])
    page.fact("file", found["path"])
    return page.done()
