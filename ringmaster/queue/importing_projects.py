"""Which project here takes the tasks of each project there."""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterable, Mapping, Sequence

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.importing import ImportedTask, project_word
from ringmaster.model.project import Project
from ringmaster.protocol.importing import TaskImportParams
from ringmaster.store import projects
from ringmaster.store.connection import Connection
from ringmaster.store.original import OldProject

LEFT_OUT = "-"


def choose_projects(
    conn: Connection,
    wanted: Iterable[ImportedTask],
    old: Sequence[OldProject],
    params: TaskImportParams,
    *,
    has_projects: bool,
) -> dict[str, str]:
    """The name here of each old project that has tasks.

    A person's word comes first, then the same name, then the same repository, then the only one there is.
    has_projects: see `Translation`; a prefix of ids is no project, so the only one here takes them all.

    Raises:
        RingmasterError: NOT_FOUND for a project that is named and not there; USAGE when one has none here.
    """
    here = projects.salvaged_projects(conn)
    known = {project.id for project in here}
    for name in {*params.projects.values(), params.project_id} - {"", LEFT_OUT}:
        if name not in known:
            raise RingmasterError(ErrorKind.NOT_FOUND, f"no project {name[:60]!r}", "rmctl project list")
    by_id = {project.id: project for project in old}
    ids = list(dict.fromkeys(task.old_project for task in wanted))
    chosen: dict[str, str] = {}
    for id in ids:
        there = by_id.get(id, OldProject(id, id, ""))
        name = _named(there, params.projects) or params.project_id or _alike(there, here)
        if not name and len(here) == 1 and (len(ids) == 1 or not has_projects):
            name = here[0].id
        if not name:
            raise RingmasterError(
                ErrorKind.USAGE,
                f"no project here is {there.name or id!r} of the original",
                f"rmctl project add PATH, then --map '{there.name or id}=PROJECT'; '=-' leaves it out",
            )
        chosen[id] = name
    return chosen


def _named(there: OldProject, given: Mapping[str, str]) -> str:
    return given.get(there.name) or given.get(there.id) or ""


def _alike(there: OldProject, here: Sequence[Project]) -> str:
    word, place = project_word(there.name), there.place.removeprefix("file://").rstrip("/")
    base = os.path.basename(place).removesuffix(".git")
    tests: tuple[Callable[[Project], bool], ...] = (
        lambda project: project.id == word,
        lambda project: bool(place) and project.path == place,
        lambda project: bool(base) and os.path.basename(project.path).removesuffix(".git") == base,
    )
    for is_it in tests:
        found = [project.id for project in here if is_it(project)]
        if len(found) == 1:
            return found[0]
    return ""


def name_there(id: str, old: Sequence[OldProject]) -> str:
    """What a project is called there."""
    return next((project.name for project in old if project.id == id and project.name), id)
