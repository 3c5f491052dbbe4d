"""What an agent's output says of its work, without what must not be shown: it goes into rows, prompts and questions."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ringmaster.agents.base import Agent, AgentEnd, AgentReport
from ringmaster.output.secrets import find_redactor
from ringmaster.redaction.redactor import Redactor


def read_shown_report(agent: Agent, end: AgentEnd, job: Path, model: str) -> AgentReport:
    """The report of the agent whose job's directory this is. Blocking: reads the whole output."""
    report = agent.read_report(end, job / "stdout", job / "stderr", model)
    return shown_report(report, find_redactor(job.parent))


def shown_report(report: AgentReport, redactor: Redactor) -> AgentReport:
    """The report with each of its texts cleaned and redacted."""
    return msgspec.structs.replace(
        report,
        summary=redactor.shown(report.summary),
        question=redactor.shown(report.question),
        detail=redactor.shown(report.detail),
        options=tuple(redactor.shown(option) for option in report.options),
        last_words=redactor.shown(report.last_words),
    )
