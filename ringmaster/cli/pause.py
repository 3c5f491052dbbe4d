"""`rmctl pause|resume`: giving out nothing new, of one project or at all, and giving out again."""

from __future__ import annotations

import click

from ringmaster.cli.command import top
from ringmaster.cli.output import Column
from ringmaster.cli.session import Session


@top("pause", help="Give out nothing new; what runs goes on. See also: worker cordon, task hold.")
@click.option("-P", "--project", "project_id", default="", help="Only of this project.")
@click.option("-m", "--message", default="", help="Why, for whoever looks at the status.")
def pause(session: Session, project_id: str, message: str) -> None:
    """Pause the queue, or one project."""
    from ringmaster.protocol.queue import QueuePauseParams

    params = QueuePauseParams(project_id=project_id, message=message, idempotency_key=session.new_key())
    _say(session, "queue.pause", params, project_id, "paused")


@top("resume", help="Give out again.")
@click.option("-P", "--project", "project_id", default="", help="Of this project.")
def resume(session: Session, project_id: str) -> None:
    """Resume the queue, or one project."""
    from ringmaster.protocol.queue import QueueResumeParams

    params = QueueResumeParams(project_id=project_id, idempotency_key=session.new_key())
    _say(session, "queue.resume", params, project_id, "active")


def _say(session: Session, method: str, params: object, project_id: str, state: str) -> None:
    answer = session.call(method, params)
    row = {"id": project_id or "queue", "state": state, **answer}
    session.output.changed(
        row, (Column("ID", "id"), Column("STATE", "state")), note=session.with_instance(answer["note"])
    )
