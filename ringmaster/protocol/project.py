"""Methods about projects."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ringmaster.model.project import Project
from ringmaster.protocol.mutation import Mutation


class ProjectAddParams(Mutation, frozen=True, kw_only=True):
    """path: absolute, a work tree or a bare repository. id: empty takes the directory's name.

    target: empty takes the branch that HEAD names. config: fields of ProjectConfig, checked as a whole.
    """

    path: str
    id: str = ""
    target: str = ""
    config: dict[str, Any] = msgspec.field(default_factory=dict)


class ProjectEditParams(Mutation, frozen=True, kw_only=True):
    """config: only the fields to change. state: active or paused; empty leaves it. target: empty leaves it."""

    id: str
    config: dict[str, Any] = msgspec.field(default_factory=dict)
    target: str = ""
    state: Literal["", "active", "paused"] = ""


class ProjectListParams(msgspec.Struct, frozen=True, kw_only=True):
    """No parameters."""


class ProjectShowParams(msgspec.Struct, frozen=True, kw_only=True):
    """id: a project's name or a unique prefix of it."""

    id: str


class ProjectRemoveParams(Mutation, frozen=True, kw_only=True):
    """Refused while a task of it has not ended. Its tasks are kept as history, the daemon's copy for `keep_days`."""

    id: str


class ProjectList(msgspec.Struct, frozen=True, kw_only=True):
    """All projects by name."""

    projects: tuple[Project, ...]


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed, and in words what was kept and where."""

    id: str
    note: str = ""
