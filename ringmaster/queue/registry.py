"""Projects in and out: what a person may set, and what stands in the way of a change."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.ids import is_name
from ringmaster.model.project import Project, ProjectConfig
from ringmaster.model.states import DecisionState, ProjectState
from ringmaster.queue.decide import resume_project, withdraw
from ringmaster.queue.next_step import parked_command
from ringmaster.queue.obstacles import PAUSED_BY_PERSON
from ringmaster.store import decisions, projects, tasks
from ringmaster.store.connection import Connection

POSITIVE = ("gate_limit_s", "setup_limit_s")
NOT_NEGATIVE = ("keep_days", "max_running")
PATHS = ("cache", "copy")


def name_for(directory_name: str) -> str:
    """The name of a project from the name of its directory."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", directory_name.removesuffix(".git").lower()).strip("-_")
    return plain[:63] or "project"


def check_name(name: str) -> None:
    """Raises USAGE for what is no name of a project."""
    if not is_name(name):
        raise RingmasterError(
            ErrorKind.USAGE, f"{name[:60]!r} is no name for a project", "use a-z, 0-9, - and _, at most 63 of them"
        )


def merged_config(config: ProjectConfig, changes: Mapping[str, object]) -> ProjectConfig:
    """The configuration with the given fields changed, checked as a whole.

    Raises:
        RingmasterError: USAGE naming the first field that is unknown or wrong.
    """
    fields = ProjectConfig.__struct_fields__
    for name in changes:
        if name not in fields:
            raise RingmasterError(
                ErrorKind.USAGE, f"a project has no setting {name[:40]!r}", f"settings: {', '.join(fields)}"
            )
    try:
        merged = msgspec.convert(msgspec.to_builtins(config) | dict(changes), ProjectConfig)
    except msgspec.ValidationError as error:
        raise RingmasterError(
            ErrorKind.USAGE, f"project setting: {str(error).replace('$.', '')}", "rmctl project edit --help"
        ) from error
    for name in (*POSITIVE, *NOT_NEGATIVE):
        value = getattr(merged, name)
        if value < 0 or (value == 0 and name in POSITIVE):
            words = "more than 0" if name in POSITIVE else "0 or more"
            raise RingmasterError(ErrorKind.USAGE, f"project setting {name} is {value:g}, it must be {words}")
    for name in PATHS:
        for path in getattr(merged, name):
            if not path or path.startswith("/") or {"..", ".git"} & set(path.split("/")):
                raise RingmasterError(
                    ErrorKind.USAGE,
                    f"project setting {name}: {path!r} is no path inside the checkout",
                    "name paths below the repository's top",
                )
    return merged


def refuse_taken(conn: Connection, name: str, common_dir: str) -> None:
    """Raises CONFLICT when the repository or the name belongs to a project."""
    other = projects.project_of_repository(conn, common_dir)
    if other is not None:
        raise projects.taken(conn, name, common_dir)
    if any(project.id == name for project in projects.salvaged_projects(conn)):
        raise projects.taken(conn, name, common_dir)


def add_project(
    conn: Connection, *, name: str, path: str, common_dir: str, target: str, config: ProjectConfig, actor: str
) -> Project:
    """Store a project. Raises CONFLICT."""
    projects.insert_project(conn, id=name, path=path, common_dir=common_dir, target=target, config=config)
    conn.emit("project.added", project_id=name, actor=actor, data={"path": path, "target": target})
    return projects.project_by_id(conn, name)


def edit_project(
    conn: Connection, name: str, *, changes: Mapping[str, object], target: str, state: str, actor: str
) -> Project:
    """Change what a person may set; a damaged configuration is whole afterwards.

    Raises:
        RingmasterError: NOT_FOUND; USAGE; WRONG_STATE for a new target while work for the old one is
            under way or waits.
    """
    before = projects.salvaged_project(conn, name)
    if not changes and not state and target in ("", before.target):
        raise RingmasterError(ErrorKind.USAGE, "nothing to change", "rmctl project edit --help")
    config = merged_config(before.config, changes)
    new_target = target or before.target
    if new_target != before.target:
        _refuse_target_change(conn, before)
    if new_target != before.target or changes:
        projects.update_project(conn, name, target=new_target, config=config)
        old = {field: getattr(before.config, field) for field in changes}
        new = {field: getattr(config, field) for field in changes}
        conn.emit(
            "project.edited",
            project_id=name,
            actor=actor,
            data={"before": {**old, "target": before.target}, "after": {**new, "target": new_target}},
        )
    if state == ProjectState.ACTIVE:
        resume_project(conn, name, actor=actor)
    elif state == ProjectState.PAUSED:
        reason = PAUSED_BY_PERSON
        if projects.set_project_state(conn, name, ProjectState.PAUSED, reason):
            conn.emit("project.paused", project_id=name, actor=actor, data={"reason": reason})
    return projects.salvaged_project(conn, name)


def _refuse_target_change(conn: Connection, project: Project) -> None:
    if project.parked_commit:
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"landed work of {project.id} still waits for {project.target}",
            f"take it first: git -C {project.path} merge --ff-only ringmaster/landed/{project.target}",
        )
    counts = _unended(conn, project.id)
    live = sum(counts.get(state, 0) for state in ("running", "validating", "landing"))
    if live:
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"{live} attempts of {project.id} are under way for {project.target}",
            f"pause it and wait for them: rmctl project edit {project.id} --pause",
        )


def _unended(conn: Connection, name: str) -> dict[str, int]:
    return {row[0]: row[1] for row in conn.rows(tasks.queries.unended_of_project, (name,))}


def remove_project(conn: Connection, name: str, *, actor: str) -> str:
    """Make a project history; in words what is kept.

    Raises:
        RingmasterError: NOT_FOUND; WRONG_STATE while a task of it has not ended.
    """
    project = projects.salvaged_project(conn, name)
    counts = _unended(conn, name)
    if counts:
        words = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"project {name} has tasks that have not ended: {words}",
            f"finish or cancel them first: rmctl task list --project {name}",
        )
    for decision in decisions.salvaged_open(conn, 10_000):
        if decision.project_id == name and decision.state is DecisionState.OPEN:
            withdraw(conn, decision)
    projects.remove_project(conn, name)
    conn.emit("project.removed", project_id=name, actor=actor, data={"path": project.path})
    ended = conn.value(tasks.queries.ended_of_project, (name,))
    kept = f"its {ended} ended tasks stay as history; " if ended else ""
    # From here on nothing else reminds of it.
    parked = f"; what landed beside {project.target} waits: {parked_command(project)}" if project.parked_commit else ""
    return (
        f"{kept}the daemon's copy of the repository, with what attempts left, is kept for"
        f" {project.config.keep_days:g} days; {project.path} was not touched{parked}"
    )
