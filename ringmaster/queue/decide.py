"""Questions to a person: opening them, answering them, and what an answer does."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import msgspec

from ringmaster.model.asking import Advice
from ringmaster.model.decision import Decision
from ringmaster.model.decisions import DECISION_EFFECTS, GIVE_UP, DecisionKind, Effect, effect_of, options_of
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.ids import make_decision_id
from ringmaster.model.outcomes import Outcome
from ringmaster.model.states import DecisionState, ProjectState, TaskState
from ringmaster.model.task import Task
from ringmaster.queue.blockers import block, complete_task, count_move, unblock
from ringmaster.queue.budget import settle
from ringmaster.queue.changes import moved
from ringmaster.redaction.redactor import KNOWN_FORMS
from ringmaster.store import attempts, decisions, projects, spawn_failures, spending, tasks, workers
from ringmaster.store.connection import Connection

DETAIL_LIMIT = 60_000
NO_ADVICE = Advice()


def open_decision(
    conn: Connection,
    kind: DecisionKind,
    *,
    project_id: str,
    question: str,
    detail: str = "",
    task_id: str = "",
    attempt_id: str = "",
    options: tuple[str, ...] | None = None,
    advice: Advice = NO_ADVICE,
    rng: random.Random,
) -> str:
    """Ask a person. A question about a task is counted as one more blocker of it.

    options, advice: only for `question`; the other kinds take the answers of their table, and a person's alone.
    Question and detail are kept as they may be shown: names of files and tests, diffs and errors are in them.
    Returns the decision's id.
    """
    question, detail = KNOWN_FORMS.shown(question), KNOWN_FORMS.shown(detail)
    decision_id = make_decision_id(rng)
    while decisions.is_known(conn, decision_id):
        decision_id = make_decision_id(rng, 8)
    decisions.insert_decision(
        conn,
        Decision(
            id=decision_id,
            kind=kind,
            project_id=project_id,
            task_id=task_id,
            attempt_id=attempt_id,
            question=question,
            detail=detail[-DETAIL_LIMIT:],
            options=options if options is not None else options_of(kind),
            state=DecisionState.OPEN,
            answer="",
            message="",
            answered_by="",
            created_at=conn.now,
            answered_at=None,
            recommendation=advice.recommendation,
            urgency=advice.urgency,
            default_answer=advice.default_answer,
            default_at=advice.default_at,
        ),
    )
    if task_id:
        block(conn, task_id)
    conn.emit(
        "decision.opened",
        project_id=project_id,
        task_id=task_id,
        attempt_id=attempt_id,
        decision_id=decision_id,
        data={"kind": str(kind), "question": question, **_told(advice)},
    )
    return decision_id


def _told(advice: Advice) -> dict[str, str | float]:
    """What of it is set, for the event."""
    found = msgspec.structs.asdict(advice)
    return {name: value for name, value in found.items() if value != getattr(NO_ADVICE, name)}


def pause_project(
    conn: Connection,
    project_id: str,
    kind: DecisionKind,
    *,
    question: str,
    reason: str,
    detail: str = "",
    rng: random.Random,
) -> None:
    """Stop giving out a project's tasks and ask once: a second finding of the same kind asks nothing new."""
    reason = KNOWN_FORMS.shown(reason)
    if projects.set_project_state(conn, project_id, ProjectState.PAUSED, reason):
        conn.emit("project.paused", project_id=project_id, data={"reason": reason})
    if decisions.open_decision_of_project(conn, project_id, kind) is None:
        open_decision(conn, kind, project_id=project_id, question=question, detail=detail, rng=rng)


def withdraw(conn: Connection, decision: Decision) -> None:
    """Take a question back: its answer would change nothing any more."""
    if decisions.withdraw_decision(conn, decision.id):
        if decision.task_id:
            unblock(conn, decision.task_id)
        conn.emit(
            "decision.withdrawn",
            project_id=decision.project_id,
            task_id=decision.task_id,
            attempt_id=decision.attempt_id,
            decision_id=decision.id,
        )


def withdraw_all(conn: Connection, task_id: str, *, attempt_id: str = "", is_kept_question: bool = False) -> None:
    """Take back a task's open questions, or only those about one attempt.

    is_kept_question: leave what the agent itself asked, because its answer is wanted in the next prompt.
    """
    for decision in decisions.open_of_task(conn, task_id):
        if attempt_id and decision.attempt_id != attempt_id:
            continue
        if is_kept_question and decision.kind is DecisionKind.QUESTION:
            continue
        withdraw(conn, decision)


