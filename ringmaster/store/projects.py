"""Rows of projects."""

from __future__ import annotations

import apsw

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.project import Project, ProjectConfig
from ringmaster.model.states import ProjectState
from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import decoder, encode_json

queries = load_queries("projects")
decode_project = decoder(Project, "config")


def insert_project(
    conn: Connection, *, id: str, path: str, common_dir: str, target: str, config: ProjectConfig
) -> None:
    """Store a new project.

    Raises:
        RingmasterError: CONFLICT when the name or the repository is taken.
    """
    try:
        conn.execute(
            queries.insert,
            {
                "id": id,
                "path": path,
                "common_dir": common_dir,
                "target": target,
                "config": encode_json(config),
                "max_running": config.max_running,
                "now": conn.now,
            },
        )
    except apsw.ConstraintError as error:
        other = next((p for p in all_projects(conn) if p.common_dir == common_dir or p.id == id), None)
        words = f"project {other.id} is {other.path} already" if other else "the project is there already"
        raise RingmasterError(ErrorKind.CONFLICT, words, "rmctl project list") from error


def project_by_id(conn: Connection, project_id: str) -> Project:
    """The project of this name.

    Raises:
        RingmasterError: NOT_FOUND.
    """
    row = conn.row(queries.by_id, (project_id,))
    if row is None:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no project {project_id}", "rmctl project list")
    return decode_project(row)


def all_projects(conn: Connection) -> list[Project]:
    """Every project, by name."""
    return decode_project.all(conn.rows(queries.all))


def update_project(conn: Connection, project_id: str, *, target: str, config: ProjectConfig) -> None:
    """Write what a person may change."""
    conn.execute(
        queries.update,
        {
            "id": project_id,
            "target": target,
            "config": encode_json(config),
            "max_running": config.max_running,
        },
    )


def set_project_state(conn: Connection, project_id: str, state: ProjectState, reason: str) -> bool:
    """Pause or resume; False when it was so already."""
    return conn.execute(queries.set_state, {"id": project_id, "state": str(state), "reason": reason}) > 0


def set_parked_commit(conn: Connection, project_id: str, commit: str) -> bool:
    """Note the landed work that waits for the target ('' for none); False when nothing changed."""
    return conn.execute(queries.set_parked, {"id": project_id, "commit": commit}) > 0


def delete_project(conn: Connection, project_id: str) -> None:
    """Remove the row of a project without tasks."""
    conn.execute(queries.delete, (project_id,))
