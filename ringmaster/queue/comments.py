"""What people say about tasks."""

from __future__ import annotations

from ringmaster.model.comment import Comment
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store import comments, standings
from ringmaster.store.connection import Connection


def add_comment(conn: Connection, task_id: str, text: str, *, actor: str) -> None:
    """Keep what was said about a task.

    Raises:
        RingmasterError: NOT_FOUND; USAGE for no words.
    """
    words = text.strip()
    if not words:
        raise RingmasterError(ErrorKind.USAGE, "the comment is empty", f"rmctl task comment {task_id} TEXT")
    project_id = standings.standing_of(conn, task_id).project_id
    comments.insert_comments(conn, task_id, [Comment(actor, words, conn.now)])
    conn.emit("task.commented", project_id=project_id, task_id=task_id, actor=actor, data={"text": words[:500]})
