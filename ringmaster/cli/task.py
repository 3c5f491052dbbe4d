"""`rmctl task …` and the short forms `add ls show wait retry cancel`."""

from __future__ import annotations

import time
from typing import Any

import click

from ringmaster.cli import (
    task_comment,
    task_control,
    task_export,
    task_graph,
    task_import,
    task_layout,
    task_order,
)
from ringmaster.cli.clock import parse_when
from ringmaster.cli.command import Group, verb
from ringmaster.cli.inputs import DollarsType, duration_option, read_text, split_words
from ringmaster.cli.output import Row
from ringmaster.cli.session import Session
from ringmaster.cli.task_control import changed, guard_of, guarded, parse_wish, task_type
from ringmaster.cli.task_layout import TASKS, flat
from ringmaster.cli.task_wait import wait
from ringmaster.model.errors import ErrorKind, RingmasterError

task = Group("task", help="Units of queued work.", aliases={"ls": "list", "deps": "dep"})
task.add_command(task_import.import_)
task.add_command(task_graph.graph)
task.add_command(task_export.export)
task.add_command(task_comment.comment)
task.add_command(wait)
EVERY = 10_000
TYPE_HELP = "task, bug, feature, epic, chore, spike or decision; an epic is its children."


def _when(text: str | None) -> float | None:
    return None if text is None else parse_when(text, time.time())


@verb(task, help="Put a task on the queue. DESCRIPTION: text, or - for stdin.")
@click.argument("title")
@click.argument("description", required=False)
@click.option("-F", "--file", "path", metavar="FILE", help="Read the description from a file; - is stdin.")
@click.option("-P", "--project", "project_id", default="", help="Its project; needed when there are several.")
@click.option("-p", "--priority", type=click.IntRange(0, 4), default=2, help="0 (most urgent) to 4. [2]")
@click.option("-l", "--label", "labels", multiple=True, metavar="WORD", help="A label; repeatable.")
@click.option("--accept", "acceptance", multiple=True, metavar="CRITERION", help="What must hold; repeatable.")
@click.option("-t", "--type", "type", default="task", metavar="TYPE", help=TYPE_HELP + " [task]")
@click.option("--parent", "parent_id", default="", metavar="ID", help="Make it a child of this task, with an id below.")
@click.option("--after", multiple=True, metavar="ID,…", help="Wait for these tasks to be done; repeatable.")
@click.option(
    "--depends", multiple=True, metavar="KIND:ID[:any]", help="What else it has to do with others (rmctl task dep -h)."
)
@click.option("--deadline", default=None, metavar="WHEN", help="When it should be done: 3d, 2026-12-24, …")
@click.option("--not-before", default=None, metavar="WHEN", help="Not given out before then.")
@click.option("--hold", "is_held", is_flag=True, help="Not given out before: rmctl task release ID.")
@click.option("--cap", "capabilities", multiple=True, metavar="WORD", help="A worker must have it; repeatable.")
@click.option("--agent", default="", help="Only this agent.")
@click.option("--model", default="", help="The agent's model.")
@click.option("--max-attempts", type=click.IntRange(1, 1000), default=None, help="Attempts before it is failed.")
@duration_option("--wall", "wall_s", "Wall-clock limit of one attempt.")
@duration_option("--idle", "idle_s", "Limit of time without output.")
@click.option("--budget", "budget_usd", type=DollarsType(), metavar="USD", help="All it may spend.")
@click.option("--turns", type=click.IntRange(1), default=None, help="Limit of model turns.")
@click.option("--output-bytes", type=click.IntRange(1), default=None, help="Limit of output.")
@click.option("--diff/--no-diff", "is_diff_needed", default=None, help="Whether it must end with a change.")
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
        type=task_type(given["type"]),
        parent_id=given["parent_id"],
        after=split_words(given["after"]),
        depends=tuple(parse_wish(wish) for wish in split_words(given["depends"])),
        deadline_at=_when(given["deadline"]),
        not_before_at=_when(given["not_before"]),
        is_held=given["is_held"],
        capabilities=split_words(given["capabilities"]),
        agent=given["agent"],
        model=given["model"],
        limits=limits,
        max_attempts=given["max_attempts"] or 0,
        is_draft=given["is_draft"],
        is_diff_needed=given["is_diff_needed"],
    )
    changed(session, session.call("task.add", params))


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
@click.option("--explain", "is_explained", is_flag=True, help="Why in that order: each term of their ranks, in hours.")
def ready(session: Session, project_id: str, limit: int, is_explained: bool) -> None:
    """List what is ready."""
    from ringmaster.protocol.task import TaskReadyParams

    if is_explained:
        return task_order.explain_ready(session, project_id, min(limit, task_order.MOST))

    page = session.call("task.ready", TaskReadyParams(project_id=project_id, limit=limit))
    session.output.rows(
        [flat(view) for view in page["tasks"]],
        TASKS,
        empty="nothing is ready (rmctl ls has all, rmctl why TASK says why)",
    )


