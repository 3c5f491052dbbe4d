"""Ending an agent at limits that its program does not keep by itself, and what one came to that said nothing of it."""

from __future__ import annotations

import msgspec
import trio

from ringmaster.agents.base import Agent, AgentEnd, AgentReport, Meter, Run
from ringmaster.proc.inotify import open_watcher
from ringmaster.proc.job import Job
from ringmaster.proc.tail import open_tail
from ringmaster.store import attempts
from ringmaster.workers.conversation import end_lingering
from ringmaster.workers.counting import counted, open_meter
from ringmaster.workers.preparing import Bench
from ringmaster.workers.surroundings import Surroundings


async def watch_agent(sur: Surroundings, bench: Bench, agent: Agent, job: Job) -> None:
    """What is looked at while an agent runs: whether it has said all, and what it has used. Cancelled when it ends."""
    run = await _run_of(sur, bench)
    meter = await trio.to_thread.run_sync(open_meter, agent, bench.directory / "agent", run)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_lingering, sur, agent, job)
        if meter is not None:
            nursery.start_soon(end_at_limit, meter, job)


async def _run_of(sur: Surroundings, bench: Bench) -> Run:
    """The attempt's run with what it may use."""
    limits = bench.task.limits
    budget_usd = limits.budget_usd
    if budget_usd is not None:
        before = await sur.store.read(attempts.salvaged_of_task, bench.task.id)
        budget_usd -= sum(attempt.cost_usd for attempt in before if attempt.number < bench.attempt.number)
    return Run(turns=limits.turns, budget_usd=budget_usd, model=bench.task.model, since_at=bench.attempt.started_at)


async def end_at_limit(meter: Meter, job: Job) -> None:
    """Cancel the job at the line that reaches a limit. From the first line on, so that an adopted job counts whole."""
    async with open_watcher() as watcher, open_tail(job.stdout, 0, trio.Event(), watcher=watcher) as tail:
        async for line in tail.lines():
            if await trio.to_thread.run_sync(meter.take, line.data):
                return job.cancel()


async def metered(
    sur: Surroundings, bench: Bench, agent: Agent, end: AgentEnd, report: AgentReport, *, is_wanted: bool
) -> tuple[AgentEnd, AgentReport]:
    """End and report of a run with what its meter says. is_wanted: somebody wanted the end; else a limit was the cause.

    Read from the output anew, so that a daemon that was killed after it had ended the agent comes to the same.
    """
    run = await _run_of(sur, bench)
    words, report = await trio.to_thread.run_sync(counted, agent, bench.directory / "agent", run, report)
    if words and end.reason == "cancelled" and not is_wanted and not report.is_final:
        end = msgspec.structs.replace(end, reason="limit", error=words)
    return end, report
