"""`rmctl worker attach|drain|scale`: looking at a worker, letting it finish, and having more or fewer of them."""

from __future__ import annotations

import click

from ringmaster.cli.command import top
from ringmaster.cli.output import Row
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError


@top("attach", help="Look at a worker that runs in tmux. Ctrl-B D leaves it to itself.")
@click.argument("id")
def attach(session: Session, id: str) -> None:
    """Attach to a worker's terminal."""
    from ringmaster.cli.tmux import Tmux
    from ringmaster.protocol.worker import WorkerIdParams

    worker = session.call("worker.show", WorkerIdParams(id=id))["worker"]
    tmux = Tmux(session)
    if not tmux.has(worker["id"]):
        shown = f"rmctl logs {worker['attempt_id']} -f" if worker["attempt_id"] else "rmctl worker list"
        raise RingmasterError(ErrorKind.WRONG_STATE, f"worker {worker['id']} has no terminal in tmux", shown)
    tmux.attach(worker["id"])


@top("drain", help="Let workers finish what they have, then stop them. Ctrl-C leaves them paused.")
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--all", "is_all", is_flag=True, help="Every worker.")
def drain(session: Session, ids: tuple[str, ...], is_all: bool) -> None:
    """Pause, wait for empty seats, stop."""
    if is_all == bool(ids):
        raise RingmasterError(ErrorKind.USAGE, "name workers or --all", "rmctl worker drain ID…|--all")
    names = [view["worker"]["id"] for view in session.call("worker.list")["workers"]] if is_all else list(ids)
    busy = [view for name in names for view in _set(session, "worker.pause", name)]
    for view in busy:
        if view["task_id"]:
            session.output.words(f"{view['worker']['id']} finishes {view['task_id']}")
    deadline = session.deadline()
    for view in busy:
        name = view["worker"]["id"]
        wait_for_seat(session, name, deadline.left_s())
        _set(session, "worker.stop", name)
        session.output.words(f"{name} is stopped")


def wait_for_seat(session: Session, name: str, timeout_s: float | None) -> None:
    """Wait until a worker has nothing in its seat. Raises TIMED_OUT."""
    from ringmaster.protocol.worker import WorkerWaitParams

    params = WorkerWaitParams(id=name, timeout_s=timeout_s, is_seat_enough=True)
    if not session.call("worker.wait", params, is_unbounded=True)["is_ready"]:
        raise RingmasterError(
            ErrorKind.TIMED_OUT, f"worker {name} is still at work, and stays paused", f"rmctl worker show {name}"
        )


@top("scale", help="Have so many workers of an agent. Those at work finish first; then they wait, paused.")
@click.argument("count", type=click.IntRange(0, 1000))
@click.option("-a", "--agent", default="", help="Of which agent; may be left out where there is only one.")
@click.option("-P", "--project", "project_id", default="", help="Those bound to this project.")
def scale(session: Session, count: int, agent: str, project_id: str) -> None:
    """Spawn workers like those there are, or remove the spare ones."""
    views = [view for view in session.call("worker.list")["workers"] if not view["worker"]["is_pulled"]]
    kinds = {view["worker"]["agent"] for view in views}
    if not agent and len(kinds) != 1:
        words = f"there are workers of {', '.join(sorted(kinds))}" if kinds else "there are no workers yet"
        raise RingmasterError(ErrorKind.USAGE, words, "rmctl worker scale N --agent AGENT")
    agent = agent or kinds.pop()
    alike = [v for v in views if v["worker"]["agent"] == agent and v["worker"]["project_id"] == project_id]
    usable = [view for view in alike if view["worker"]["state"] == "active"]
    if count >= len(usable):
        _grow(session, count - len(usable), agent, project_id, alike)
    else:
        # Idle ones first: nobody has to be waited for.
        spare = sorted(usable, key=lambda view: bool(view["task_id"]))[: len(usable) - count]
        _shrink(session, [view["worker"]["id"] for view in spare])


def _grow(session: Session, count: int, agent: str, project_id: str, alike: list[Row]) -> None:
    """Start paused ones first, then make new ones."""
    from ringmaster.protocol.worker import WorkerSpawnParams

    paused = [view["worker"]["id"] for view in alike if view["worker"]["state"] == "paused"][:count]
    for name in paused:
        _set(session, "worker.start", name)
        session.output.words(f"{name} takes tasks again")
    if count == len(paused):
        return
    like = alike[0]["worker"] if alike else {"command": [], "capabilities": []}
    params = WorkerSpawnParams(
        agent=agent,
        command=tuple(like["command"]),
        project_id=project_id,
        capabilities=tuple(like["capabilities"]),
        count=count - len(paused),
        idempotency_key=session.new_key(),
    )
    made = session.call("worker.spawn", params)["workers"]
    session.output.words(f"new: {', '.join(view['worker']['id'] for view in made)}")


def _shrink(session: Session, names: list[str]) -> None:
    """Pause first: only then is it known that nothing more comes."""
    for name in names:
        view = _set(session, "worker.pause", name)[0]
        if view["task_id"]:
            session.output.words(f"{name} finishes {view['task_id']}, then it waits: rmctl worker drain {name}")
            continue
        _set(session, "worker.stop", name)
        _set(session, "worker.remove", name)
        session.output.words(f"{name} is removed")


def _set(session: Session, method: str, name: str) -> list[Row]:
    from ringmaster.protocol.worker import WorkerSetParams

    views: list[Row] = session.call(method, WorkerSetParams(id=name, idempotency_key=session.new_key()))["workers"]
    return views
