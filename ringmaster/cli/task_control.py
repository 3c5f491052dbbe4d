"""`rmctl task dep|cancel|retry|accept|reject …`: what a person does to tasks that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ringmaster.cli.command import top
from ringmaster.cli.inputs import read_text, split_words
from ringmaster.cli.output import Row
from ringmaster.cli.session import Session
from ringmaster.cli.task_layout import CHANGED, flat
from ringmaster.model.dependency import WAIT_MODES, DependencyKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.states import TaskState
from ringmaster.model.task import TaskType

if TYPE_CHECKING:
    from ringmaster.protocol.mutation import Mutation
    from ringmaster.protocol.task import DependencyWish

F = TypeVar("F", bound=Callable[..., Any])
KINDS = ", ".join(DependencyKind)


def guarded(function: F) -> F:
    """The options of a change that is refused unless the task is as the caller believes."""
    state = click.option("--if-state", multiple=True, metavar="STATE,…", help="Only if it is in one of these states.")
    version = click.option("--if-version", type=int, default=None, help="Only if its row is of this version.")
    return state(version(function))


def guard_of(given: dict[str, Any]) -> dict[str, Any]:
    """Take what `guarded` adds out of a command's options, as parameters of the call. Raises USAGE."""
    states = []
    for word in split_words(given.pop("if_state")):
        if word not in list(TaskState):
            raise RingmasterError(
                ErrorKind.USAGE, f"{word[:40]!r} is no stored state of a task", f"states: {', '.join(TaskState)}"
            )
        states.append(TaskState(word))
    version = given.pop("if_version")
    return ({"if_state": tuple(states)} if states else {}) | ({} if version is None else {"if_version": version})


def task_type(word: str) -> TaskType:
    """Raises USAGE naming the types there are."""
    if word not in list(TaskType):
        raise RingmasterError(ErrorKind.USAGE, f"{word[:40]!r} is no type of task", f"types: {', '.join(TaskType)}")
    return TaskType(word)


def dependency_kind(word: str) -> DependencyKind:
    """Raises USAGE naming the kinds there are."""
    if word not in list(DependencyKind):
        raise RingmasterError(ErrorKind.USAGE, f"{word[:40]!r} is no kind of dependency", f"kinds: {KINDS}")
    return DependencyKind(word)


def parse_wish(text: str) -> DependencyWish:
    """A dependency as people write it: `ID`, `KIND:ID`, or `waits-for:ID:any`. Raises USAGE."""
    from ringmaster.protocol.task import DependencyWish

    kind, mark, rest = text.partition(":")
    if not mark:
        return DependencyWish(id=text)
    id, _, mode = rest.partition(":")
    known = dependency_kind(kind)
    if not id or (mode and (mode not in WAIT_MODES or kind != DependencyKind.WAITS_FOR)):
        raise RingmasterError(
            ErrorKind.USAGE, f"{text[:80]!r} is no dependency", "write KIND:ID, or waits-for:ID:any, waits-for:ID:all"
        )
    return DependencyWish(id=id, kind=known, mode="any" if mode == "any" else "all" if mode else "")


@top("dep", help="Make a task depend on others (OTHER…), or no longer.")
@click.argument("id")
@click.argument("others", nargs=-1, metavar="[OTHER…]")
@click.option("--add", "added", multiple=True, metavar="ID,…", help="Depend on it.")
@click.option("--remove", "removed", multiple=True, metavar="ID,…", help="No longer depend on it.")
@click.option("-k", "--kind", default="blocks", metavar="KIND", help=f"{KINDS}. [blocks]")
@click.option("--mode", type=click.Choice(WAIT_MODES), default=None, help="waits-for: all or any children. [all]")
@guarded
def dep(session: Session, id: str, others: tuple[str, ...], **given: Any) -> None:
    """Change what a task depends on."""
    from ringmaster.protocol.task import TaskDepParams

    add_ids, remove_ids = split_words((*others, *given["added"])), split_words(given["removed"])
    if not add_ids and not remove_ids:
        raise RingmasterError(ErrorKind.USAGE, "no other task is named", f"rmctl task dep {id} OTHER")
    if given["mode"] and given["kind"] != DependencyKind.WAITS_FOR:
        raise RingmasterError(ErrorKind.USAGE, "--mode is for --kind waits-for", "rmctl task dep --help")
    params = TaskDepParams(
        id=id,
        add=add_ids,
        remove=remove_ids,
        kind=dependency_kind(given["kind"]),
        mode=given["mode"] or "",
        idempotency_key=session.new_key(),
        **guard_of(given),
    )
    changed(session, session.call("task.dep", params))


@top("cancel", help="Take tasks off the queue; a live attempt is ended and its work kept.")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("-m", "--message", default="", help="Why.")
@guarded
def cancel(session: Session, ids: tuple[str, ...], message: str, **given: Any) -> None:
    """Cancel tasks, one after the other."""
    from ringmaster.protocol.task import TaskCancelParams

    guard = guard_of(given)
    for id in ids:
        change(session, "task.cancel", TaskCancelParams, id, message=message, **guard)


@top("retry", help="Put failed, cancelled or delayed tasks on the queue now, their attempts uncounted.")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("-m", "--message", default="", help="Words for the next prompt.")
@guarded
def retry(session: Session, ids: tuple[str, ...], message: str, **given: Any) -> None:
    """Retry tasks, one after the other."""
    from ringmaster.protocol.task import TaskRetryParams

    guard = guard_of(given)
    for id in ids:
        change(session, "task.retry", TaskRetryParams, id, message=message, **guard)


@top("accept", help="Let waiting work go on to the gate and land.")
@click.argument("id")
@click.option("-m", "--message", default="", help="Words to keep with it.")
@guarded
def accept(session: Session, id: str, message: str, **given: Any) -> None:
    """Accept an attempt's work."""
    from ringmaster.protocol.task import TaskAcceptParams

    change(session, "task.accept", TaskAcceptParams, id, message=message, **guard_of(given))


@top("reject", help="Send waiting work back; the words go into the next prompt.")
@click.argument("id")
@click.option("-m", "--message", required=True, help="What is wrong with it; - is stdin.")
@guarded
def reject(session: Session, id: str, message: str, **given: Any) -> None:
    """Reject an attempt's work."""
    from ringmaster.protocol.task import TaskRejectParams

    words = read_text(message, None)
    if not words.strip():
        raise RingmasterError(ErrorKind.USAGE, "no words for the next attempt", f"rmctl task reject {id} -m WORDS")
    change(session, "task.reject", TaskRejectParams, id, message=words, **guard_of(given))


def change(session: Session, method: str, make: Callable[..., Mutation], id: str, **fields: Any) -> None:
    """Do something to one task, and show its row."""
    changed(session, session.call(method, make(id=id, idempotency_key=session.new_key(), **fields)))


def changed(session: Session, answer: Row) -> None:
    """Show the row of a task that was changed, and what else happened."""
    row = flat(answer["view"]) | {"note": answer["note"]}
    # The row says its state; the daemon's words are worth a line where they say more.
    is_said = row["note"] == f"{row['id']} is {row['shown']}"
    session.output.changed(row, CHANGED, note="" if is_said else row["note"])


VERBS = (dep, cancel, retry, accept, reject)
