"""`rmctl attempt …`."""

from __future__ import annotations

import click

from ringmaster.cli import terminal
from ringmaster.cli.attempt_layout import ATTEMPTS, layout
from ringmaster.cli.command import Group, verb
from ringmaster.cli.session import Session

attempt = Group("attempt", help="Starts of an agent on a task.", aliases={"ls": "list"})


@verb(attempt, "list", help="Attempts, the newest first; of one task if named.")
@click.argument("task_id", required=False, default="", metavar="[TASK]")
@click.option("--live", "is_live", is_flag=True, help="Only those that have not ended.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=100, help="At most so many. [100]")
def list_(session: Session, task_id: str, is_live: bool, limit: int) -> None:
    """List attempts."""
    from ringmaster.protocol.attempt import AttemptListParams

    found = session.call("attempt.list", AttemptListParams(task_id=task_id, is_live=is_live, limit=limit))
    session.output.rows(found["attempts"], ATTEMPTS, empty="no attempts")


@verb(attempt, help="All about one attempt: TASK/NUMBER, or TASK for its newest.")
@click.argument("id")
def show(session: Session, id: str) -> None:
    """Show an attempt."""
    show_attempt(session, id)


def show_attempt(session: Session, id: str) -> None:
    """Show an attempt; also what `rmctl show TASK/N` does."""
    from ringmaster.protocol.attempt import AttemptIdParams

    row = session.call("attempt.show", AttemptIdParams(id=id))
    session.output.item(row, lambda: layout(session, row))


@verb(attempt, help="What an attempt was told: TASK/NUMBER, or TASK for its newest. Keys are left out.")
@click.argument("id")
def prompt(session: Session, id: str) -> None:
    """Print the prompt that was sent."""
    from ringmaster.protocol.attempt import AttemptIdParams

    found = session.call("attempt.prompt_sent", AttemptIdParams(id=id))
    session.output.item(found, lambda: terminal.harmless(found["prompt"]), id_of="attempt_id")
    if found["is_truncated"] and not session.output.is_json:
        session.output.words(f"the prompt is longer than this; whole: {found['file']}")
