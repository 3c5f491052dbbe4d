"""`rmctl task …` and the short forms `add ls show wait retry cancel`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ringmaster.cli import task_import, task_layout
from ringmaster.cli.command import Group, verb
from ringmaster.cli.inputs import duration_option, read_text, split_words
from ringmaster.cli.output import Row
from ringmaster.cli.session import Session
from ringmaster.cli.task_layout import CHANGED, TASKS, flat
from ringmaster.model.errors import ErrorKind, RingmasterError

if TYPE_CHECKING:
    from ringmaster.protocol.mutation import Mutation

task = Group("task", help="Units of queued work.", aliases={"ls": "list", "deps": "dep"})
task.add_command(task_import.import_)
EVERY = 10_000


@verb(task, help="Put a task on the queue. DESCRIPTION: text, or - for stdin.")
@click.argument("title")
@click.argument("description", required=False)
@click.option("-F", "--file", "path", metavar="FILE", help="Read the description from a file; - is stdin.")
@click.option("-P", "--project", "project_id", default="", help="Its project; needed when there are several.")
@click.option("-p", "--priority", type=click.IntRange(0, 4), default=2, help="0 (most urgent) to 4. [2]")
@click.option("-l", "--label", "labels", multiple=True, metavar="WORD", help="A label; repeatable.")
@click.option("--accept", "acceptance", multiple=True, metavar="CRITERION", help="What must hold; repeatable.")
@click.option("--after", multiple=True, metavar="ID,…", help="Wait for these tasks to be done; repeatable.")
@click.option("--cap", "capabilities", multiple=True, metavar="WORD", help="A worker must have it; repeatable.")
@click.option("--agent", default="", help="Only this agent.")
@click.option("--model", default="", help="The agent's model.")
@click.option("--max-attempts", type=click.IntRange(1, 1000), default=None, help="Attempts before it is failed.")
@duration_option("--wall", "wall_s", "Wall-clock limit of one attempt.")
@duration_option("--idle", "idle_s", "Limit of time without output.")
@click.option(
    "--budget", "budget_usd", type=click.FloatRange(0, min_open=True), metavar="USD", help="All it may spend."
)
@click.option("--turns", type=click.IntRange(1), default=None, help="Limit of model turns.")
@click.option("--output-bytes", type=click.IntRange(1), default=None, help="Limit of output.")
@click.option("--no-diff", is_flag=True, help="It may end without a change.")
@click.option("--draft", "is_draft", is_flag=True, help="Not given out before: rmctl task edit ID --open.")
def add(session: Session, title: str, description: str | None, path: str | None, **given: Any) -> None:
    """Add a task and show its row."""
    from ringmaster.model.task import Limits
    from ringmaster.protocol.task import TaskAddParams

    if description is not None and path is not None:
        raise RingmasterError(ErrorKind.USAGE, "both a description and -F", "give one of them")
    if not title.strip():
        raise RingmasterError(ErrorKind.USAGE, "the title is empty", session.command('add "TITLE"'))
    limits = Limits(**{name: given[name] for name in ("wall_s", "idle_s", "turns", "output_bytes", "budget_usd")})
    params = TaskAddParams(
        idempotency_key=session.new_key(),
        title=title,
        description=read_text(description, path),
        project_id=given["project_id"],
        priority=given["priority"],
        labels=split_words(given["labels"]),
        acceptance=given["acceptance"],
        after=split_words(given["after"]),
        capabilities=split_words(given["capabilities"]),
        agent=given["agent"],
        model=given["model"],
        limits=limits,
        max_attempts=given["max_attempts"] or 0,
        is_draft=given["is_draft"],
        is_diff_needed=not given["no_diff"],
    )
    _changed(session, session.call("task.add", params))


@verb(task, "list", help="The tasks that have not ended, the next ones first.")
@click.option("-P", "--project", "project_id", default="", help="Of one project.")
@click.option("--state", multiple=True, metavar="STATE,…", help="Stored or derived states: ready, running, done …")
@click.option("-l", "--label", default="", help="With this label.")
@click.option("-a", "--all", "is_all", is_flag=True, help="Ended ones too.")
@click.option("-n", "--limit", type=click.IntRange(0), default=200, help="At most so many; 0 for all. [200]")
def list_(session: Session, project_id: str, state: tuple[str, ...], label: str, is_all: bool, limit: int) -> None:
    """List tasks page by page."""
    from ringmaster.protocol.task import TaskListParams

    rows: list[Row] = []
    cursor = 0
    while True:
        page_size = min(limit - len(rows), EVERY) if limit else EVERY
        params = TaskListParams(
            project_id=project_id,
            state=split_words(state),
            label=label,
            is_all=is_all,
            limit=page_size,
            cursor=cursor,
        )
        page = session.call("task.list", params)
        rows += [flat(view) for view in page["tasks"]]
        if page["next_cursor"] is None:
            break
        if limit and len(rows) >= limit:
            session.output.words(f"the first {limit}; all: -n 0")
            break
        cursor = page["next_cursor"]
    session.output.rows(rows, TASKS, empty='no tasks; add one: rmctl add "TITLE" (all, also ended: rmctl ls -a)')


@verb(task, help="What the next free seats would get, in that order.")
@click.option("-P", "--project", "project_id", default="", help="Of one project.")
@click.option("-n", "--limit", type=click.IntRange(1, EVERY), default=50, help="At most so many. [50]")
def ready(session: Session, project_id: str, limit: int) -> None:
    """List what is ready."""
    from ringmaster.protocol.task import TaskReadyParams

    page = session.call("task.ready", TaskReadyParams(project_id=project_id, limit=limit))
    session.output.rows([flat(view) for view in page["tasks"]], TASKS, empty="nothing is ready (rmctl ls says why)")


@verb(task, help="All about one task; TASK/N for an attempt, d-… for a decision.")
@click.argument("id")
def show(session: Session, id: str) -> None:
    """Show one thing by the form of its id."""
    if "/" in id:
        from ringmaster.cli.attempt import show_attempt

        return show_attempt(session, id)
    if id.startswith("d-"):
        from ringmaster.cli.decision import show_decision

        return show_decision(session, id)
    from ringmaster.protocol.task import TaskIdParams

    detail = session.call("task.show", TaskIdParams(id=id))
    row = {**flat(detail["view"]), **{key: value for key, value in detail.items() if key != "view"}}
    session.output.item(row, lambda: task_layout.layout(session, row))


@verb(task, help="Change a task. Fields that are not named stay.")
@click.argument("id")
@click.option("--title", default=None, help="Its title.")
@click.option("-d", "--description", default=None, help="Its description; - is stdin.")
@click.option("-F", "--file", "path", metavar="FILE", help="Read the description from a file.")
@click.option("-p", "--priority", type=click.IntRange(0, 4), default=None, help="0 (most urgent) to 4.")
@click.option("-l", "--label", "labels", multiple=True, help="Its labels anew; --label '' for none.")
@click.option("--accept", "acceptance", multiple=True, help="Its acceptance criteria anew.")
@click.option("--cap", "capabilities", multiple=True, help="Its capabilities anew.")
@click.option("--agent", default=None, help="Only this agent; '' for any.")
@click.option("--model", default=None, help="The agent's model.")
@click.option("--max-attempts", type=click.IntRange(1, 1000), default=None, help="Attempts before it is failed.")
@duration_option("--wall", "wall_s", "Wall-clock limit of one attempt.")
@duration_option("--idle", "idle_s", "Limit of time without output.")
@click.option(
    "--budget", "budget_usd", type=click.FloatRange(0, min_open=True), metavar="USD", help="All it may spend."
)
@click.option("--turns", type=click.IntRange(1), default=None, help="Limit of model turns.")
@click.option("--output-bytes", type=click.IntRange(1), default=None, help="Limit of output.")
@click.option("--diff/--no-diff", "is_diff_needed", default=None, help="Whether it must end with a change.")
@click.option("--draft/--open", "is_draft", default=None, help="--open gives a draft out.")
def edit(session: Session, id: str, path: str | None, **given: Any) -> None:
    """Edit a task; the limits that are not named keep their values."""
    from ringmaster.model.task import Limits
    from ringmaster.protocol.task import TaskEditParams, TaskIdParams

    limits = None
    named = {name: given.pop(name) for name in ("wall_s", "idle_s", "turns", "output_bytes", "budget_usd")}
    if any(value is not None for value in named.values()):
        now = session.call("task.show", TaskIdParams(id=id))["view"]["task"]["limits"]
        limits = Limits(**(now | {name: value for name, value in named.items() if value is not None}))
    for name in ("labels", "acceptance", "capabilities"):
        words = given.pop(name)
        split = words if name == "acceptance" else split_words(words)
        given[name] = tuple(word for word in split if word) if words else None
    description = given.pop("description")
    if description is not None or path is not None:
        given["description"] = read_text(description, path)
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes and limits is None:
        raise RingmasterError(ErrorKind.USAGE, "nothing to change", "rmctl task edit --help")
    params = TaskEditParams(id=id, idempotency_key=session.new_key(), limits=limits, **changes)
    _changed(session, session.call("task.edit", params))


@verb(task, help="Make a task wait for others (AFTER…), or no longer.")
@click.argument("id")
@click.argument("after", nargs=-1)
@click.option("--add", "added", multiple=True, metavar="ID,…", help="Wait for it.")
@click.option("--remove", "removed", multiple=True, metavar="ID,…", help="No longer wait for it.")
def dep(session: Session, id: str, after: tuple[str, ...], added: tuple[str, ...], removed: tuple[str, ...]) -> None:
    """Change what a task waits for."""
    from ringmaster.protocol.task import TaskDepParams

    add_ids, remove_ids = split_words((*after, *added)), split_words(removed)
    if not add_ids and not remove_ids:
        raise RingmasterError(ErrorKind.USAGE, "no other task is named", f"rmctl task dep {id} OTHER")
    params = TaskDepParams(id=id, add=add_ids, remove=remove_ids, idempotency_key=session.new_key())
    _changed(session, session.call("task.dep", params))


@verb(task, help="Take tasks off the queue; a live attempt is ended and its work kept.")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("-m", "--message", default="", help="Why.")
def cancel(session: Session, ids: tuple[str, ...], message: str) -> None:
    """Cancel tasks, one after the other."""
    from ringmaster.protocol.task import TaskCancelParams

    for id in ids:
        _change(session, "task.cancel", TaskCancelParams, id, message)


@verb(task, help="Put failed, cancelled or delayed tasks on the queue now, their attempts uncounted.")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
@click.option("-m", "--message", default="", help="Words for the next prompt.")
def retry(session: Session, ids: tuple[str, ...], message: str) -> None:
    """Retry tasks, one after the other."""
    from ringmaster.protocol.task import TaskRetryParams

    for id in ids:
        _change(session, "task.retry", TaskRetryParams, id, message)


@verb(task, help="Wait until each task has ended or needs a person. Exit code 0 when all are done, else 1.")
@click.argument("ids", nargs=-1, required=True, metavar="ID…")
def wait(session: Session, ids: tuple[str, ...]) -> None:
    """Wait for tasks in turn; `--timeout` bounds them all together and ends with 124."""
    from ringmaster.protocol.task import TaskWaitParams

    deadline = session.deadline()
    for id in ids:
        params = TaskWaitParams(id=id, timeout_s=deadline.left_s())
        waited = session.call("task.wait", params, is_unbounded=True)
        row = {**flat(waited["view"]), "is_over": waited["is_over"], "needs": waited["needs"]}
        session.output.changed(row, CHANGED)
        if not waited["is_over"]:
            raise RingmasterError(
                ErrorKind.TIMED_OUT, f"task {row['id']} is still {row['shown']}", f"rmctl wait {row['id']}"
            )
        if waited["needs"]:
            command = session.command(f"decision show {waited['needs']}")
            session.output.words(f"it needs you: {command}")
        if row["shown"] != "done":
            session.exit_code = 1


@verb(task, help="What the newest attempt changed, as git prints it.")
@click.argument("id")
@click.option("--stat", "is_stat", is_flag=True, help="The files and counts alone.")
def diff(session: Session, id: str, is_stat: bool) -> None:
    """Print a diff; coloured for people."""
    from ringmaster.protocol.task import TaskIdParams

    found = session.call("task.diff", TaskIdParams(id=id))
    text = found["stat"] if is_stat else found["diff"]
    session.output.item(found, lambda: task_layout.diff(session.output, text))
    if not text and not session.output.is_json:
        session.output.words(f"{found['attempt_id']} changed nothing")
    if found["is_truncated"] and not is_stat:
        session.output.words("the diff is longer than this; whole: rmctl attempt show names its workspace")


@verb(task, help="Let waiting work go on to the gate and land.")
@click.argument("id")
@click.option("-m", "--message", default="", help="Words to keep with it.")
def accept(session: Session, id: str, message: str) -> None:
    """Accept an attempt's work."""
    from ringmaster.protocol.task import TaskAcceptParams

    _change(session, "task.accept", TaskAcceptParams, id, message)


@verb(task, help="Send waiting work back; the words go into the next prompt.")
@click.argument("id")
@click.option("-m", "--message", required=True, help="What is wrong with it; - is stdin.")
def reject(session: Session, id: str, message: str) -> None:
    """Reject an attempt's work."""
    from ringmaster.protocol.task import TaskRejectParams

    words = read_text(message, None)
    if not words.strip():
        raise RingmasterError(ErrorKind.USAGE, "no words for the next attempt", f"rmctl task reject {id} -m WORDS")
    _change(session, "task.reject", TaskRejectParams, id, words)


def _change(session: Session, method: str, make: Callable[..., Mutation], id: str, message: str) -> None:
    """Do to one task what takes words, and show its row."""
    _changed(session, session.call(method, make(id=id, message=message, idempotency_key=session.new_key())))


def _changed(session: Session, answer: Row) -> None:
    row = flat(answer["view"]) | {"note": answer["note"]}
    # The row says its state; the daemon's words are worth a line where they say more.
    is_said = row["note"] == f"{row['id']} is {row['shown']}"
    session.output.changed(row, CHANGED, note="" if is_said else row["note"])
