"""Gathering what the doctor looks at, inside the daemon: its own PATH, limits and files count, not a shell's."""

from __future__ import annotations

import functools
import os
import shutil
import time
from collections.abc import Iterator

import msgspec
import trio

from ringmaster.agents.registry import agent_for
from ringmaster.doctor import instance_rules, machine, machine_rules
from ringmaster.doctor.facts import (
    AgentFacts,
    ClockFacts,
    FileFacts,
    KeeperFacts,
    ProjectFacts,
    RightsFacts,
    SettingsFacts,
)
from ringmaster.model.errors import RingmasterError
from ringmaster.model.project import Project
from ringmaster.model.stream_settings import TOKEN_FILE
from ringmaster.protocol.agent import AgentView
from ringmaster.protocol.daemon import EmptyParams
from ringmaster.protocol.doctor import Finding
from ringmaster.rpc.handlers import agent as agent_handlers
from ringmaster.rpc.leftovers import judge_leftovers
from ringmaster.rpc.services import Ctx
from ringmaster.settings import Paths, load_settings
from ringmaster.store import attempts, events, projects, workers
from ringmaster.store.connection import Connection
from ringmaster.store.copying import examine_database
from ringmaster.workspace.git import daemon_environment
from ringmaster.workspace.sandbox import PROGRAM as SANDBOX_PROGRAM

NEEDS_LOGIN = ("claude", "codex")
NEWEST = 2**62
BEGAN_AT, BEGAN_BOOT_S = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME)
"""The moment at which the daemon's code was loaded, by the clock and by what nobody can set: they must stay apart as
they are."""


class _Rows(msgspec.Struct, frozen=True):
    """What the store says, from one snapshot."""

    seats: int
    live: frozenset[str]
    projects: list[Project]
    known_projects: frozenset[str]
    newest_event_at: float | None


async def look_over(ctx: Ctx) -> tuple[Finding, ...]:
    """Every check that the daemon makes, in a fixed order. Changes nothing; takes some seconds at most."""
    rows = await ctx.services.store.read(_read_rows)
    findings = list(await trio.to_thread.run_sync(_judge_machine, ctx, rows))
    findings += await _judge_agents(ctx)
    findings += instance_rules.judge_keeper(_keeper(ctx))
    findings.append(instance_rules.judge_page(ctx.services.page()))
    look = functools.partial(examine_database, ctx.services.paths.database, is_quick=True)
    database = await trio.to_thread.run_sync(look, abandon_on_cancel=True)
    findings.append(instance_rules.judge_database(database))
    findings += instance_rules.judge_projects([_project(project) for project in rows.projects])
    findings += await judge_leftovers(ctx.services.sur, rows.live, rows.known_projects)
    return tuple(findings)


def _read_rows(conn: Connection) -> _Rows:
    newest = events.events_before(conn, NEWEST, 1)
    found = projects.salvaged_projects(conn)
    return _Rows(
        seats=len(workers.all_workers(conn)),
        live=frozenset(attempt.id for attempt in attempts.salvaged_live(conn)),
        projects=found,
        known_projects=frozenset([p.id for p in found] + [p.id for p in projects.removed_projects(conn)]),
        newest_event_at=newest[0].at if newest else None,
    )


