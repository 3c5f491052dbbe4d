"""What a person does to tasks and workers: cancel, retry, accept, reject, pause, stop."""

from __future__ import annotations

import random

from ringmaster.model.decision import Decision
from ringmaster.model.decisions import LANDING_KINDS, DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.ids import is_name
from ringmaster.model.states import DecisionState, WorkerState
from ringmaster.model.worker import Worker
from ringmaster.queue import closing
from ringmaster.queue.closing import Dependents
from ringmaster.queue.decide import answer_decision, open_decision, retry_task
from ringmaster.queue.limits import refuse_label_capabilities
from ringmaster.store import decisions, projects, tasks, workers
from ringmaster.store.connection import Connection


def cancel_task(
    conn: Connection, task_id: str, *, message: str = "", actor: str, dependents: str = Dependents.KEEP
) -> str:
    """Cancel a task, or ask for its live attempt to be ended; in words what happens. See `closing.cancel_task`."""
    return closing.cancel_task(conn, task_id, message=message, actor=actor, dependents=Dependents(dependents))


def cancel_with_words(
    conn: Connection,
    task_id: str,
    *,
    message: str,
    actor: str,
    rng: random.Random,
    dependents: str = Dependents.KEEP,
) -> str:
    """The same; the words stay with the task, and are in its next prompt should it be retried."""
    note = cancel_task(conn, task_id, message=message, actor=actor, dependents=dependents)
    if message.strip():
        _keep_words(conn, task_id, message, question="why was it cancelled?", actor=actor, rng=rng)
    return note


def retry_with_words(conn: Connection, task_id: str, *, message: str, actor: str, rng: random.Random) -> str:
    """Put a task on the queue now, its attempts uncounted; the words go into the next prompt.

    A question that takes `retry` is answered with it. Raises NOT_FOUND, WRONG_STATE.
    """
    for decision in decisions.decisions_of_task(conn, task_id):
        if decision.state is DecisionState.OPEN and "retry" in decision.options:
            return answer_decision(conn, decision.id, answer="retry", message=message, actor=actor)[1]
    note = retry_task(conn, task_id, actor=actor)
    if message.strip():
        question = "what should the next attempt know?"
        _keep_words(conn, task_id, message, question=question, actor=actor, rng=rng)
        note += ", with your words in its next prompt"
    return note


def _keep_words(conn: Connection, task_id: str, words: str, *, question: str, actor: str, rng: random.Random) -> None:
    """Store words where prompts, and whoever looks at the task, find a person's words: as an answered question."""
    decision_id = open_decision(
        conn,
        DecisionKind.QUESTION,
        project_id=tasks.row_by_id(conn, task_id).task.project_id,
        task_id=task_id,
        question=question,
        options=(),
        rng=rng,
    )
    answer_decision(conn, decision_id, answer=words, message="", actor=actor)


def waiting_decision(conn: Connection, task_id: str) -> Decision:
    """The open decision that holds a task's attempt back from landing.

    Raises:
        RingmasterError: WRONG_STATE when the task waits for none.
    """
    for decision in decisions.decisions_of_task(conn, task_id):
        if decision.state is DecisionState.OPEN and decision.kind in LANDING_KINDS:
            return decision
    state = tasks.task_by_id(conn, task_id).state
    raise RingmasterError(
        ErrorKind.WRONG_STATE,
        f"task {task_id} is {state} and waits for nobody to accept or reject it",
        f"rmctl task show {task_id}",
    )


def accept_task(conn: Connection, task_id: str, *, message: str, actor: str) -> str:
    """Let the waiting attempt go on to the lane. Raises NOT_FOUND, WRONG_STATE."""
    decision = waiting_decision(conn, task_id)
    return answer_decision(conn, decision.id, answer="accept", message=message, actor=actor)[1]


def reject_task(conn: Connection, task_id: str, *, message: str, actor: str) -> str:
    """End the waiting attempt; the words go into the next prompt. Raises NOT_FOUND, WRONG_STATE, USAGE."""
    if not message.strip():
        raise RingmasterError(
            ErrorKind.USAGE, "a rejection needs words for the next prompt", f"rmctl task reject {task_id} -m WORDS"
        )
    decision = waiting_decision(conn, task_id)
    return answer_decision(conn, decision.id, answer="reject", message=message, actor=actor)[1]


def spawn_worker(conn: Connection, worker: Worker, *, actor: str) -> str:
    """Store a new worker; an empty id makes one up (w1, w2, …). Its id.

    Raises:
        RingmasterError: USAGE for a bad name; NOT_FOUND for its project; CONFLICT when the name is taken.
    """
    refuse_label_capabilities(worker.capabilities)
    if worker.project_id:
        projects.project_by_id(conn, worker.project_id)
    if not worker.id:
        taken = {known.id for known in workers.all_workers(conn)}
        free = next(f"w{number}" for number in range(1, len(taken) + 2) if f"w{number}" not in taken)
        worker = Worker(**{**{f: getattr(worker, f) for f in worker.__struct_fields__}, "id": free})
    if not is_name(worker.id):
        raise RingmasterError(ErrorKind.USAGE, f"{worker.id[:60]!r} is no name for a worker", "use a-z, 0-9, - and _")
    workers.insert_worker(conn, worker)
    conn.emit("worker.spawned", worker_id=worker.id, actor=actor, data={"agent": worker.agent})
    return worker.id


_WORKER_EVENTS = {
    WorkerState.ACTIVE: "worker.started",
    WorkerState.PAUSED: "worker.paused",
    WorkerState.STOPPED: "worker.stopped",
}


def set_worker_state(conn: Connection, worker_id: str, state: WorkerState, *, actor: str) -> Worker:
    """Start, pause or stop a worker. What a stopped one runs is ended by the supervisor. Raises NOT_FOUND."""
    worker = workers.worker_by_id(conn, worker_id)
    if workers.set_worker_state(conn, worker_id, state):
        conn.emit(_WORKER_EVENTS[state], worker_id=worker_id, attempt_id=worker.attempt_id, actor=actor)
    return workers.worker_by_id(conn, worker_id)


def remove_worker(conn: Connection, worker_id: str, *, actor: str) -> None:
    """Remove a stopped worker. Raises NOT_FOUND, WRONG_STATE."""
    worker = workers.worker_by_id(conn, worker_id)
    if not workers.delete_worker(conn, worker_id):
        words = f"works on {worker.attempt_id}" if worker.attempt_id else f"is {worker.state}"
        raise RingmasterError(
            ErrorKind.WRONG_STATE, f"worker {worker_id} {words}", f"rmctl worker stop {worker_id}, then remove it"
        )
    conn.emit("worker.removed", worker_id=worker_id, actor=actor)
