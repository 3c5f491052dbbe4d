"""How an attempt goes on and ends: the outcome table applied to rows."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from ringmaster.model.asking import Advice
from ringmaster.model.attempt import Attempt, LandingIntent
from ringmaster.model.decisions import GIVE_UP, DecisionKind
from ringmaster.model.failure import SAME_LIMIT, after_failure, failure_of
from ringmaster.model.outcomes import INTERRUPTED_LIMIT, OUTCOME_RULES, Outcome, consequence_of
from ringmaster.model.states import ENDED_TASK_STATES, DecisionState, TaskState
from ringmaster.queue.agent_pauses import note_start
from ringmaster.queue.blockers import complete_task, count_move
from ringmaster.queue.closing import settle_ended
from ringmaster.queue.decide import NO_ADVICE, open_decision, release_seat, withdraw, withdraw_all
from ringmaster.redaction.redactor import KNOWN_FORMS
from ringmaster.store import attempts, decisions, dependencies, projects, tasks
from ringmaster.store.connection import Connection

REASON_LIMIT = 200
TRIED_LIMIT = 20
"""Of an attempt's reason, and of attempts, so much is told to who decides."""


def _names(attempt: Attempt) -> dict[str, str]:
    return {
        "project_id": attempt.project_id,
        "task_id": attempt.task_id,
        "attempt_id": attempt.id,
        "worker_id": attempt.worker_id,
    }


def begin_work(conn: Connection, attempt_id: str, token: str, *, branch: str, base_commit: str) -> Attempt:
    """Note the branch and where it begins. Raises LEASE_LOST."""
    attempt = attempts.check_token(conn, attempt_id, token)
    attempts.begin_work(conn, attempt, branch=branch, base_commit=base_commit)
    conn.emit("attempt.prepared", **_names(attempt), data={"branch": branch, "base": base_commit})
    return attempts.attempt_by_id(conn, attempt_id)


def add_to_report(conn: Connection, attempt_id: str, token: str, facts: dict[str, Any]) -> Attempt:
    """Add facts to the attempt's report. Raises LEASE_LOST."""
    attempt = attempts.check_token(conn, attempt_id, token)
    attempts.set_report(conn, attempt, {**attempt.report, **facts})
    conn.emit("attempt.reported", **_names(attempt), data=facts)
    return attempts.attempt_by_id(conn, attempt_id)


def ask(
    conn: Connection,
    attempt_id: str,
    token: str,
    *,
    question: str,
    detail: str,
    options: tuple[str, ...],
    advice: Advice = NO_ADVICE,
    rng: random.Random,
) -> str:
    """An attempt's question to a person: a decision that its task waits for. Raises LEASE_LOST."""
    attempt = attempts.check_token(conn, attempt_id, token)
    asked = tuple(attempt.report.get("asked", ()))
    decision_id = open_decision(
        conn,
        DecisionKind.QUESTION,
        project_id=attempt.project_id,
        task_id=attempt.task_id,
        attempt_id=attempt.id,
        question=question,
        detail=detail,
        options=options,
        advice=advice,
        rng=rng,
    )
    attempts.set_report(conn, attempt, {**attempt.report, "asked": (*asked, decision_id)})
    return decision_id


def handed_back_words(said: Mapping[str, Any]) -> str:
    """Why an attempt that was handed back has ended."""
    summary = " ".join(str(said.get("summary", "")).split())[:300]
    return "handed back by its worker" + (f": {summary}" if summary else "")


def hand_over(conn: Connection, attempt_id: str, token: str, *, head_commit: str, report: dict[str, Any]) -> Attempt:
    """The agent has ended with work to judge: running -> validating, and the seat is free. Raises LEASE_LOST."""
    attempt = attempts.check_token(conn, attempt_id, token)
    attempts.to_validating(conn, attempt, head_commit=head_commit, report={**attempt.report, **report})
    tasks.move_task(conn, attempt.task_id, TaskState.RUNNING, TaskState.VALIDATING)
    conn.emit("task.validating", **_names(attempt), data={"head": head_commit})
    release_seat(conn, attempt.worker_id, attempt.id, started=attempt.agent)
    return attempts.attempt_by_id(conn, attempt_id)


