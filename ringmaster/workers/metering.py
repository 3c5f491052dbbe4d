"""Ending an agent at limits that its program does not keep by itself, and what one came to that said nothing of it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio

from ringmaster.agents.base import NOTHING_SPENT, Agent, AgentEnd, AgentReport, Meter, Run, Spent
from ringmaster.agents.lines import iter_lines
from ringmaster.proc.inotify import open_watcher
from ringmaster.proc.job import Job
from ringmaster.proc.job_files import read_spec
from ringmaster.proc.tail import open_tail
from ringmaster.store import attempts
from ringmaster.workers.conversation import end_lingering
from ringmaster.workers.preparing import Bench
from ringmaster.workers.surroundings import Surroundings


async def watch_agent(sur: Surroundings, bench: Bench, agent: Agent, job: Job) -> None:
    """What is looked at while an agent runs: whether it has said all, and what it has used. Cancelled when it ends."""
    meter = await open_meter(sur, bench, agent)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_lingering, sur, agent, job)
        if meter is not None:
            nursery.start_soon(end_at_limit, meter, job)


async def open_meter(sur: Surroundings, bench: Bench, agent: Agent) -> Meter | None:
    """A meter for the attempt's run, from its beginning; None for an agent that needs none, or before it runs."""
    spec = await trio.to_thread.run_sync(read_spec, bench.directory / "agent")
    if spec is None:
        return None
    limits = bench.task.limits
    budget_usd = limits.budget_usd
    if budget_usd is not None:
        before = await sur.store.read(attempts.salvaged_of_task, bench.task.id)
        budget_usd -= sum(attempt.cost_usd for attempt in before if attempt.number < bench.attempt.number)
    run = Run(
        turns=limits.turns,
        budget_usd=budget_usd,
        model=bench.task.model,
        environ=spec.env,
        since_at=bench.attempt.started_at,
    )
    return agent.meter(run)


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

    What the meter counted of this run alone comes before what the agent states, which may be of a whole conversation.
    Read from the output anew, so that a daemon that was killed after it had ended the agent comes to the same.
    """
    meter = await open_meter(sur, bench, agent)
    if meter is None:
        return end, report
    words, spent = await trio.to_thread.run_sync(_replay, meter, bench.directory / "agent" / "stdout")
    if words and end.reason == "cancelled" and not is_wanted and not report.is_final:
        end = msgspec.structs.replace(end, reason="limit", error=words)
    if spent != NOTHING_SPENT:
        report = msgspec.structs.replace(report, spent=spent)
    return end, report


def _replay(meter: Meter, stdout: Path) -> tuple[str, Spent]:
    words = ""
    for line in iter_lines(stdout):
        words = meter.take(line) or words
    return words, meter.spent()
