"""`rmctl undo`: taking back the newest change, or a named one."""

from __future__ import annotations

import click

from ringmaster.cli.command import top
from ringmaster.cli.session import Session
from ringmaster.cli.task_layout import CHANGED, flat


@top("undo", help="Take back the newest change of a task: edit, cancel, dependency, hold, defer, close, reopen.")
@click.argument("target", required=False, default="", metavar="[EVENT|TASK]")
def undo(session: Session, target: str) -> None:
    """Undo a change: the newest of all, of one task, or that of an event (rmctl task history names them)."""
    from ringmaster.protocol.task_control import TaskUndoParams

    answer = session.call("task.undo", TaskUndoParams(target=target, idempotency_key=session.new_key()))
    row = (
        flat(answer["view"]) | {name: answer[name] for name in ("note", "others", "by_seq")} | {"undid": answer["seq"]}
    )
    session.output.changed(row, CHANGED, note=session.with_instance(answer["note"]))