def wait_for_person(
    conn: Connection,
    attempt_id: str,
    token: str,
    kind: DecisionKind,
    *,
    question: str,
    detail: str,
    rng: random.Random,
) -> str:
    """A validating attempt that only a person may let through. Raises LEASE_LOST."""
    attempt = attempts.check_token(conn, attempt_id, token)
    return open_decision(
        conn,
        kind,
        project_id=attempt.project_id,
        task_id=attempt.task_id,
        attempt_id=attempt.id,
        question=question,
        detail=detail,
        rng=rng,
    )


def store_intent(conn: Connection, attempt_id: str, token: str, intent: LandingIntent) -> Attempt:
    """Step 1 of landing: validating -> landing, with what is about to be done. Raises LEASE_LOST."""
    attempt = attempts.check_token(conn, attempt_id, token)
    attempts.to_landing(conn, attempt, intent)
    tasks.move_task(conn, attempt.task_id, TaskState.VALIDATING, TaskState.LANDING)
    conn.emit("task.landing", **_names(attempt), data=intent)
    return attempts.attempt_by_id(conn, attempt_id)


def take_intent_back(conn: Connection, attempt_id: str, token: str, reason: str) -> Attempt:
    """The ref was elsewhere: landing -> validating, to be gated again. Raises LEASE_LOST."""
    attempt = attempts.check_token(conn, attempt_id, token)
    attempts.back_to_validating(conn, attempt)
    tasks.move_task(conn, attempt.task_id, TaskState.LANDING, TaskState.VALIDATING)
    conn.emit("task.validating", **_names(attempt), data={"reason": reason})
    for decision in decisions.open_of_task(conn, attempt.task_id):
        if decision.kind is DecisionKind.LANDING_STUCK:
            # It is not stuck any more, and an open question would keep it out of the lane.
            withdraw(conn, decision)
    return attempts.attempt_by_id(conn, attempt_id)


def ask_about_stuck_landing(conn: Connection, attempt: Attempt, words: str, *, place: str, rng: random.Random) -> bool:
    """A landing cannot go on: ask once whether to go on trying, or end it where a person has given it up.

    words: what is in the way. place: the repository that keeps its work. True when it has ended: then its task is
    cancelled, and nothing of its work is removed. Raises LEASE_LOST.
    """
    asked = [
        decision
        for decision in decisions.decisions_of_task(conn, attempt.task_id)
        if decision.kind is DecisionKind.LANDING_STUCK and decision.attempt_id == attempt.id
    ]
    kept = f"its work is kept as {attempt.head_commit[:12]} in {place}"
    if asked and asked[-1].state is DecisionState.ANSWERED and asked[-1].answer == GIVE_UP:
        reason = f"given up by a person, because it could not land: {words}; {kept}"
        end_attempt(conn, attempt.id, attempt.token, Outcome.CANCELLED, reason, rng=rng)
        return True
    if not asked or asked[-1].state is not DecisionState.OPEN:
        open_decision(
            conn,
            DecisionKind.LANDING_STUCK,
            project_id=attempt.project_id,
            task_id=attempt.task_id,
            attempt_id=attempt.id,
            question=f"the landing of {attempt.task_id} is stuck: {words}. Try again, or give it up?",
            detail=kept,
            rng=rng,
        )
    return False


def complete_landing(
    conn: Connection, attempt_id: str, token: str, *, parked_commit: str, parked_ref: str = ""
) -> list[str]:
    """Step 3 of landing: the ref has moved. Outcome, task, dependents and events in one transaction.

    parked_commit, parked_ref: the landed branch when the target could not be moved, else ''.
    Returns the ids of the tasks that became ready. Raises LEASE_LOST.
    """
    attempt = attempts.check_token(conn, attempt_id, token)
    if attempt.landing is None:
        raise attempts.lease_lost(attempt)
    landing = attempt.landing
    if parked_commit:
        # The intent named the target; what came of it is where people will look for the commit.
        landing = msgspec.structs.replace(landing, ref=parked_ref or landing.ref, is_parked=True)
        attempts.set_landing(conn, attempt, landing)
    attempts.end_attempt(conn, attempt, Outcome.SUCCEEDED, "landed")
    projects.set_parked_commit(conn, attempt.project_id, parked_commit)
    conn.emit("attempt.ended", **_names(attempt), data={"outcome": "succeeded", "reason": "landed"})
    conn.emit("task.landed", **_names(attempt), data=landing)
    return complete_task(
        conn,
        attempt.task_id,
        project_id=attempt.project_id,
        old=TaskState.LANDING,
        done_by="landed",
        landed_commit=landing.new,
    )


