"""What an attempt may look at: its own task, its project, itself. A person may look at everything."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.rpc.rights import Caller, CallerKind
from ringmaster.store import attempts
from ringmaster.store.connection import Connection


def own_task(caller: Caller) -> str:
    """The only task the caller may look at; '' for all."""
    return caller.attempt_id.rpartition("/")[0] if caller.kind is CallerKind.ATTEMPT else ""


def own_project(conn: Connection, caller: Caller) -> str:
    """The only project the caller may look at; '' for all."""
    if caller.kind is not CallerKind.ATTEMPT:
        return ""
    return attempts.salvaged_by_id(conn, caller.attempt_id).project_id


def _elsewhere(caller: Caller, what: str) -> RingmasterError:
    return RingmasterError(
        ErrorKind.PERMISSION,
        f"attempt {caller.attempt_id} may not look at {what}",
        f"an attempt sees its own task: rmctl task show {own_task(caller)}",
    )


def refuse_other_task(caller: Caller, task_id: str) -> None:
    """Raises PERMISSION for an attempt that asks for another task than its own."""
    if own_task(caller) not in ("", task_id):
        raise _elsewhere(caller, f"task {task_id}" if task_id else "what belongs to no task")


def refuse_other_project(conn: Connection, caller: Caller, project_id: str) -> None:
    """Raises PERMISSION for an attempt that asks for another project than its own."""
    if own_project(conn, caller) not in ("", project_id):
        raise _elsewhere(caller, f"project {project_id}")


def refuse_attempts(caller: Caller, what: str) -> None:
    """Raises PERMISSION for any attempt."""
    if caller.kind is CallerKind.ATTEMPT:
        raise _elsewhere(caller, what)
