"""What keeps a task from being given out, by name: asked by whoever gives out, and by `why`.

Each rule is one function here. The dispatcher and the claim refuse by them, and `queue/why.py` names every one that
holds, in the order of `ObstacleKind`. What the claim looks up in SQL instead (`next_place`) is said here once more,
and a test holds that both say the same.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from ringmaster.model.account import AccountState
from ringmaster.model.project import Project
from ringmaster.model.states import ProjectState, WorkerState
from ringmaster.model.task import Task
from ringmaster.model.worker import HAND, Worker
from ringmaster.protocol.why import Obstacle, ObstacleKind
from ringmaster.store import accounts
from ringmaster.store.connection import Connection
from ringmaster.store.pauses import Pause

K = ObstacleKind
PAUSED_BY_PERSON = "paused by a person"
"""The reason of a pause that no decision asks about: only the person's own word ends it."""
NOBODY: Mapping[str, str] = {}


class House(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for every task and is in no row.

    has_estop: the ESTOP file is there. is_ending: the daemon stops. starts_left: how many attempts a release on trial
    may still begin; None for no such bound. is_degraded: the store takes nothing, for want of room. has_room: the disks
    have room for new work. max_running: attempts that may hold a seat at once.
    disk_bytes, memory_bytes: what is free of each; disk_needed, memory_needed: what settings want to be free.
    """

    has_estop: bool = False
    is_ending: bool = False
    starts_left: int | None = None
    is_degraded: bool = False
    has_room: bool = True
    max_running: int = 64
    disk_bytes: float = math.inf
    memory_bytes: float = math.inf
    disk_needed: int = 0
    memory_needed: int = 0


def of_house(house: House) -> Iterator[Obstacle]:
    """What keeps everything back. The dispatcher claims nothing while there is any."""
    if house.has_estop:
        yield Obstacle(
            kind=K.ESTOP, words="ESTOP is there: nothing is given out", command="rmctl estop --clear", is_mending=True
        )
    if house.is_ending:
        yield Obstacle(kind=K.ENDING, words="the daemon stops: the next one gives it out", command="rmctl daemon start")
    if house.starts_left is not None and house.starts_left <= 0:
        yield Obstacle(
            kind=K.TRIAL,
            words="newer code of the daemon is on trial, and begins nothing more before it has proved itself",
            command="rmctl rollout status",
        )
    if house.is_degraded or not house.has_room:
        yield Obstacle(
            kind=K.DISK,
            words="it waits for room on the disk with the state directory: free some, or",
            command="rmctl gc",
        )
    elif house.disk_bytes < house.disk_needed:
        yield Obstacle(
            kind=K.DISK,
            words=f"{_mib(house.disk_bytes)} of disk are free where agents work, less than the"
            f" {_mib(house.disk_needed)} of [room] disk_bytes: free some, or",
            command="rmctl gc",
        )
    if house.memory_bytes < house.memory_needed:
        yield Obstacle(
            kind=K.MEMORY,
            words=f"{_mib(house.memory_bytes)} of memory are available, less than the {_mib(house.memory_needed)} of"
            " [room] memory_bytes: nothing is given out until there is more",
            command="rmctl worker list",
        )


def _mib(size: float) -> str:
    return f"{size / (1 << 20):,.0f} MiB"


def of_queue(pause: Pause | None) -> Iterator[Obstacle]:
    """What a pause of the queue as a whole keeps back: everything."""
    if pause is not None:
        why = f", {pause.reason}" if pause.reason else ""
        yield Obstacle(
            kind=K.QUEUE_PAUSED,
            words=f"the queue is {PAUSED_BY_PERSON}{why}",
            since_at=pause.paused_at,
            command="rmctl resume",
            is_mending=True,
        )


def of_running(running: int, house: House) -> Iterator[Obstacle]:
    """What the limit of all attempts keeps back. running: attempts that hold a seat."""
    if running >= house.max_running:
        yield Obstacle(
            kind=K.LIMIT,
            words=f"{running} of {house.max_running} attempts run",
            command="rmctl worker list",
        )


def of_project(project: Project | None, project_id: str, running: int) -> Iterator[Obstacle]:
    """What a project keeps back. project: None when it was removed. running: its attempts that hold a seat."""
    if project is None:
        again = f"rmctl project add PATH --name {project_id}"
        yield Obstacle(
            kind=K.PROJECT_REMOVED, id=project_id, words=f"its project {project_id} was removed", command=again
        )
        return
    if project.state is ProjectState.PAUSED:
        is_by_person = project.paused_reason.startswith(PAUSED_BY_PERSON)
        why = project.paused_reason if is_by_person else f"paused, {project.paused_reason}"
        # A pause that something led to is to be looked at first: its decision says what must be mended.
        yield Obstacle(
            kind=K.PROJECT_PAUSED,
            id=project.id,
            words=f"project {project.id} is {why}",
            command=f"rmctl project edit {project.id} --resume" if is_by_person else f"rmctl project show {project.id}",
            is_mending=is_by_person,
        )
    if running >= project.config.max_running:
        yield Obstacle(
            kind=K.PROJECT_LIMIT,
            id=project.id,
            words=f"project {project.id} runs {running} of {project.config.max_running} attempts",
            command=f"rmctl project show {project.id}",
        )


def is_free_seat(worker: Worker) -> bool:
    """Whether a seat may take a task now. The claim refuses any other."""
    return worker.state is WorkerState.ACTIVE and not worker.attempt_id


def fits(worker: Worker, task: Task) -> bool:
    """Whether a seat is one for this task: the claim's own conditions on the two."""
    return (
        (not task.agent or worker.agent == task.agent)
        and worker.project_id in ("", task.project_id)
        and set(task.capabilities) <= set(worker.capabilities)
    )


def resting_agents(conn: Connection, payers: Mapping[str, str] = NOBODY) -> dict[str, AccountState]:
    """The agents whose account is paused now, by name. payers: the account's id of each agent, where it is known."""
    known = accounts.resting_agents(conn)
    if not payers:
        return known
    paused = {account.id: account for account in accounts.paused_accounts(conn)}
    found = {agent: account for agent, account in known.items() if agent not in payers}
    return found | {agent: paused[id] for agent, id in payers.items() if id in paused}


def of_seats(task: Task, seats: Sequence[Worker], of_agent: Callable[[str], Sequence[Obstacle]]) -> Iterator[Obstacle]:
    """Why no seat takes a task; nothing while a fitting one is free. of_agent: what keeps an agent's seats back."""
    fitting = [worker for worker in seats if fits(worker, task)]
    if not fitting:
        needs = "".join(f" --cap {shlex.quote(word)}" for word in task.capabilities)
        agent = shlex.quote(task.agent) if task.agent else "AGENT"
        yield Obstacle(
            kind=K.NO_WORKER,
            words="no worker can take it",
            command=f"rmctl worker spawn --agent {agent}{needs}",
            is_mending=bool(task.agent),
        )
        # One that is spawned now would meet these.
        yield from of_agent(task.agent)
        return
    found: list[Obstacle] = []
    for worker in fitting:
        kept = list(of_seat(worker, of_agent))
        if not kept:
            return
        found += kept
    # What keeps other seats from it is not in its way where one only has to become free: that takes it.
    yield from [busy for busy in found if busy.kind == K.BUSY][:1] or _each_once(found)


def _each_once(found: Sequence[Obstacle]) -> Iterator[Obstacle]:
    """Of seats that are kept back alike the first: it is enough that one of them takes a task."""
    told: set[ObstacleKind] = set()
    for obstacle in found:
        kind = ObstacleKind(obstacle.kind)
        if kind not in (K.PULLED, K.WORKER_PAUSED):
            yield obstacle
        elif kind not in told:
            told.add(kind)
            more = sum(other.kind == kind for other in found) - 1
            also = f" (and so are {more} more)" if more and kind is K.WORKER_PAUSED else ""
            yield msgspec.structs.replace(obstacle, words=obstacle.words + also)


def of_seat(worker: Worker, of_agent: Callable[[str], Sequence[Obstacle]]) -> Iterator[Obstacle]:
    """Why a seat is given nothing now. One at a time: what is said of a seat that nobody is to use is no use."""
    if worker.is_pulled:
        is_hand = worker.agent == HAND
        command = "rmctl pull" if is_hand else f"rmctl worker run {worker.id}"
        yield Obstacle(kind=K.PULLED, id=worker.id, words="it waits to be pulled", command=command)
    elif worker.state is not WorkerState.ACTIVE:
        yield Obstacle(
            kind=K.WORKER_PAUSED,
            id=worker.id,
            words=f"worker {worker.id}, which can take it, is {worker.state}",
            command=f"rmctl worker start {worker.id}",
            is_mending=True,
        )
    elif of_this := of_agent(worker.agent):
        yield from of_this
    elif not is_free_seat(worker):
        yield Obstacle(kind=K.BUSY, words="the next free seat takes it in its turn", command="rmctl task ready")


def of_account(agent: str, resting: Mapping[str, AccountState], now: float) -> Iterator[Obstacle]:
    """What the rest of an account keeps back. resting: see `resting_agents`."""
    account = resting.get(agent)
    if account is None:
        return
    seconds = max(1, round((account.paused_until_at or now) - now))
    why = f" ({account.paused_reason})" if account.paused_reason else ""
    yield Obstacle(
        kind=K.ACCOUNT,
        id=account.id,
        words=f"the account of {agent} rests for {seconds} s{why}; to try it now",
        command=f"rmctl agent test {agent}",
    )
