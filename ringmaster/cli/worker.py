"""`rmctl worker …`: the seats that run agents."""

from __future__ import annotations

import time

import click

from ringmaster.cli.clock import duration
from ringmaster.cli.command import Group, verb
from ringmaster.cli.inputs import split_words
from ringmaster.cli.output import Column, Row
from ringmaster.cli.page import Page
from ringmaster.cli.session import Session
from ringmaster.cli.tmux import Tmux
from ringmaster.cli.worker_fleet import attach, drain, scale
from ringmaster.cli.worker_run import refuse_hand, run
from ringmaster.model.errors import ErrorKind, RingmasterError

worker = Group(
    "worker",
    help="Seats that run agents.",
    aliases={"ls": "list", "add": "spawn", "rm": "remove", "cordon": "pause", "uncordon": "start"},
)


def flat(view: Row) -> Row:
    """A WorkerView as one row."""
    return {**view["worker"], **{key: value for key, value in view.items() if key != "worker"}}


def since(row: Row) -> str:
    """How long it has been at what it does."""
    return duration(time.time() - row["since_at"]) if row["since_at"] is not None else ""


WORKERS = (
    Column("ID", "id"),
    Column("STATE", "shown"),
    Column("AGENT", "agent"),
    Column("TASK", "task_id"),
    Column("FOR", since),
    Column("TITLE", "task_title", is_flexible=True),
    Column("PROJECT", "project_id", is_wide=True),
    Column("CAPABILITIES", "capabilities", is_wide=True),
    Column("ATTEMPT", "attempt_id", is_wide=True),
    Column("COMMAND", "command", is_wide=True),
    Column("PULLED", "is_pulled", is_wide=True),
)
CHANGED = (Column("ID", "id"), Column("STATE", "shown"), Column("AGENT", "agent"))


@verb(
    worker,
    keeps_rest=True,
    help="Make a seat. Agent `command` takes its argv after --; {prompt_file} {workspace} {task} are filled in.",
)
@click.argument("name", required=False, default="")
@click.option("-a", "--agent", required=True, help="claude, codex, command, scripted, or a name from the settings.")
@click.option("-n", "--count", type=click.IntRange(1, 1000), default=1, help="How many alike. [1]")
@click.option("-P", "--project", "project_id", default="", help="Only tasks of this project.")
@click.option("--cap", "capabilities", multiple=True, metavar="WORD", help="A capability; repeatable.")
@click.option("--tmux", "is_in_tmux", is_flag=True, help="In a tmux session of its own; see worker attach.")
def spawn(
    session: Session,
    name: str,
    agent: str,
    count: int,
    project_id: str,
    capabilities: tuple[str, ...],
    is_in_tmux: bool,
    rest: tuple[str, ...],
) -> None:
    """Spawn workers."""
    from ringmaster.protocol.worker import WorkerSpawnParams

    if agent == "command" and not rest:
        raise RingmasterError(
            ErrorKind.USAGE,
            "the agent `command` needs its command line",
            "rmctl worker spawn --agent command -- PROGRAM ARG…",
        )
    if is_in_tmux:
        refuse_hand(agent, name)
    params = WorkerSpawnParams(
        agent=agent,
        id=name,
        command=rest,
        project_id=project_id,
        capabilities=split_words(capabilities),
        count=count,
        is_pulled=is_in_tmux,
        idempotency_key=session.new_key(),
    )
    # Before anything is made: without tmux there is nothing to run it in.
    tmux = Tmux(session) if is_in_tmux else None
    made = session.call("worker.spawn", params)
    if tmux is not None:
        for view in made["workers"]:
            tmux.start(view["worker"]["id"])
    _changed(session, made)


@verb(worker, "list", help="All workers and what each does.")
def list_(session: Session) -> None:
    """List workers."""
    found = session.call("worker.list")
    session.output.rows(
        [flat(view) for view in found["workers"]],
        WORKERS,
        empty="no workers; make one: rmctl worker spawn --agent claude",
    )


@verb(worker, help="All about one worker.")
@click.argument("id")
def show(session: Session, id: str) -> None:
    """Show a worker."""
    from ringmaster.protocol.worker import WorkerIdParams

    row = flat(session.call("worker.show", WorkerIdParams(id=id)))
    session.output.item(row, lambda: layout(session, row))


def layout(session: Session, row: Row) -> str:
    """The page of one worker."""
    page = Page(session.output)
    page.title(row["id"], row["shown"])
    page.fact("agent", row["agent"])
    page.fact("command", " ".join(row["command"]))
    page.fact("project", row["project_id"] or "any")
    page.fact("capabilities", row["capabilities"])
    page.fact("task", " ".join(word for word in (row["task_id"], row["task_title"]) if word))
    page.fact("attempt", row["attempt_id"])
    page.fact("since", page.at(row["since_at"]))
    page.fact("created", page.at(row["created_at"]))
    page.fact("problem", row["problem"])
    if row["attempt_id"]:
        # What is worked on by hand has no output.
        look = f"attempt show {row['attempt_id']}" if row["agent"] == "hand" else f"logs {row['attempt_id']} -f"
        page.fact("next", session.command(look))
    elif row["problem"]:
        steps = (session.command(f"worker {step} {row['id']}") for step in ("stop", "remove"))
        page.fact("next", ", then: ".join(steps))
    elif row["shown"] in ("paused", "stopped"):
        page.fact("next", session.command(f"worker start {row['id']}"))
    else:
        page.fact("next", session.command("task ready"))
    return page.done()


def _set(session: Session, method: str, ids: tuple[str, ...], is_all: bool) -> None:
    from ringmaster.protocol.worker import WorkerSetParams

    if is_all == bool(ids):
        verb_name = method.rpartition(".")[2]
        raise RingmasterError(ErrorKind.USAGE, "name workers or --all", f"rmctl worker {verb_name} ID…|--all")
    if is_all:
        params = WorkerSetParams(is_all=True, idempotency_key=session.new_key())
        return _changed(session, session.call(method, params))
    for id in ids:
        _changed(session, session.call(method, WorkerSetParams(id=id, idempotency_key=session.new_key())))


def _changed(session: Session, answer: Row) -> None:
    rows = [flat(view) for view in answer["workers"]]
    session.output.rows(rows, CHANGED, is_headed=False, empty="no workers")


@verb(worker, help="Take tasks again. (uncordon)")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "is_all", is_flag=True, help="Every worker.")
def start(session: Session, ids: tuple[str, ...], is_all: bool) -> None:
    """Start workers."""
    _set(session, "worker.start", ids, is_all)


@verb(worker, help="Finish what it has, take nothing more. (cordon)")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "is_all", is_flag=True, help="Every worker.")
def pause(session: Session, ids: tuple[str, ...], is_all: bool) -> None:
    """Pause workers."""
    _set(session, "worker.pause", ids, is_all)


@verb(worker, help="Interrupt what it has; its task goes back on the queue.")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "is_all", is_flag=True, help="Every worker.")
def stop(session: Session, ids: tuple[str, ...], is_all: bool) -> None:
    """Stop workers."""
    _set(session, "worker.stop", ids, is_all)


@verb(worker, help="Remove stopped workers.")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "is_all", is_flag=True, help="Every worker.")
def remove(session: Session, ids: tuple[str, ...], is_all: bool) -> None:
    """Remove workers."""
    session.confirm(f"remove {'all workers' if is_all else 'worker ' + ', '.join(ids)}?")
    _set(session, "worker.remove", ids, is_all)


for command in (run, attach, drain, scale):
    worker.add_command(command)
