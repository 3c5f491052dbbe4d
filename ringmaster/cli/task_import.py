"""`rmctl task import`: take over the tasks of another system."""

from __future__ import annotations

import os

import click

from ringmaster.cli import terminal
from ringmaster.cli.command import top
from ringmaster.cli.gc import size
from ringmaster.cli.output import Row
from ringmaster.cli.page import Page
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError


@top(
    "import",
    help="Take over another system's tasks with their ids. KIND: ringmaster, the original's SQLite database; beads, the"
    " .beads/issues.jsonl of a beads repository; jsonl, what rmctl task export jsonl writes.",
)
@click.argument("kind", type=click.Choice(["ringmaster", "beads", "jsonl"]))
@click.argument("file")
@click.option("-P", "--project", "project_id", default="", help="Where everything goes that --map does not name.")
@click.option(
    "--map",
    "named",
    multiple=True,
    metavar="NAME=PROJECT",
    help="A project there (a prefix of ids) is this one; '-': none.",
)
@click.option("--drop-circles", "is_dropping_circles", is_flag=True, help="Leave out what closes a circle.")
@click.option("-n", "--dry-run", "is_dry_run", is_flag=True, help="Say what would be taken, change nothing.")
def import_(
    session: Session,
    kind: str,
    file: str,
    project_id: str,
    named: tuple[str, ...],
    is_dropping_circles: bool,
    is_dry_run: bool,
) -> None:
    """Import, and say what was taken and what could not be taken as it was."""
    from ringmaster.protocol.importing import TaskImportParams

    params = TaskImportParams(
        kind=kind,  # type: ignore[arg-type]
        path=os.path.abspath(file),
        project_id=project_id,
        projects=dict(_split(word) for word in named),
        is_dropping_circles=is_dropping_circles,
        is_dry_run=is_dry_run,
        idempotency_key=session.new_key(),
    )
    with session.open_progress() as progress:
        progress.step(f"{'looking through' if is_dry_run else 'taking over'} {os.path.basename(file)}{_size(file)}")
        found = session.call("task.import", params, is_unbounded=True)
    session.output.item({"id": kind, **found}, lambda: _layout(session, found))
    for note in found["notes"]:
        session.output.words(terminal.one_line(note))
    if found["more_notes"]:
        session.output.words(f"and {found['more_notes']} more such lines")
    if is_dry_run or not found["new"]:
        session.output.words("nothing was changed" if is_dry_run else "nothing is new, so nothing was changed")


def _size(file: str) -> str:
    """How big a file is. The daemon reads it, which may see another file there, or this one where we see none."""
    try:
        return f", {size(os.stat(file).st_size)}"
    except OSError:
        return ""


def _split(word: str) -> tuple[str, str]:
    name, equals, project_id = word.rpartition("=")
    if not (name and equals and project_id):
        raise RingmasterError(ErrorKind.USAGE, f"--map {word!r} is not NAME=PROJECT", "--map 'My shop=shop'")
    return name, project_id


def _layout(session: Session, found: Row) -> str:
    page = Page(session.output)
    states = ", ".join(f"{count} {state}" for state, count in found["states"].items())
    page.fact("new tasks", f"{found['new']} ({states})" if states else "0")
    page.fact("there already", found["there_already"])
    if found["changed_there"]:
        page.fact("changed there", f"{found['changed_there']}, which stay as they are here")
    page.fact("dependencies", found["dependencies"])
    page.fact("decisions", found["decisions"])
    if found["comments"]:
        page.fact("comments", found["comments"])
    for there, here in found["projects"].items():
        page.fact("project", f"{terminal.one_line(there)} -> {'left out' if here == '-' else here}")
    return page.done()
