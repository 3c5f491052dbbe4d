"""What waits for what: adding and removing dependencies, and freeing what waited."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.states import TaskState
from ringmaster.store import dependencies, tasks
from ringmaster.store.connection import Connection


def add_dependency(conn: Connection, task_id: str, blocker_id: str) -> bool:
    """Make a task wait for another; False when it did.

    Raises:
        RingmasterError: NOT_FOUND; CONFLICT for itself or a cycle, which is named.
    """
    blocker = tasks.task_by_id(conn, blocker_id)
    if blocker_id == task_id:
        raise RingmasterError(ErrorKind.CONFLICT, f"{task_id} cannot wait for itself", "name another task")
    cycle = dependencies.find_cycle(conn, task_id, blocker_id)
    if cycle:
        raise RingmasterError(
            ErrorKind.CONFLICT,
            f"{task_id} cannot wait for {blocker_id}: that closes the circle {' -> '.join(cycle)}",
            f"rmctl task dep {cycle[-2]} --remove {cycle[-1]}",
        )
    is_open = blocker.state is not TaskState.DONE
    if not dependencies.insert_dependency(conn, task_id, blocker_id, is_open=is_open):
        return False
    if is_open:
        tasks.add_blocker(conn, task_id)
    return True


def remove_dependency(conn: Connection, task_id: str, blocker_id: str) -> bool:
    """Make a task no longer wait for another; False when it did not."""
    was_open = dependencies.delete_dependency(conn, task_id, blocker_id)
    if was_open:
        tasks.remove_blocker(conn, task_id)
    return was_open is not None


def complete_task(
    conn: Connection,
    task_id: str,
    *,
    project_id: str,
    old: TaskState,
    done_by: str,
    landed_commit: str = "",
    actor: str = "",
) -> list[str]:
    """Move a task to `done` and free what waits for it; the ids of the tasks that became ready."""
    tasks.finish_task(conn, task_id, old=old, done_by=done_by, landed_commit=landed_commit)
    # What waited may belong to another project.
    freed = dict(dependencies.free_dependents(conn, task_id))
    conn.emit(
        "task.done",
        project_id=project_id,
        task_id=task_id,
        actor=actor,
        data={"done_by": done_by, "commit": landed_commit, "freed": tuple(freed)},
    )
    for freed_id, freed_project_id in freed.items():
        conn.emit("task.unblocked", project_id=freed_project_id, task_id=freed_id, data={"by": task_id})
    return list(freed)
