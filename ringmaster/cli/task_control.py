"""`rmctl task dep|cancel|retry|hold|release|defer|reopen|close|history …`: what a person does to a task."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ringmaster.cli.clock import parse_when
from ringmaster.cli.command import top
from ringmaster.cli.inputs import duration_option, read_text, split_words
from ringmaster.cli.output import Column, Row
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
@click.option(
    "--dependents",
    type=click.Choice(("keep", "free", "cancel")),
    default="keep",
    help="What waits for it: goes on waiting, no longer waits, or is cancelled with it. [keep]",
)
@guarded
def cancel(session: Session, ids: tuple[str, ...], message: str, dependents: str, **given: Any) -> None:
    """Cancel tasks, one after the other."""
    from ringmaster.protocol.task import TaskCancelParams

    guard = guard_of(given)
    more = {} if dependents == "keep" else {"dependents": dependents}
    for id in ids:
        change(session, "task.cancel", TaskCancelParams, id, message=message, **more, **guard)


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


@top("hold", help="Keep tasks from being given out until they are released; what runs goes on.")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("-m", "--message", default="", help="Why.")
@guarded
def hold(session: Session, ids: tuple[str, ...], message: str, **given: Any) -> None:
    """Hold tasks, one after the other."""
    from ringmaster.protocol.task_control import TaskHoldParams

    guard = guard_of(given)
    for id in ids:
        change(session, "task.hold", TaskHoldParams, id, message=message, **guard)


@top("release", help="Give held tasks out again, and open drafts.")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@guarded
def release(session: Session, ids: tuple[str, ...], **given: Any) -> None:
    """Release tasks, one after the other."""
    from ringmaster.protocol.task_control import TaskReleaseParams

    guard = guard_of(given)
    for id in ids:
        change(session, "task.release", TaskReleaseParams, id, **guard)


@top("defer", help="Give tasks out not before a time.")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("--until", default=None, metavar="WHEN", help="2026-12-24, '2026-12-24 09:30', 2026-12-24T09:30:00Z.")
@duration_option("--for", "for_s", "For so long from now.")
@guarded
def defer(session: Session, ids: tuple[str, ...], until: str | None, for_s: float | None, **given: Any) -> None:
    """Defer tasks, one after the other."""
    from ringmaster.protocol.task_control import TaskDeferParams

    if (until is None) == (for_s is None):
        raise RingmasterError(ErrorKind.USAGE, "until when?", f"rmctl task defer {ids[0]} --for 2h, or --until WHEN")
    now, guard = time.time(), guard_of(given)
    until_at = parse_when(until, now) if until is not None else now + (for_s or 0.0)
    for id in ids:
        change(session, "task.defer", TaskDeferParams, id, until_at=until_at, **guard)


@top("reopen", help="Take up again tasks that are done, failed or cancelled.")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("-m", "--message", default="", help="Why.")
@guarded
def reopen(session: Session, ids: tuple[str, ...], message: str, **given: Any) -> None:
    """Reopen tasks, one after the other."""
    from ringmaster.protocol.task_control import TaskReopenParams

    guard = guard_of(given)
    for id in ids:
        change(session, "task.reopen", TaskReopenParams, id, message=message, **guard)


@top("close", help="Call tasks done that no agent works on.")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("-m", "--message", default="", help="Why.")
@click.option("--children", type=click.Choice(("keep", "cancel")), default=None, help="Of an epic: those not ended.")
@guarded
def close(session: Session, ids: tuple[str, ...], message: str, children: str | None, **given: Any) -> None:
    """Close tasks, one after the other."""
    from ringmaster.protocol.task_control import TaskCloseParams

    guard = guard_of(given)
    for id in ids:
        change(session, "task.close", TaskCloseParams, id, message=message, children=children or "", **guard)


HISTORY = (
    Column("EVENT", "seq"),
    Column("AT", "at"),
    Column("BY", "actor"),
    Column("WHAT", "words", is_flexible=True),
    Column(
        "UNDO", lambda row: f"undone by {row['undone_by']}" if row["undone_by"] else "can" if row["can_undo"] else ""
    ),
)


@top("history", help="What has happened to a task: who did what and when, with what it was before.")
@click.argument("id")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=500, help="The newest so many. [500]")
def history(session: Session, id: str, limit: int) -> None:
    """Show a task's events in words; `rmctl undo EVENT` takes back those that say so."""
    from ringmaster.protocol.task_control import TaskHistoryParams

    found = session.call("task.history", TaskHistoryParams(id=id, limit=limit))
    shape = [Column(c.heading, lambda row: session.output.at(row["at"])) if c.source == "at" else c for c in HISTORY]
    session.output.rows(found["lines"], shape, id_of="seq")
    if not found["is_whole"]:
        session.output.words(f"the newest {limit}; more: -n 10000")


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


VERBS = (dep, cancel, retry, hold, release, defer, reopen, close, history, accept, reject)
