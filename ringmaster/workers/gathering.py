"""Gathering the facts of a prompt from the store and the workspace."""

from __future__ import annotations

import msgspec
import trio

from ringmaster.model.attempt import Attempt
from ringmaster.model.decision import Decision
from ringmaster.model.decisions import LANDING_KINDS
from ringmaster.model.dependency import GATING_KINDS, DependencyKind
from ringmaster.model.states import DecisionState
from ringmaster.model.task import Limits, Task
from ringmaster.model.worker import HAND
from ringmaster.prompt.facts import (
    Answer,
    DependencyResult,
    EarlierAttempt,
    PromptFacts,
    Rejection,
)
from ringmaster.prompt.sources import read_conventions, read_named_code
from ringmaster.store import attempts, decisions, dependencies, tasks
from ringmaster.store.connection import Connection
from ringmaster.workers.preparing import Bench
from ringmaster.workers.surroundings import Surroundings

GATE_TAIL_CHARACTERS = 8_000


WAITED_FOR = GATING_KINDS - {DependencyKind.PARENT_CHILD}
"""Dependencies whose results a prompt tells."""


class History(msgspec.Struct, frozen=True):
    """What the store knows that a prompt tells: earlier attempts, answers, what was waited for."""

    before: tuple[Attempt, ...]
    decisions: tuple[Decision, ...]
    dependencies: tuple[DependencyResult, ...]


def read_history(conn: Connection, task_id: str, number: int) -> History:
    """Read it in one snapshot."""
    blockers: list[DependencyResult] = []
    for blocker in dependencies.blockers_of(conn, task_id):
        if blocker.kind not in WAITED_FOR:
            continue
        task: Task = tasks.row_by_id(conn, blocker.id).task
        last = attempts.salvaged_of_task(conn, blocker.id)
        summary = str(last[-1].report.get("summary", "")) if last else ""
        blockers.append(
            DependencyResult(task_id=task.id, title=task.title, landed_commit=task.landed_commit, summary=summary)
        )
    return History(
        tuple(a for a in attempts.salvaged_of_task(conn, task_id) if a.number < number),
        tuple(decisions.salvaged_of_task(conn, task_id)),
        tuple(blockers),
    )


async def gather_facts(sur: Surroundings, bench: Bench, limits: Limits) -> PromptFacts:
    """All facts of this attempt's prompt. Reads files of the workspace in a thread. Raises RingmasterError."""
    task, config = bench.task, bench.project.config
    history = await sur.store.read(read_history, task.id, bench.attempt.number)
    words = "\n".join((task.title, task.description, *task.acceptance))
    conventions = await trio.to_thread.run_sync(read_conventions, bench.workspace)
    named = await trio.to_thread.run_sync(read_named_code, bench.workspace, words)
    answered = [d for d in history.decisions if d.state is DecisionState.ANSWERED]
    return PromptFacts(
        task=task,
        attempt_id=bench.attempt.id,
        number=bench.attempt.number,
        target=bench.project.target,
        gate=config.gate,
        limits=limits,
        lease_s=bench.attempt.lease_s if bench.attempt.agent == HAND else 0.0,
        protected=config.protected,
        answers=tuple(
            Answer(question=d.question, answer=d.answer, message=d.message)
            for d in answered
            if d.kind not in LANDING_KINDS
        ),
        rejections=tuple(
            Rejection(number=_number_of(d.attempt_id), words=d.message or d.answer)
            for d in answered
            if d.kind in LANDING_KINDS and d.answer == "reject"
        ),
        dependencies=history.dependencies,
        earlier=tuple(_earlier(attempt) for attempt in history.before),
        conventions_note=config.conventions,
        conventions=conventions,
        named_code=named,
    )


def _number_of(attempt_id: str) -> int:
    tail = attempt_id.rpartition("/")[2]
    return int(tail) if tail.isdigit() else 0


def _earlier(attempt: Attempt) -> EarlierAttempt:
    return EarlierAttempt(
        number=attempt.number,
        outcome=str(attempt.outcome or ""),
        reason=attempt.reason,
        branch=attempt.branch,
        diffstat=str(attempt.report.get("diffstat", "")),
        gate_output=str(attempt.report.get("gate_output", ""))[-GATE_TAIL_CHARACTERS:],
        last_words=str(attempt.report.get("last_words", "")),
    )
