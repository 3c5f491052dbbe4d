"""`rmctl wait`: until tasks have ended or need a person, with a line about what they do meanwhile."""

from __future__ import annotations

import time
from typing import Any

import click

from ringmaster.cli.command import top
from ringmaster.cli.output import Row
from ringmaster.cli.progress import Progress
from ringmaster.cli.session import Session
from ringmaster.cli.task_layout import CHANGED, flat
from ringmaster.model.errors import ErrorKind, RingmasterError

LOOK_S = 2.0
"""How long a look may take. It is there to be shown, and must not keep the end of the task from being seen."""


@top(
    "wait",
    help="Wait until each task has ended or needs a person. Exit code 0 when all are done, else 1. What it does "
    "meanwhile is told on stderr; -q: nothing.",
)
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
def wait(session: Session, ids: tuple[str, ...]) -> None:
    """Wait for tasks in turn; `--timeout` bounds them all together and ends with 124."""
    deadline = session.deadline()
    for number, id in enumerate(ids):
        with session.open_progress() as progress:
            # Which of them it is, where there are several.
            count = (number, len(ids)) if len(ids) > 1 else None
            waited = Watch(session, id, progress, count).wait(deadline.left_s())
        row = {**flat(waited["view"]), "is_over": waited["is_over"], "needs": waited["needs"]}
        session.output.changed(row, CHANGED)
        if not waited["is_over"]:
            raise RingmasterError(
                ErrorKind.TIMED_OUT, f"task {row['id']} is still {row['shown']}", f"rmctl wait {row['id']}"
            )
        if waited["needs"]:
            command = session.command(f"decision show {waited['needs']}")
            session.output.words(f"it needs you: {command}")
        if row["shown"] != "done":
            session.exit_code = 1


class Watch:
    """Waits for one task and shows what it does: `task.why` again, on a connection of its own, at each of its events.

    count: how many of how many tasks have been waited for, where there are several.
    """

    def __init__(self, session: Session, id: str, progress: Progress, count: tuple[int, int] | None) -> None:
        self._session = session
        self._id = id
        self._progress = progress
        self._count = count
        self._is_stale = False

    def wait(self, timeout_s: float | None) -> Row:
        """The answer of `task.wait`."""
        from ringmaster.protocol.task import TaskWaitParams

        params = TaskWaitParams(id=self._id, timeout_s=timeout_s)
        self._progress.step(f"{self._id}: waiting for it", count=self._count)
        if self._progress.is_silent:
            answer: Row = self._session.call("task.wait", params, is_unbounded=True)
            return answer
        client = self._session.client()
        # A subscription goes along with a new connection.
        client.close()
        client.hear("events.subscribe", {"task_id": self._id}, self._take)
        client.on_wait = self._tick
        answer = self._session.call("task.wait", params, is_unbounded=True)
        return answer

    def _take(self, event: Any) -> None:
        # However many come at once: one look shows what they came to.
        self._is_stale = True

    def _tick(self) -> float | None:
        if self._is_stale:
            self._is_stale = False
            self._look()
        return self._progress.tick()

    def _look(self) -> None:
        from ringmaster.client import Client

        try:
            with Client(self._session.socket_path(), timeout_s=LOOK_S) as client:
                row = client.call("task.why", {"id": self._id, "limit": 1})
        except RingmasterError:
            # Whatever it is, the waiting itself comes to it too.
            return
        if row["ending"] is not None:
            return
        ago_s, what = None, ""
        if row["doing"] is not None:
            what, since_at = row["doing"]["words"], row["doing"]["since_at"]
            ago_s = None if since_at is None else max(0.0, time.time() - since_at)
        elif row["obstacles"]:
            what = row["obstacles"][0]["words"]
        words = ": ".join(part for part in (row["id"], row["shown"], what) if part)
        self._progress.step(words, ago_s=ago_s, count=self._count)
