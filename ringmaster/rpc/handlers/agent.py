"""Handlers of `agent.*`."""

from __future__ import annotations

import os
import shutil

import msgspec
import trio

from ringmaster.agents.base import Account, Agent
from ringmaster.agents.registry import BUILT_IN, agent_for, agent_names
from ringmaster.doctor.instance_rules import how_to_install, how_to_log_in
from ringmaster.protocol.agent import (
    AgentList,
    AgentTested,
    AgentTestParams,
    AgentView,
)
from ringmaster.protocol.daemon import EmptyParams
from ringmaster.queue.costs import resume_account
from ringmaster.queue.decide import resume_agent
from ringmaster.rpc.services import Ctx, actor_of, mutate
from ringmaster.settings import Settings
from ringmaster.store import accounts, spawn_failures, workers
from ringmaster.store.connection import Connection
from ringmaster.workers.trial import refuse_programs, try_agent, version_of


class _Found(msgspec.Struct, frozen=True):
    """What the system says of one agent."""

    agent: Agent
    program: str
    version: str
    account: Account | None


def _look(agent: Agent) -> _Found:
    program = shutil.which(agent.program) or "" if agent.program else ""
    version = version_of(program) if program and agent.name not in BUILT_IN else ""
    return _Found(agent, program, version, agent.account(os.environ))


async def list_(ctx: Ctx, params: EmptyParams) -> AgentList:
    """Every agent, with what is installed and who pays. Asks each program for its version, side by side."""
    settings = ctx.services.settings
    found: dict[str, _Found] = {}

    async def look(name: str) -> None:
        found[name] = await trio.to_thread.run_sync(_look, agent_for(name, settings))

    async with trio.open_nursery() as nursery:
        for name in agent_names(settings):
            nursery.start_soon(look, name)

    def read(conn: Connection) -> AgentList:
        paused = {account.id: account for account in accounts.paused_accounts(conn)}
        broken = spawn_failures.paused_agents(conn)
        seats = [worker.agent for worker in workers.all_workers(conn)]
        views = []
        for name in agent_names(settings):
            one = found[name]
            rest = paused.get(one.account.id) if one.account is not None else None
            named = settings.agents.get(name)
            views.append(
                AgentView(
                    name=name,
                    kind=str(msgspec.to_builtins(named)["kind"]) if named is not None else name,
                    program=one.program,
                    version=one.version,
                    account=one.account.id if one.account is not None else "",
                    account_label=one.account.label if one.account is not None else "",
                    paused_until_at=rest.paused_until_at if rest is not None else None,
                    paused_reason=why.reason if (why := broken.get(name)) else rest.paused_reason if rest else "",
                    workers=seats.count(name),
                    paused_at=why.paused_at if why else None,
                )
            )
        return AgentList(agents=tuple(views))

    return await ctx.services.store.read(read)


async def test(ctx: Ctx, params: AgentTestParams) -> AgentTested:
    """One tiny real run. When it works, a pause of its account is over."""
    agent = agent_for(params.name, ctx.services.settings)
    refuse_programs(agent)
    trial = await try_agent(ctx.services.sur, agent, params.limit_s)
    account = await trio.to_thread.run_sync(agent.account, os.environ)
    report = trial.report
    is_working = not trial.problem and report.status == "succeeded"
    words = trial.problem or report.summary or report.last_words[-500:] or f"it exited with {trial.end.code}"
    mend = "" if is_working else await trio.to_thread.run_sync(_mend, agent, account, ctx.services.settings)
    tested = AgentTested(
        name=params.name,
        is_working=is_working,
        words=words,
        account=account.label if account is not None else "",
        model=report.model,
        took_s=trial.took_s,
        cost_usd=report.spent.cost_usd,
        tokens_in=report.spent.tokens_in,
        tokens_out=report.spent.tokens_out,
        mend=mend,
    )

    def settle(conn: Connection) -> AgentTested:
        if is_working and account is not None:
            resume_account(conn, account.id, actor=actor_of(ctx.caller))
        if is_working:
            resume_agent(conn, params.name, actor=actor_of(ctx.caller))
        return tested

    return await mutate(ctx, "agent.test", params, AgentTested, settle)


def _mend(agent: Agent, account: Account | None, settings: Settings) -> str:
    """The command for what an agent visibly lacks; '' where it lacks neither program nor login. Looks at files."""
    named = settings.agents.get(agent.name)
    kind = str(msgspec.to_builtins(named)["kind"]) if named is not None else agent.name
    if not shutil.which(agent.program):
        return how_to_install(kind, agent.program)
    if account is None:
        # A key that the settings name and that is not there was refused before the run.
        return how_to_log_in(kind, agent.program, key_env="")
    return ""