def complete_without_diff(conn: Connection, attempt_id: str, token: str, report: dict[str, Any]) -> list[str]:
    """A task that needs no diff is done when its agent says so. Raises LEASE_LOST."""
    attempt = attempts.check_token(conn, attempt_id, token)
    said = {**attempt.report, **report}
    attempts.end_attempt(conn, attempt, Outcome.SUCCEEDED, "done without a change", report=said)
    release_seat(conn, attempt.worker_id, attempt.id, started=attempt.agent)
    conn.emit("attempt.ended", **_names(attempt), data={"outcome": "succeeded", "reason": "done without a change"})
    old = TaskState.RUNNING if attempt.state == "running" else TaskState.VALIDATING
    return complete_task(conn, attempt.task_id, project_id=attempt.project_id, old=old, done_by="landed")


def end_attempt(
    conn: Connection,
    attempt_id: str,
    token: str,
    outcome: Outcome,
    reason: str,
    *,
    rng: random.Random,
    is_counted: bool = True,
    reset_at: float | None = None,
    report: dict[str, Any] | None = None,
    head_commit: str = "",
    failed_tests: Sequence[str] = (),
) -> TaskState:
    """End an attempt with any outcome but success, and do what the outcome table says.

    is_counted, reset_at: see `consequence_of`. report: facts to add to the attempt's; its `question`, {words,
    detail, options}, is what a person is asked where the outcome is needs_decision.
    head_commit: where its work is kept, when that is known only now. failed_tests: what a red gate names.
    reason: kept as it may be shown.
    Returns the task's state after it. Raises LEASE_LOST.
    """
    reason = KNOWN_FORMS.shown(reason)
    attempt = attempts.check_token(conn, attempt_id, token)
    if head_commit:
        attempts.set_head(conn, attempt, head_commit)
    task = tasks.task_by_id(conn, attempt.task_id)
    failure, same_failures = task.failure, task.same_failures
    if is_counted and OUTCOME_RULES[outcome].is_counted:
        failure, same_failures = after_failure(task, failure_of(outcome, reason, failed_tests))
    after = consequence_of(
        outcome,
        counted_attempts=task.counted_attempts,
        max_attempts=task.max_attempts,
        streak=task.streak,
        now=conn.now,
        rng=rng,
        is_counted=is_counted,
        reset_at=reset_at,
        is_hopeless=same_failures >= SAME_LIMIT,
    )
    _end_row(conn, attempt, outcome, reason, {**attempt.report, **(report or {})}, rng)
    # Whatever the attempt came to: where a cancel was asked for, a person does not want the task any more.
    state = TaskState.CANCELLED if attempt.is_cancel_requested else after.next_state or TaskState.OPEN
    tasks.settle_task(
        conn,
        task.id,
        state=state,
        counted_attempts=after.counted_attempts,
        streak=after.streak,
        not_before_at=after.not_before_at if state is TaskState.OPEN else None,
        failure=failure,
        same_failures=same_failures,
    )
    said = {"reason": reason, "outcome": str(outcome), "not_before_at": after.not_before_at}
    conn.emit("task.opened" if state is TaskState.OPEN else f"task.{state}", **_names(attempt), data=said)
    spread = count_move(conn, task.id, TaskState(attempt.state), state)
    if task.id in spread.ended:
        # What it is the fallback of has come through meanwhile: there is nothing to ask about it any more.
        return TaskState.DONE
    if attempt.is_cancel_requested:
        settle_ended(conn, task.id, attempt.id)
    if state in ENDED_TASK_STATES and state is not TaskState.FAILED:
        withdraw_all(conn, task.id)
        return state
    asked = (report or {}).get("question", {})
    _ask_what_follows(conn, attempt, outcome, reason, asked, after.is_spent, after.is_streak_broken, same_failures, rng)
    return state