def _judge_machine(ctx: Ctx, rows: _Rows) -> Iterator[Finding]:
    """What the system says of itself. Blocking."""
    services = ctx.services
    paths, settings = services.paths, services.settings
    made_as = daemon_environment()
    identity = f"{made_as['GIT_AUTHOR_NAME']} <{made_as['GIT_AUTHOR_EMAIL']}>"
    reserve, most = settings.daemon.reserve_bytes, settings.daemon.max_running
    health = services.health()
    now = time.time()
    clock = ClockFacts(
        now=now,
        file_at=machine.read_file_time(paths.state, now),
        newest_event_at=rows.newest_event_at,
        ran_s=time.clock_gettime(time.CLOCK_BOOTTIME) - BEGAN_BOOT_S,
        ran_by_clock_s=now - BEGAN_AT,
    )
    hidden = machine.read_rights().is_hidden or ctx.caller.is_weakened
    disks = [("state", paths.state)]
    if paths.workspaces.exists() and paths.workspaces.stat().st_dev != paths.state.stat().st_dev:
        disks.append(("workspaces", paths.workspaces))
    return iter(
        [
            machine_rules.judge_settings(_settings(ctx)),
            machine_rules.judge_git(machine.read_git(os.environ, identity)),
            *machine_rules.judge_limits(machine.read_limits(min(most, max(1, rows.seats))), health.unit),
            *(machine_rules.judge_disk(machine.read_disk(what, path, reserve)) for what, path in disks),
            machine_rules.judge_inotify(machine.read_inotify()),
            *(machine_rules.judge_file(file) for file in read_files(paths)),
            machine_rules.judge_socket_path(str(paths.socket)),
            machine_rules.judge_clock(clock),
            machine_rules.judge_rights(RightsFacts(is_hidden=hidden)),
            *machine_rules.judge_outside(machine.read_outside(os.environ, paths.workspaces, rows.live)),
        ]
    )


def read_files(paths: Paths) -> list[FileFacts]:
    """The files that are nobody else's business."""
    found = [
        machine.read_file("state directory", paths.state, 0o700),
        machine.read_file("database file", paths.database, 0o600),
        machine.read_file("socket", paths.socket, 0o600),
        machine.read_file("page token", paths.state / TOKEN_FILE, 0o600),
    ]
    if paths.socket.parent != paths.state:
        found.append(machine.read_file("socket directory", paths.socket.parent, 0o700))
    return found


def _settings(ctx: Ctx) -> SettingsFacts:
    path = ctx.services.paths.config
    try:
        found = load_settings(path)
    except RingmasterError as error:
        return SettingsFacts(path=str(path), is_there=True, error=error.message)
    return SettingsFacts(path=str(path), is_there=path.exists(), is_other=found != ctx.services.settings)


async def _judge_agents(ctx: Ctx) -> list[Finding]:
    views = (await agent_handlers.list_(ctx, EmptyParams())).agents
    now = time.time()
    judged = [instance_rules.judge_agent(_agent(ctx, view), now) for view in views if _is_of_interest(ctx, view)]
    found = [finding for finding in judged if finding is not None]
    return found or [instance_rules.no_agent()]


def _is_of_interest(ctx: Ctx, view: AgentView) -> bool:
    """The built-in ones that need nothing are only worth a word where a seat has one."""
    return view.workers > 0 or view.kind in NEEDS_LOGIN or view.name in ctx.services.settings.agents


def _agent(ctx: Ctx, view: AgentView) -> AgentFacts:
    named = ctx.services.settings.agents.get(view.name)
    return AgentFacts(
        name=view.name,
        kind=view.kind,
        wanted=agent_for(view.name, ctx.services.settings).program,
        program=view.program,
        version=view.version,
        account=view.account_label,
        needs_login=view.kind in NEEDS_LOGIN,
        seats=view.workers,
        is_named=named is not None,
        key_env=str(getattr(named, "key_env", "")),
        rests_until_at=view.paused_until_at,
        rests_because=view.paused_reason,
    )


def _keeper(ctx: Ctx) -> KeeperFacts:
    health = ctx.services.health()
    return KeeperFacts(is_kept=health.is_kept, unit=health.unit, state=health.state, words=health.words)


def _project(project: Project) -> ProjectFacts:
    return ProjectFacts(
        id=project.id,
        path=project.path,
        is_there=os.path.isdir(project.common_dir),
        is_sandboxed=project.config.sandbox == "bwrap",
        has_sandbox_program=shutil.which(SANDBOX_PROGRAM) is not None,
    )
