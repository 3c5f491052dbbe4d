"""Rows of projects."""

from __future__ import annotations

import apsw
import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.project import Project, ProjectConfig
from ringmaster.model.states import ProjectState
from ringmaster.store.connection import Connection, Row
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import decoder, encode_json

queries = load_queries("projects")
decode_project = decoder(Project, "config")


class _IntakeConfig(msgspec.Struct, frozen=True):
    agent: str = ""


_decode_intake = msgspec.json.Decoder(_IntakeConfig).decode


class Intake(msgspec.Struct, frozen=True):
    """What a new task is given. agent: the project's default. place: how many tasks came before it."""

    agent: str
    place: int


class RemovedProject(msgspec.Struct, frozen=True):
    """A project that is history. keep_days: how long what it left is kept."""

    id: str
    removed_at: float
    keep_days: float


def insert_project(
    conn: Connection, *, id: str, path: str, common_dir: str, target: str, config: ProjectConfig
) -> None:
    """Store a new project; the name of a removed one is taken up again, with its history.

    Raises:
        RingmasterError: CONFLICT when the name or the repository is taken.
    """
    try:
        is_stored = conn.execute(
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
        raise taken(conn, id, common_dir) from error
    if not is_stored:
        raise taken(conn, id, common_dir)


def taken(conn: Connection, id: str, common_dir: str) -> RingmasterError:
    """The error for a name or a repository that belongs to a project."""
    other = project_of_repository(conn, common_dir)
    if other is not None:
        return RingmasterError(
            ErrorKind.CONFLICT, f"project {other.id} is {other.path} already", f"rmctl project show {other.id}"
        )
    return RingmasterError(
        ErrorKind.CONFLICT,
        f"there is a project {id} already, at {salvaged_project(conn, id).path}",
        "choose another name",
    )


def project_by_id(conn: Connection, project_id: str) -> Project:
    """The project of this name.

    Raises:
        RingmasterError: NOT_FOUND; WRONG_STATE when its row is damaged, and nothing can be worked on with it.
    """
    row = conn.row(queries.by_id, (project_id,))
    if row is None:
        raise _unknown(project_id)
    project, unread = decode_project.salvage(row)
    if unread:
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"the row of project {project_id} cannot be read ({', '.join(unread)})",
            f"write its settings anew: rmctl project edit {project_id} --gate CMD, then --resume",
        )
    return project


def _unknown(project_id: str) -> RingmasterError:
    return RingmasterError(ErrorKind.NOT_FOUND, f"no project {project_id}", "rmctl project list")


def intake_of(conn: Connection, project_id: str) -> Intake:
    """What a new task of this project is given; of a project whose row cannot be read, no agent. Raises NOT_FOUND."""
    row = conn.row(queries.intake, (project_id,))
    if row is None:
        raise _unknown(project_id)
    try:
        return Intake(_decode_intake(row[0]).agent, row[1])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Intake("", row[1])


def project_of_repository(conn: Connection, common_dir: str) -> Project | None:
    """The project of a repository."""
    return decode_project.optional(conn.row(queries.by_common_dir, (common_dir,)))


def salvaged_projects(conn: Connection) -> list[Project]:
    """Every project for looking at: one whose row is damaged is shown paused, and why."""
    return [_salvaged(row) for row in conn.rows(queries.all)]


def damaged_projects(conn: Connection) -> list[Project]:
    """The projects whose row cannot be read whole, as paused ones that say why."""
    return [_salvaged(row) for row in conn.rows(queries.all) if decode_project.salvage(row)[1]]


def salvaged_project(conn: Connection, project_id: str) -> Project:
    """One project for looking at. Raises NOT_FOUND."""
    row = conn.row(queries.by_id, (project_id,))
    return project_by_id(conn, project_id) if row is None else _salvaged(row)


def _salvaged(row: Row) -> Project:
    project, unread = decode_project.salvage(row)
    if not unread:
        return project
    return msgspec.structs.replace(
        project, state=ProjectState.PAUSED, paused_reason=f"its row cannot be read ({', '.join(unread)})"
    )


def all_ids(conn: Connection) -> list[str]:
    """The names of all projects, removed ones too."""
    return [row[0] for row in conn.rows(queries.all_ids)]


def removed_projects(conn: Connection) -> list[RemovedProject]:
    """Projects that are history, by name."""
    found = []
    for id, removed_at, config in conn.rows(queries.removed):
        try:
            keep_days = msgspec.json.decode(config, type=ProjectConfig).keep_days
        except msgspec.MsgspecError:
            keep_days = ProjectConfig().keep_days
        found.append(RemovedProject(id, removed_at, keep_days))
    return found


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


def set_paused_reason(conn: Connection, project_id: str, reason: str) -> bool:
    """Say anew why a paused project is; False when it is not, or says so already."""
    return conn.execute(queries.set_paused_reason, {"id": project_id, "reason": reason}) > 0


def set_parked_commit(conn: Connection, project_id: str, commit: str) -> bool:
    """Note the landed work that waits for the target ('' for none); False when nothing changed."""
    return conn.execute(queries.set_parked, {"id": project_id, "commit": commit, "now": conn.now}) > 0


def remove_project(conn: Connection, project_id: str) -> bool:
    """Make a project history: its repository and its name are free. False when it was."""
    return conn.execute(queries.remove, {"id": project_id, "now": conn.now}) > 0