def _end_row(
    conn: Connection, attempt: Attempt, outcome: Outcome, reason: str, report: dict[str, Any], rng: random.Random
) -> None:
    """End the attempt itself: its row, its seat, what was asked about it. The task's is the caller's."""
    if attempt.state == "landing":
        attempts.back_to_validating(conn, attempt)
        tasks.move_task(conn, attempt.task_id, TaskState.LANDING, TaskState.VALIDATING)
    attempts.end_attempt(conn, attempt, outcome, reason, report=report)
    release_seat(conn, attempt.worker_id, attempt.id)
    conn.emit("attempt.ended", **_names(attempt), data={"outcome": str(outcome), "reason": reason})
    if attempt.state == "running":
        note_start(conn, attempt, outcome, reason, rng=rng)
    withdraw_all(conn, attempt.task_id, attempt_id=attempt.id, is_kept_question=True)


def _ask_what_follows(
    conn: Connection,
    attempt: Attempt,
    outcome: Outcome,
    reason: str,
    asked: Mapping[str, Any],
    is_spent: bool,
    is_streak_broken: bool,
    same_failures: int,
    rng: random.Random,
) -> None:
    ask_person = partial(
        open_decision, conn, project_id=attempt.project_id, task_id=attempt.task_id, attempt_id=attempt.id, rng=rng
    )
    if outcome is Outcome.NO_CHANGES:
        ask_person(
            DecisionKind.NO_CHANGES,
            question=f"{attempt.task_id} ended without a change: close it or try again?",
            detail=reason,
        )
    elif outcome is Outcome.NEEDS_DECISION and not _has_question(conn, attempt):
        # What asks without words of its own, such as an agent that was refused a permission, has its reason.
        ask_person(
            DecisionKind.QUESTION,
            question=" ".join(asked.get("words", "").split()) or reason,
            detail=asked.get("detail", ""),
            options=tuple(option for option in asked.get("options", ()) if option.strip()),
        )
    elif is_spent:
        words = "used up its attempts"
        if same_failures >= SAME_LIMIT:
            words = f"failed {same_failures} times in a row in the same way ({_one_line(reason)})"
        ask_person(
            DecisionKind.ATTEMPTS_SPENT,
            question=f"{attempt.task_id} {words}{_who_waits(conn, attempt.task_id)}: try again, close or cancel it?",
            detail=_what_was_tried(conn, attempt.task_id),
        )
    elif is_streak_broken:
        ask_person(
            DecisionKind.INTERRUPTED,
            question=f"{attempt.task_id} was interrupted {INTERRUPTED_LIMIT} times in a row: try again or cancel it?",
            detail=_what_was_tried(conn, attempt.task_id),
        )


def _has_question(conn: Connection, attempt: Attempt) -> bool:
    """Whether it asked over the socket: an answer that came while it still ran is as good as one that comes later."""
    return any(
        decision.attempt_id == attempt.id and decision.state in (DecisionState.OPEN, DecisionState.ANSWERED)
        for decision in decisions.decisions_of_task(conn, attempt.task_id)
    )


def _who_waits(conn: Connection, task_id: str) -> str:
    waiting = len(dependencies.waiting_for(conn, task_id))
    return f", and {waiting} {'task waits' if waiting == 1 else 'tasks wait'} for it" if waiting else ""


def _one_line(reason: str) -> str:
    return " ".join(reason.split())[:REASON_LIMIT]


def _what_was_tried(conn: Connection, task_id: str) -> str:
    """A line for each attempt: who, how long, how it ended, what it changed and cost. Whole of the newest ones."""
    return "\n".join(_tried_line(attempt) for attempt in attempts.salvaged_of_task(conn, task_id)[-TRIED_LIMIT:])


def _tried_line(attempt: Attempt) -> str:
    took_s = (attempt.ended_at or attempt.started_at) - attempt.started_at
    parts = [f"attempt {attempt.number} ({attempt.agent}): {attempt.outcome}: {_one_line(attempt.reason)}"]
    parts += [f"after {took_s:.0f} s"] if took_s >= 1 else []
    parts += str(attempt.report.get("diffstat", "")).strip().splitlines()[-1:]
    parts += [f"${attempt.cost_usd:.4f}"] if attempt.cost_usd else []
    return "; ".join(part.strip()[:REASON_LIMIT] for part in parts)
