"""What happens next with a task, or what a person must do, in words and with the command. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import msgspec

from ringmaster.model.account import AccountState
from ringmaster.model.attempt import Attempt
from ringmaster.model.decision import Decision
from ringmaster.model.decisions import LANDING_KINDS
from ringmaster.model.project import Project
from ringmaster.model.states import ProjectState, TaskState, WorkerState
from ringmaster.model.task import Task
from ringmaster.model.worker import HAND, Worker
from ringmaster.protocol.task import BlockerView, TaskView

NAMED = 3
PAUSED_BY_PERSON = "paused by a person"
"""The reason of a pause that no decision asks about: only the person's own word ends it."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a task. unread: fields of a damaged row. running: attempts of its project with a seat.

    resting: agents whose account is paused. has_room: see `store.disk.has_room`; without it nothing is given out.
    decisions: the open ones about it. attempt: its newest. project: None when that was removed.
    """

    view: TaskView
    unread: tuple[str, ...]
    blockers: tuple[BlockerView, ...]
    decisions: tuple[Decision, ...]
    attempt: Attempt | None
    project: Project | None
    running: int
    workers: tuple[Worker, ...]
    now: float
    resting: Mapping[str, AccountState] = {}
    has_room: bool = True


def parked_command(project: Project) -> str:
    """The one command that takes landed work into the user's checkout."""
    path = shlex.quote(project.path)
    branch = shlex.quote(f"ringmaster/landed/{project.target}")
    return f"git -C {path} merge --ff-only {branch}"


def next_step(facts: Facts) -> str:
    """The first thing that is in the way, or what comes next."""
    task = facts.view.task
    if facts.unread:
        fields = ", ".join(facts.unread)
        return f"its row cannot be read ({fields}); write them anew: rmctl task edit {task.id}"
    if task.state in (TaskState.DONE, TaskState.CANCELLED):
        return _after_the_end(facts)
    if facts.decisions and task.state is not TaskState.RUNNING:
        return _answer(task, facts.decisions[0])
    if task.state is TaskState.FAILED:
        return f"its attempts are used up: rmctl retry {task.id}"
    if task.state is TaskState.DRAFT:
        return f"it is a draft and not given out: rmctl task edit {task.id} --open"
    if task.state is TaskState.OPEN:
        return _before_a_seat(facts)
    return _under_way(facts)


def _answer(task: Task, decision: Decision) -> str:
    if decision.kind in LANDING_KINDS:
        return (
            f"{decision.question}: rmctl task diff {task.id}, then rmctl task accept {task.id}"
            f" or rmctl task reject {task.id} -m WORDS"
        )
    answers = "|".join(decision.options) or "WORDS"
    asked = decision.question if decision.question.endswith("?") else f"{decision.question}:"
    return f"{asked} rmctl decision answer {decision.id} {answers}"


def _after_the_end(facts: Facts) -> str:
    task = facts.view.task
    if task.state is TaskState.CANCELLED:
        return f"it is cancelled; to take it up again: rmctl retry {task.id}"
    if facts.view.is_parked and facts.project is not None:
        return f"landed, not yet in your checkout: {parked_command(facts.project)}"
    if task.landed_commit:
        where = f"git -C {shlex.quote(facts.project.path)} show {task.landed_commit[:12]}" if facts.project else ""
        return f"nothing; it has landed as {task.landed_commit[:12]}" + (f": {where}" if where else "")
    return "nothing; it is done"


def _before_a_seat(facts: Facts) -> str:
    task, project = facts.view.task, facts.project
    waited_for = [blocker for blocker in facts.blockers if blocker.kind == "task"]
    if waited_for:
        names = ", ".join(f"{blocker.id} ({blocker.state})" for blocker in waited_for[:NAMED])
        more = f" and {len(waited_for) - NAMED} more" if len(waited_for) > NAMED else ""
        return f"it waits for {names}{more}: rmctl task show {waited_for[0].id}"
    if project is None:
        return f"its project {task.project_id} was removed: rmctl project add PATH --name {task.project_id}"
    if project.state is ProjectState.PAUSED:
        if project.paused_reason == PAUSED_BY_PERSON:
            return f"project {project.id} is {PAUSED_BY_PERSON}: rmctl project edit {project.id} --resume"
        return f"project {project.id} is paused, {project.paused_reason}: rmctl project show {project.id}"
    if not facts.has_room:
        return "it waits for room on the disk with the state directory: free some, or rmctl gc"
    if facts.view.shown == "scheduled" and task.not_before_at is not None:
        return f"it runs again in {max(1, round(task.not_before_at - facts.now))} s; at once: rmctl retry {task.id}"
    return _seat(facts, project)


def _seat(facts: Facts, project: Project) -> str:
    task = facts.view.task
    if project.config.max_running <= facts.running:
        return (
            f"project {project.id} runs {facts.running} of {project.config.max_running} attempts:"
            f" rmctl project show {project.id}"
        )
    fitting = [worker for worker in facts.workers if _fits(worker, task)]
    if not fitting:
        needs = "".join(f" --cap {shlex.quote(word)}" for word in task.capabilities)
        agent = shlex.quote(task.agent) if task.agent else "AGENT"
        return f"no worker can take it: rmctl worker spawn --agent {agent}{needs}"
    given = [worker for worker in fitting if not worker.is_pulled]
    if not given:
        by_hand = any(worker.agent == HAND for worker in fitting)
        return f"it waits to be pulled: {'rmctl pull' if by_hand else f'rmctl worker run {fitting[0].id}'}"
    active = [worker for worker in given if worker.state is WorkerState.ACTIVE]
    if not active:
        return f"every worker that can take it is paused or stopped: rmctl worker start {given[0].id}"
    awake = [worker for worker in active if worker.agent not in facts.resting]
    if not awake:
        return _resting(active[0].agent, facts)
    if all(worker.attempt_id for worker in awake):
        return "the next free seat takes it in its turn: rmctl task ready"
    return "a worker takes it now"


def _resting(agent: str, facts: Facts) -> str:
    account = facts.resting[agent]
    seconds = max(1, round((account.paused_until_at or facts.now) - facts.now))
    why = f" ({account.paused_reason})" if account.paused_reason else ""
    return f"the account of {agent} rests for {seconds} s{why}; to try it now: rmctl agent test {agent}"


def _fits(worker: Worker, task: Task) -> bool:
    """The claim's own conditions on a seat."""
    return (
        (not task.agent or worker.agent == task.agent)
        and worker.project_id in ("", task.project_id)
        and set(task.capabilities) <= set(worker.capabilities)
    )


def _under_way(facts: Facts) -> str:
    task, attempt = facts.view.task, facts.attempt
    if attempt is None:
        return f"it is {task.state}"
    if attempt.is_cancel_requested:
        return f"attempt {attempt.id} is being ended, then it is cancelled"
    if task.state is TaskState.RUNNING:
        if attempt.agent == HAND:
            return f"{attempt.worker_id} works on it by hand: rmctl attempt show {attempt.id}"
        return f"attempt {attempt.id} works on it: rmctl logs {attempt.id} -f"
    if task.state is TaskState.LANDING:
        return f"attempt {attempt.id} is landing"
    return f"attempt {attempt.id} is in the lane for gate and landing: rmctl logs {attempt.id} --stream gate -f"
