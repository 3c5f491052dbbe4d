"""Rows of what was said about tasks."""

from __future__ import annotations

from collections.abc import Iterable

from ringmaster.model.comment import Comment
from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import decoder

queries = load_queries("comments")
decode_comment = decoder(Comment)


def insert_comments(conn: Connection, task_id: str, comments: Iterable[Comment]) -> None:
    """Store what was said about a task, in this order."""
    conn.executemany(queries.insert, ((task_id, one.author, one.text, one.at) for one in comments))


def comments_of(conn: Connection, task_id: str) -> list[Comment]:
    """What was said about a task, the oldest first."""
    return decode_comment.all(conn.rows(queries.of_task, (task_id,)))