@verb(task, help="All about one task; TASK/N for an attempt, d-… for a decision.")
@click.argument("id")
@task_layout.limited
def show(session: Session, id: str, **given: Any) -> None:
    """Show one thing by the form of its id."""
    if "/" in id:
        from ringmaster.cli.attempt import show_attempt

        return show_attempt(session, id)
    if id.startswith("d-"):
        from ringmaster.cli.decision import show_decision

        return show_decision(session, id)
    from ringmaster.protocol.task import TaskShowParams

    detail = session.call("task.show", TaskShowParams(id=id, **task_layout.limit_of(given)))
    row = {**flat(detail["view"]), **{key: value for key, value in detail.items() if key != "view"}}
    session.output.item(row, lambda: task_layout.layout(session, row))


@verb(task, help="Change a task. Fields that are not named stay.")
@click.argument("id")
@guarded
@click.option("-t", "--type", "type", default=None, metavar="TYPE", help=TYPE_HELP)
@click.option("--deadline", default=None, metavar="WHEN", help="When it should be done; '' for no deadline.")
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
@click.option("--budget", "budget_usd", type=DollarsType(), metavar="USD", help="All it may spend.")
@click.option("--turns", type=click.IntRange(1), default=None, help="Limit of model turns.")
@click.option("--output-bytes", type=click.IntRange(1), default=None, help="Limit of output.")
@click.option("--diff/--no-diff", "is_diff_needed", default=None, help="Whether it must end with a change.")
@click.option("--draft/--open", "is_draft", default=None, help="--open gives a draft out.")
def edit(session: Session, id: str, path: str | None, **given: Any) -> None:
    """Edit a task; the limits that are not named keep their values."""
    from ringmaster.model.task import Limits
    from ringmaster.protocol.task import TaskEditParams, TaskShowParams

    limits = None
    named = {name: given.pop(name) for name in ("wall_s", "idle_s", "turns", "output_bytes", "budget_usd")}
    if any(value is not None for value in named.values()):
        now = session.call("task.show", TaskShowParams(id=id))["view"]["task"]["limits"]
        limits = Limits(**(now | {name: value for name, value in named.items() if value is not None}))
    for name in ("labels", "acceptance", "capabilities"):
        words = given.pop(name)
        split = words if name == "acceptance" else split_words(words)
        given[name] = tuple(word for word in split if word) if words else None
    if given["type"] is not None:
        given["type"] = task_type(given["type"])
    deadline = given.pop("deadline")
    if deadline is not None:
        given["deadline_at"] = _when(deadline) if deadline else 0.0
    guard = guard_of(given)
    description = given.pop("description")
    if description is not None or path is not None:
        given["description"] = read_text(description, path)
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes and limits is None:
        raise RingmasterError(ErrorKind.USAGE, "nothing to change", "rmctl task edit --help")
    params = TaskEditParams(id=id, idempotency_key=session.new_key(), limits=limits, **changes, **guard)
    changed(session, session.call("task.edit", params))


@verb(task, help="What the newest attempt changed, or TASK/NUMBER, as git prints it.")
@click.argument("id")
@click.option("--stat", "is_stat", is_flag=True, help="The files and counts alone.")
def diff(session: Session, id: str, is_stat: bool) -> None:
    """Print a diff; coloured for people."""
    from ringmaster.protocol.task import TaskDiffParams

    found = session.call("task.diff", TaskDiffParams(id=id))
    text = found["stat"] if is_stat else found["diff"]
    session.output.item(found, lambda: task_layout.diff(session.output, text))
    if not text and not session.output.is_json:
        session.output.words(f"{found['attempt_id']} changed nothing")
    if found["is_truncated"] and not is_stat:
        session.output.words("the diff is longer than this; whole: rmctl attempt show names its workspace")


for command in task_control.VERBS:
    task.add_command(command)
