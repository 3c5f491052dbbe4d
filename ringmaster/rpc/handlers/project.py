"""Handlers of `project.*`."""

from __future__ import annotations

from collections.abc import Mapping

from ringmaster.agents.registry import agent_for
from ringmaster.model.project import Project
from ringmaster.protocol.project import (
    ProjectAddParams,
    ProjectEditParams,
    ProjectList,
    ProjectListParams,
    ProjectRemoveParams,
    ProjectShowParams,
    Removed,
)
from ringmaster.queue.lookup import resolve_project
from ringmaster.rpc.scope import own_project, refuse_other_project
from ringmaster.rpc.services import Ctx, actor_of
from ringmaster.store import projects
from ringmaster.store.connection import Connection


def _refuse_unknown_agent(ctx: Ctx, config: Mapping[str, object]) -> None:
    """Raises NOT_FOUND naming the agents there are; what is no text is refused with the rest of the settings."""
    agent = config.get("agent")
    if isinstance(agent, str) and agent:
        agent_for(agent, ctx.services.settings)


async def add(ctx: Ctx, params: ProjectAddParams) -> Project:
    """Take a repository on."""
    _refuse_unknown_agent(ctx, params.config)
    return await ctx.services.projects.add(params, actor=actor_of(ctx.caller))


async def edit(ctx: Ctx, params: ProjectEditParams) -> Project:
    """Change settings, target or state."""
    _refuse_unknown_agent(ctx, params.config)
    return await ctx.services.projects.edit(params, actor=actor_of(ctx.caller))


async def remove(ctx: Ctx, params: ProjectRemoveParams) -> Removed:
    """Make a project history."""
    return await ctx.services.projects.remove(params, actor=actor_of(ctx.caller))


async def list_(ctx: Ctx, params: ProjectListParams) -> ProjectList:
    """All projects."""

    def read(conn: Connection) -> ProjectList:
        own = own_project(conn, ctx.caller)
        return ProjectList(projects=tuple(p for p in projects.salvaged_projects(conn) if own in ("", p.id)))

    return await ctx.services.store.read(read)


async def show(ctx: Ctx, params: ProjectShowParams) -> Project:
    """One project."""

    def read(conn: Connection) -> Project:
        name = resolve_project(conn, params.id)
        refuse_other_project(conn, ctx.caller, name)
        return projects.salvaged_project(conn, name)

    return await ctx.services.store.read(read)