def answer_decision(
    conn: Connection, decision_id: str, *, answer: str, message: str, actor: str
) -> tuple[Decision, str]:
    """Take a person's answer and do what it says, in one transaction.

    Returns the decision as it now is, and in words what the answer did.

    Raises:
        RingmasterError: NOT_FOUND; USAGE for an answer the kind does not take; WRONG_STATE when it was
            answered or withdrawn before.
    """
    decision = decisions.decision_by_id(conn, decision_id)
    if decision.state is not DecisionState.OPEN:
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"decision {decision_id} is {decision.state} already",
            f"rmctl decision show {decision_id}",
        )
    effect = effect_of(decision.kind, decision_id, answer)
    decisions.answer_decision(conn, decision_id, answer=answer, message=message, answered_by=actor)
    if decision.task_id:
        unblock(conn, decision.task_id)
        tasks.forget_failure(conn, decision.task_id)
    conn.emit(
        "decision.answered",
        project_id=decision.project_id,
        task_id=decision.task_id,
        attempt_id=decision.attempt_id,
        decision_id=decision_id,
        actor=actor,
        data={"answer": answer, "message": message, "effect": str(effect)},
    )
    note = _apply(conn, decision, effect, answer=answer, message=message, actor=actor)
    return decisions.decision_by_id(conn, decision_id), note


def _apply(conn: Connection, decision: Decision, effect: Effect, *, answer: str, message: str, actor: str) -> str:
    task_id = decision.task_id
    if effect is Effect.NOTE:
        return f"the answer goes into the next prompt of {task_id}"
    if effect is Effect.KEEP:
        return "noted; nothing else changed"
    if effect is Effect.TAKE:
        return f"the daemon goes by it: {answer}"
    if effect is Effect.RESUME:
        return resume_project(conn, decision.project_id, actor=actor)
    if effect is Effect.RESUME_AGENT:
        agent = attempts.salvaged_by_id(conn, decision.attempt_id).agent
        resume_agent(conn, agent, actor=actor)
        return f"agent {agent} is started again"
    if effect is Effect.LAND:
        if not attempts.accept_attempt(conn, decision.attempt_id):
            return f"attempt {decision.attempt_id} does not wait any more; nothing else changed"
        withdraw_all(conn, task_id, attempt_id=decision.attempt_id)
        conn.emit(
            "attempt.accepted",
            project_id=decision.project_id,
            task_id=task_id,
            attempt_id=decision.attempt_id,
            actor=actor,
        )
        return f"{task_id} goes on to the lane"
    if effect is Effect.LANDING:
        # Not ended here: its ref may have moved, or be moving now. Only the lane can tell.
        tail = f", and if that fails {task_id} is cancelled" if answer == GIVE_UP else ""
        return f"the landing of {decision.attempt_id} is tried once more{tail}"
    if effect is Effect.REJECT:
        return reject_attempt(conn, decision.attempt_id, message, actor=actor)
    if effect is Effect.RETRY:
        return retry_task(conn, task_id, actor=actor, is_answer=True)
    if effect is Effect.CLOSE:
        state = tasks.row_by_id(conn, task_id).task.state
        if state is TaskState.DRAFT:
            # It was made one while the question was open, and a draft is never done at once.
            tasks.move_task(conn, task_id, TaskState.DRAFT, TaskState.OPEN)
            state = TaskState.OPEN
        freed = complete_task(conn, task_id, project_id=decision.project_id, old=state, done_by="person", actor=actor)
        return f"{task_id} is done" + (f"; ready now: {', '.join(freed)}" if freed else "")
    return cancel_now(conn, task_id, message=message, actor=actor, by=decision.id)


def resume_project(conn: Connection, project_id: str, *, actor: str) -> str:
    """Give out a project's tasks again."""
    if projects.set_project_state(conn, project_id, ProjectState.ACTIVE, ""):
        conn.emit("project.resumed", project_id=project_id, actor=actor)
    for kind, effects in DECISION_EFFECTS.items():
        while Effect.RESUME in effects.values():
            decision_id = decisions.open_decision_of_project(conn, project_id, kind)
            if decision_id is None:
                break
            withdraw(conn, decisions.decision_by_id(conn, decision_id))
    return f"project {project_id} is active"


def resume_agent(conn: Connection, agent: str, *, actor: str) -> bool:
    """Start an agent kind again and take back what was asked about it; False when it was not paused."""
    spawn_failures.forget_failures(conn, agent)
    if not spawn_failures.resume_agent(conn, agent):
        return False
    conn.emit("agent.resumed", actor=actor, data={"agent": agent})
    for decision_id, attempt_id in decisions.open_of_kind(conn, DecisionKind.AGENT_BROKEN):
        if attempts.salvaged_by_id(conn, attempt_id).agent == agent:
            withdraw(conn, decisions.decision_by_id(conn, decision_id))
    return True


