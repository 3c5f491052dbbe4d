"""`rmctl task comment`: say something about a task."""

from __future__ import annotations

import click

from ringmaster.cli.command import top
from ringmaster.cli.inputs import read_text
from ringmaster.cli.session import Session
from ringmaster.cli.task_layout import CHANGED, flat
from ringmaster.model.errors import ErrorKind, RingmasterError


@top("comment", help="Say something about a task; rmctl task show has it. TEXT: words, or - for stdin.")
@click.argument("id")
@click.argument("text")
def comment(session: Session, id: str, text: str) -> None:
    """Comment on a task and show its row."""
    from ringmaster.protocol.comment import TaskCommentParams

    words = read_text(text, None)
    if not words.strip():
        raise RingmasterError(ErrorKind.USAGE, "the comment is empty", session.command(f"task comment {id} TEXT"))
    params = TaskCommentParams(id=id, text=words, idempotency_key=session.new_key())
    answer = session.call("task.comment", params)
    session.output.changed(flat(answer["view"]) | {"note": answer["note"]}, CHANGED, note=answer["note"])
