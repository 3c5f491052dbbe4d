"""What of its own is in a task's way: what it waits for, down to the root, questions, holds, times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ringmaster.model.decision import Decision
from ringmaster.model.decisions import LANDING_KINDS
from ringmaster.model.dependency import ANY_CHILD, DependencyKind
from ringmaster.model.states import LIVE_TASK_STATES, TaskState
from ringmaster.model.task import Task, TaskType
from ringmaster.protocol.why import Link, Obstacle, ObstacleKind
from ringmaster.store import decisions, dependencies, tasks
from ringmaster.store.connection import Connection
from ringmaster.store.dependencies import Blocker

K = ObstacleKind
D = DependencyKind
LONGEST_CHAIN = 10
CHAINS = 20
"""An epic can wait for very many: of so many dependencies it is told what they wait for in turn."""


def of_row(unread: Sequence[str], task_id: str) -> Iterator[Obstacle]:
    """Fields of a row that cannot be read."""
    if unread:
        yield Obstacle(
            kind=K.UNREADABLE,
            id=task_id,
            words=f"its row cannot be read ({', '.join(unread)}); write them anew",
            command=f"rmctl task edit {task_id}",
        )


def of_dependencies(conn: Connection, task_id: str) -> list[Obstacle]:
    """Each open dependency, with what the other task waits for in turn."""
    waited_for = [other for other in dependencies.blockers_of(conn, task_id) if other.is_open]
    return [
        Obstacle(
            kind=K.DEPENDENCY,
            id=other.id,
            words=_dependency_words(other),
            since_at=other.created_at,
            command=_about(other),
            chain=_chain(conn, other.id, {task_id, other.id}) if place < CHAINS else (),
        )
        for place, other in enumerate(waited_for)
    ]


def _dependency_words(other: Blocker) -> str:
    named = f"{other.id} ({other.state})"
    if other.kind == D.CONDITIONAL_BLOCKS:
        return f"it is for the case that {named} fails"
    if other.kind == D.WAITS_FOR:
        return f"it waits for {'a child' if other.mode == ANY_CHILD else 'the children'} of {named}"
    if other.kind == D.PARENT_CHILD:
        is_off = other.state in (TaskState.DRAFT, TaskState.CANCELLED)
        return f"its parent {named} is not on" if is_off else f"its parent {named} is held up"
    return f"it waits for {named}"


def _about(other: Blocker) -> str:
    """The command for what a task waits for: what ended otherwise than done needs a person."""
    if other.kind == D.CONDITIONAL_BLOCKS or other.state not in (TaskState.FAILED, TaskState.CANCELLED):
        return f"rmctl why {other.id}"
    return f"rmctl retry {other.id}"


def _chain(conn: Connection, task_id: str, seen: set[str]) -> tuple[Link, ...]:
    """What a task waits for first, what that does, and so on: the root is last."""
    links: list[Link] = []
    while len(links) < LONGEST_CHAIN:
        row = tasks.row_by_id(conn, task_id)
        if row.task.state in LIVE_TASK_STATES and not row.has_open_decision:
            links.append(_link(str(row.task.state), task_id, f"{task_id} is {row.task.state}", row.task))
            break
        waited_for = dependencies.first_open(conn, task_id)
        if waited_for is not None and row.task.state not in (TaskState.CANCELLED, TaskState.DONE):
            words = f"{task_id}: {_dependency_words(waited_for)}"
            state = waited_for.state
            links.append(
                Link(kind=K.DEPENDENCY, id=waited_for.id, words=words, state=state, command=_about(waited_for))
            )
            if waited_for.id in seen:
                break
            seen.add(waited_for.id)
            task_id = waited_for.id
            continue
        links += _root(conn, row.task)
        break
    return tuple(links)


def _link(kind: str, id: str, words: str, task: Task) -> Link:
    return Link(kind=kind, id=id, words=words, state=str(task.state), command=f"rmctl why {task.id}")


def _root(conn: Connection, task: Task) -> list[Link]:
    """Why a task that waits for no other is not done."""
    for obstacle in (*of_decisions(decisions.open_of_task(conn, task.id), task), *of_facts(task, None)):
        return [
            Link(
                kind=obstacle.kind,
                id=obstacle.id or task.id,
                words=f"{task.id}: {obstacle.words}",
                state=str(task.state),
                command=obstacle.command,
            )
        ]
    if task.state is TaskState.OPEN:
        return [_link("ready", task.id, f"{task.id} is ready and waits for a seat", task)]
    if task.state is TaskState.DONE:
        return []
    return [
        Link(
            kind=str(task.state),
            id=task.id,
            words=f"{task.id} is {task.state}",
            state=str(task.state),
            command=f"rmctl retry {task.id}",
        )
    ]


def of_decisions(asked: Sequence[Decision], task: Task) -> list[Obstacle]:
    """Each open question about a task."""
    return [
        Obstacle(
            kind=K.DECISION,
            id=decision.id,
            words=decision.question if decision.question.endswith("?") else f"{decision.question}",
            since_at=decision.created_at,
            command=_answer(decision, task),
            is_mending=True,
        )
        for decision in asked
    ]


def _answer(decision: Decision, task: Task) -> str:
    if decision.kind in LANDING_KINDS:
        return f"rmctl task diff {task.id}, then rmctl task accept {task.id} or rmctl task reject {task.id} -m WORDS"
    return f"rmctl decision answer {decision.id} {'|'.join(decision.options) or 'WORDS'}"


def of_facts(task: Task, now: float | None) -> Iterator[Obstacle]:
    """What the row itself says: held, an epic, a draft, not before a time. now: None takes any such time for one."""
    if task.held_at is not None:
        yield Obstacle(
            kind=K.HELD,
            words="it is held",
            since_at=task.held_at,
            command=f"rmctl task release {task.id}",
            is_mending=True,
        )
    if task.type == TaskType.EPIC and task.state in (TaskState.OPEN, TaskState.DRAFT):
        yield _of_epic(task)
    if task.state is TaskState.DRAFT:
        yield Obstacle(
            kind=K.DRAFT,
            words="it is a draft and not given out",
            command=f"rmctl task edit {task.id} --open",
            is_mending=True,
        )
    if task.not_before_at is not None and (now is None or task.not_before_at > now):
        when = " later" if now is None else f" in {max(1, round(task.not_before_at - now))} s"
        yield Obstacle(
            kind=K.NOT_BEFORE,
            words=f"it runs again{when}, or at once" if task.attempt_number else f"it runs{when}, or at once",
            command=f"rmctl retry {task.id}",
            is_mending=task.state is not TaskState.DRAFT,
        )


def _of_epic(task: Task) -> Obstacle:
    if not task.children:
        return Obstacle(
            kind=K.EPIC,
            words="it is an epic without children, and never given to an agent",
            command=f"rmctl task edit {task.id} --type task",
            is_mending=True,
        )
    left = f"{task.open_children} of its {task.children} children {'is' if task.open_children == 1 else 'are'} left"
    if task.children == 1:
        left = "its only child is left"
    if not task.open_children:
        left = "all its children were cancelled" if not task.done_children else "something else holds it up"
    return Obstacle(
        kind=K.EPIC,
        words=f"it is an epic, done by its children, and {left}",
        command=f"rmctl task graph {task.id}",
    )
