"""Pausing: nothing new is given out, of one project or at all, and what runs goes on."""

from __future__ import annotations

from ringmaster.model.states import ProjectState
from ringmaster.queue.decide import resume_project
from ringmaster.queue.lookup import resolve_project
from ringmaster.queue.obstacles import PAUSED_BY_PERSON
from ringmaster.store import pauses, projects
from ringmaster.store.connection import Connection


def pause(conn: Connection, project: str = "", *, message: str = "", actor: str) -> str:
    """Give out none of a project's tasks, or with '' none at all; in words what that means.

    Raises:
        RingmasterError: NOT_FOUND for a project.
    """
    words = " ".join(message.split())
    if not project:
        if not pauses.pause_queue(conn, reason=words, actor=actor):
            return "the queue was paused already"
        conn.emit("queue.paused", actor=actor, data={"reason": words})
        return "the queue is paused: nothing is given out, what runs goes on; again: rmctl resume"
    name = resolve_project(conn, project)
    reason = PAUSED_BY_PERSON + (f": {words}" if words else "")
    if not projects.set_project_state(conn, name, ProjectState.PAUSED, reason):
        return f"project {name} was paused already"
    conn.emit("project.paused", project_id=name, actor=actor, data={"reason": reason})
    return f"project {name} is paused: none of its tasks is given out, what runs goes on; again: rmctl resume -P {name}"


def resume(conn: Connection, project: str = "", *, actor: str) -> str:
    """Give out again. Raises NOT_FOUND for a project."""
    if not project:
        if not pauses.resume_queue(conn):
            return "the queue was not paused"
        conn.emit("queue.resumed", actor=actor)
        return "the queue is resumed"
    return resume_project(conn, resolve_project(conn, project), actor=actor)
