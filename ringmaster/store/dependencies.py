"""Rows of dependencies between tasks."""

from __future__ import annotations

import msgspec

from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries

queries = load_queries("dependencies")


class Blocker(msgspec.Struct, frozen=True):
    """A task that another waits for. is_open: it is counted in the other's `open_blockers`."""

    id: str
    state: str
    title: str
    is_open: bool


def insert_dependency(conn: Connection, task_id: str, blocker_id: str, *, is_open: bool) -> bool:
    """Store a dependency; False when it was there."""
    return conn.execute(queries.insert, (task_id, blocker_id, int(is_open), conn.now)) > 0


def delete_dependency(conn: Connection, task_id: str, blocker_id: str) -> bool | None:
    """Remove a dependency: whether it was open, or None when there was none."""
    row = conn.row(queries.delete, (task_id, blocker_id))
    return None if row is None else bool(row[0])


def blockers_of(conn: Connection, task_id: str) -> list[Blocker]:
    """What a task waits or waited for."""
    return [Blocker(r[0], r[1], r[2], bool(r[3])) for r in conn.rows(queries.blockers_of, (task_id,))]


def dependents_of(conn: Connection, task_id: str) -> list[str]:
    """The ids of the tasks that wait or waited for this one."""
    return [row[0] for row in conn.rows(queries.dependents_of, (task_id,))]


def free_dependents(conn: Connection, blocker_id: str) -> list[tuple[str, str]]:
    """The blocker is done: count it out of its dependents; (id, project_id) of those that became ready."""
    freed: list[tuple[str, str]] = []
    for task_id in dependents_of(conn, blocker_id):
        if conn.execute(queries.close_dependency, (task_id, blocker_id)):
            conn.execute(queries.free_dependent, (task_id,))
            project_id = conn.value(queries.freed_project, (task_id,))
            if project_id is not None:
                freed.append((task_id, project_id))
    return freed


def find_cycle(conn: Connection, task_id: str, blocker_id: str) -> list[str] | None:
    """The cycle that `task_id` waiting for `blocker_id` would close, as a path of ids; None when there is none.

    Walks what the blocker itself waits for, depth first without recursion: chains can be long.
    """
    parents: dict[str, str] = {blocker_id: task_id}
    stack = [blocker_id]
    while stack:
        current = stack.pop()
        if current == task_id:
            break
        for (next_id,) in conn.rows(queries.blocker_ids_of, (current,)):
            if next_id == task_id:
                path = [task_id, current]
                while path[-1] != blocker_id:
                    path.append(parents[path[-1]])
                return [*path[:1], *reversed(path[1:]), task_id]
            if next_id not in parents:
                parents[next_id] = current
                stack.append(next_id)
    return None