def reject_attempt(conn: Connection, attempt_id: str, words: str, *, actor: str) -> str:
    """End a waiting attempt; its task runs again at once, uncounted, with the words in its prompt.

    Raises:
        RingmasterError: WRONG_STATE when the attempt does not wait.
    """
    attempt = attempts.attempt_by_id(conn, attempt_id)
    if attempt.state != "validating":
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"attempt {attempt_id} is {attempt.outcome or attempt.state}, so there is nothing to reject",
            f"rmctl task show {attempt.task_id}",
        )
    reason = f"rejected: {words}" if words.strip() else "rejected by a person"
    attempts.end_attempt(conn, attempt, Outcome.FAILED, reason)
    withdraw_all(conn, attempt.task_id, attempt_id=attempt_id)
    task = tasks.task_by_id(conn, attempt.task_id)
    tasks.settle_task(
        conn,
        task.id,
        state=TaskState.OPEN,
        counted_attempts=task.counted_attempts,
        streak=0,
        not_before_at=None,
    )
    names = {"project_id": task.project_id, "task_id": task.id, "attempt_id": attempt_id}
    conn.emit("attempt.ended", **names, actor=actor, data={"outcome": "failed", "reason": reason})
    conn.emit("task.opened", **names, actor=actor, data={"reason": "rejected"})
    if task.id in count_move(conn, task.id, task.state, TaskState.OPEN, actor=actor).ended:
        return f"{task.id} is done: it is not needed any more"
    return f"{task.id} runs again with your words in its prompt" if words.strip() else f"{task.id} runs again"


def retry_task(conn: Connection, task_id: str, *, actor: str, is_answer: bool = False) -> str:
    """Put a task on the queue now with its attempts uncounted.

    What was asked about it is taken back, but for the agent's own questions. is_answer: a question was answered with
    it, which cannot be undone.

    Raises:
        RingmasterError: WRONG_STATE when it is running or done, or would be done again at once.
    """
    task, since = tasks.row_by_id(conn, task_id).task, conn.next_seq
    if not tasks.requeue_task(conn, task_id):
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"task {task_id} is {task.state}, so it cannot be retried",
            f"rmctl task show {task_id}",
        )
    take_up_again(conn, task, actor=actor)
    told = {"reason": "retry", **moved(conn, task)} | ({} if is_answer else {"since": since})
    conn.emit("task.opened", project_id=task.project_id, task_id=task_id, actor=actor, data=told)
    return f"{task_id} is on the queue again"


def take_up_again(conn: Connection, before: Task, *, actor: str) -> None:
    """Count a task as open whose row was just opened; what the agent itself asked is still to be answered.

    Raises:
        RingmasterError: WRONG_STATE when it would be done at once.
    """
    withdraw_all(conn, before.id, is_kept_question=True)
    count_move(conn, before.id, before.state, TaskState.OPEN, actor=actor)
    after = tasks.row_by_id(conn, before.id).task
    if after.state is TaskState.OPEN:
        return
    is_of_children = after.done_by == "children"
    why = "its children are all over" if is_of_children else "it is not needed any more"
    again = "again " if before.state is TaskState.DONE else ""
    raise RingmasterError(
        ErrorKind.WRONG_STATE,
        f"task {before.id} would be done {again}at once: {why}",
        "reopen a child, or add one" if is_of_children else f"rmctl task show {before.id}",
    )


def cancel_now(conn: Connection, task_id: str, *, message: str = "", actor: str, by: str = "") -> str:
    """Cancel a task that no agent works on. by: the task with which it is cancelled, or the decision that said so.

    Raises:
        RingmasterError: NOT_FOUND; WRONG_STATE when it has ended or is landing.
    """
    since = conn.next_seq
    before = cancel_row(conn, task_id, actor=actor)
    tell_cancelled(conn, before, message=message, actor=actor, more={"by": by} if by else {"since": since})
    return f"{task_id} is cancelled"


def cancel_row(conn: Connection, task_id: str, *, actor: str) -> Task:
    """Cancel a task without saying so, for who has more to do with it; what it was. Raises as `cancel_now`."""
    task = tasks.row_by_id(conn, task_id).task
    if task.state is TaskState.CANCELLED:
        raise RingmasterError(ErrorKind.WRONG_STATE, f"task {task_id} is cancelled already", f"rmctl retry {task_id}")
    tasks.move_task(conn, task_id, task.state, TaskState.CANCELLED)
    withdraw_all(conn, task_id)
    count_move(conn, task_id, task.state, TaskState.CANCELLED, actor=actor)
    return task


def tell_cancelled(conn: Connection, before: Task, *, message: str, actor: str, more: Mapping[str, Any]) -> None:
    """The event of a task that was cancelled. more: `since`, or `by`; see `queue.changes`."""
    told = {"message": message, **moved(conn, before), **more}
    conn.emit("task.cancelled", project_id=before.project_id, task_id=before.id, actor=actor, data=told)


def release_seat(conn: Connection, worker_id: str, attempt_id: str, *, started: str = "") -> None:
    """Empty the seat of an attempt and say so, so that the dispatcher fills it. What it spent is counted.

    started: the agent, where it is known to have been started.
    """
    is_held, has_failed = spending.look_at_leaving(conn, attempt_id, started)
    if is_held:
        settle(conn, attempt_id)
    if has_failed:
        spawn_failures.forget_failures(conn, started)
    if workers.free_seat(conn, worker_id, attempt_id):
        conn.emit("worker.freed", worker_id=worker_id, attempt_id=attempt_id)
