"""Counting a whole run from its files, by its agent's meter. Blocking: reads the output once."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ringmaster.agents.base import NOTHING_SPENT, Agent, AgentReport, Meter, Run, Spent
from ringmaster.agents.lines import iter_lines
from ringmaster.proc.job_files import read_spec


def open_meter(agent: Agent, directory: Path, run: Run) -> Meter | None:
    """A meter for the run whose job lies in `directory`; None for an agent that needs none, or before it was started.

    run: what is to be counted; what its program was started with is taken from the job.
    Raises RingmasterError for a spec that cannot be read.
    """
    spec = read_spec(directory)
    return agent.meter(msgspec.structs.replace(run, environ=spec.env)) if spec is not None else None


def replay(meter: Meter, stdout: Path) -> tuple[str, Spent]:
    """The limit that the whole output reaches, '' for none, and what the run came to."""
    words = ""
    for line in iter_lines(stdout):
        words = meter.take(line) or words
    return words, meter.spent()


def counted(agent: Agent, directory: Path, run: Run, report: AgentReport) -> tuple[str, AgentReport]:
    """The limit that a run reached, and its report with what its meter counted.

    That is of this run alone, and comes before what the agent states, which may be of a whole conversation.
    """
    meter = open_meter(agent, directory, run)
    if meter is None:
        return "", report
    words, spent = replay(meter, directory / "stdout")
    return words, report if spent == NOTHING_SPENT else msgspec.structs.replace(report, spent=spent)
