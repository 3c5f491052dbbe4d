"""Everything that has to stand before the task: daemon, clone, project, worker. Each step finds what is there."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from ringmaster.client import Client
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.project import Project
from ringmaster.model.proposal import key_of
from ringmaster.model.states import ENDED_TASK_STATES, LIVE_TASK_STATES, WorkerState
from ringmaster.protocol.daemon import Health, Status, Version
from ringmaster.protocol.project import ProjectAddParams, ProjectEditParams, ProjectList
from ringmaster.protocol.task import TaskChanged, TaskList, TaskListParams, TaskView
from ringmaster.protocol.worker import WorkerList, WorkerSetParams, WorkerSpawnParams
from ringmaster.selfhost import clone as cloning
from ringmaster.selfhost.choosing import CLAUDE_BUDGET_USD
from ringmaster.selfhost.findings import JUDGES
from ringmaster.selfhost.improvement import LABEL, Measured, make_task, measure
from ringmaster.selfhost.screen import Screen
from ringmaster.settings import Paths, resolve_paths

STATE = "selfhost"
WORKERS = {"scripted": "selfhost", "claude": "selfhost-claude"}
"""The seat of each agent that a self-host can be done by."""
PROJECT = "ringmaster"
CHECKOUT_PROJECT = "ringmaster-checkout"
"""With TARGET the project is this checkout; the clone keeps its own name, so both can be there."""
PROBATION_S = 5
SETTINGS = f"""\
# Of the instance that `make selfhost` runs; written once, yours from then on.
[self]
# New code of the daemon is watched for so long before it is trusted. The default is 30.
probation_s = {PROBATION_S}
"""


class Site(NamedTuple):
    """Where a self-host runs, and by which agent. checkout: the one that `make selfhost` was called in."""

    checkout: Path
    paths: Paths
    target: str
    agent: str = "scripted"

    @property
    def rmctl(self) -> str:
        """The command that speaks to this instance, for people to copy."""
        return f"{self.checkout / 'bin' / 'rmctl'} -s {STATE}"

    @property
    def is_clone(self) -> bool:
        """Whether the work goes to the clone, not to this checkout."""
        return not self.target

    @property
    def clone(self) -> Path:
        """The clone in the state directory."""
        return self.paths.state / "clones" / PROJECT

    @property
    def repository(self) -> Path:
        """What the project is about."""
        return self.clone if self.is_clone else self.checkout

    @property
    def branch(self) -> str:
        """Where work lands."""
        return self.target or cloning.BRANCH

    @property
    def project_id(self) -> str:
        """What the project is called."""
        return PROJECT if self.is_clone else CHECKOUT_PROJECT

    def connect(self) -> Client:
        """A connection of its own; close it."""
        return Client(str(self.paths.socket), name=STATE)

    def in_place(self, words: str) -> str:
        """Words of the daemon with every `rmctl …` in them as a command that works here."""
        return in_place(self.checkout, words)


def in_place(checkout: Path, words: str) -> str:
    """Words with every `rmctl …` in them as a command of this checkout that speaks to the self-host's instance."""
    command = rf"(?<![/\w])(?<!the )(?<!this )rmctl (?:-s {STATE} )?(?=[a-z])"
    return re.sub(command, f"{checkout / 'bin' / 'rmctl'} -s {STATE} ", words)


class Filed(NamedTuple):
    """What there is to follow. view: None when nothing is left to improve. measured: None for an earlier task.

    cursor: the last event before anything was brought to the branch.
    """

    view: TaskView | None
    measured: Measured | None
    cursor: int = 0


def find_site(checkout: Path, target: str, agent: str = "scripted") -> Site:
    """The site of a checkout.

    Raises:
        RingmasterError: USAGE for a state directory whose socket path would be too long.
    """
    return Site(checkout, resolve_paths(STATE, os.environ), target, agent)


def ensure_settings(site: Site, screen: Screen) -> None:
    """Once, for a person without any settings: a short probation, so that a whole run is seen within minutes."""
    if site.paths.config.exists():
        return
    path = site.paths.config.with_name(f"{STATE}.toml")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SETTINGS)
    except OSError as error:
        screen.fact("settings", f"the default ones; {path} cannot be written: {error.strerror}")
        return
    screen.fact(
        "settings", f"{path} written: new code is watched for {PROBATION_S} s before it is trusted; it is yours"
    )


def start_daemon(site: Site, screen: Screen) -> None:
    """Start the daemon with its keeper, or find it running.

    One that runs in place and is older than this checkout's code is restarted; one that runs from a release replaces
    its code by itself.

    Raises:
        RingmasterError: UNREACHABLE with the words of `rmctl daemon start`.
    """
    verb = "restart" if is_older(site) else "start"
    argv = [str(site.checkout / "bin" / "rmctl"), "-s", STATE, "daemon", verb]
    start = partial(subprocess.run, argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    done = screen.during("restarting the daemon" if verb == "restart" else "starting the daemon", start)
    words = done.stderr.strip().splitlines() or ["it said nothing"]
    if done.returncode != 0:
        raise RingmasterError(ErrorKind.UNREACHABLE, site.in_place(words[-1].removeprefix("rmctl: ")))
    how = "restarted, because it was older than the code here" if verb == "restart" else words[-1]
    screen.fact("daemon", f"{how}; state {site.paths.state}")


def is_older(site: Site) -> bool:
    """Whether a daemon runs this very tree and was started before the tree was last changed.

    It would load the parts it has not needed so far from the new code. Agents at work do not notice a restart.
    """
    with site.connect() as client:
        try:
            if client.call("daemon.version", None, Version, is_repeatable=True).generation:
                return False
            started_at = client.call("daemon.health", None, Health, is_repeatable=True).started_at
        except RingmasterError as error:
            if error.kind is ErrorKind.UNREACHABLE:
                return False
            raise
    trees = (site.checkout / "ringmaster", site.checkout / "sql")
    sources = [path for tree in trees for path in (*tree.rglob("*.py"), *tree.rglob("*.sql"))]
    return any(path.stat().st_mtime > started_at for path in sources)


@contextmanager
def open_turn(site: Site) -> Iterator[None]:
    """One `make selfhost` at a time prepares and files; a second one waits and then finds what the first one did."""
    fd = os.open(site.paths.state / "selfhost.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def prepare(site: Site, client: Client, screen: Screen) -> Filed:
    """Clone, project and worker, then the task: an unfinished one of an earlier run, else a new one.

    Raises:
        RingmasterError: what git or the daemon refused; REFUSED while the project is paused.
    """
    cursor = client.call("daemon.status", None, Status, is_repeatable=True).cursor
    unfinished, count = find_tasks(site, client)
    is_live = unfinished is not None and unfinished.task.state in LIVE_TASK_STATES
    if site.is_clone and not is_live:
        how = screen.during("bringing the clone up to date", partial(cloning.refresh, site.clone, site.checkout))
        screen.fact("clone", f"{how}; {site.clone}")
        if cloning.git(site.checkout, "status", "--porcelain", "--untracked-files=no", is_tried=True):
            screen.fact("", "uncommitted changes of this checkout are not in it")
    leave_other(site, client, screen)
    project = ensure_project(site, client)
    screen.fact("project", f"{project.id}: branch {project.target}, gate `{project.config.gate}`")
    # Who began it goes on with it: whom it was filed for is the task's.
    agent = unfinished.task.agent if unfinished is not None else site.agent
    screen.fact("worker", ensure_worker(client, agent if agent in WORKERS else site.agent))
    if unfinished is not None:
        screen.fact("task", f"{unfinished.task.id} of an earlier run is {unfinished.shown}: going on with it")
        return Filed(unfinished, None, cursor)
    if project.state == "paused":
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"project {project.id} is paused: {project.paused_reason}",
            f"{site.rmctl} decision list; then: {site.rmctl} project edit {project.id} --resume",
        )
    base = find_base(site, project)
    read = partial(cloning.read_commit, site.repository, base)
    measured = screen.during("measuring what could be better", lambda: measure(read()))
    if measured.chosen is None:
        return Filed(None, measured, cursor)
    budget = CLAUDE_BUDGET_USD if site.agent == "claude" else None
    task = make_task(project.id, base, measured, count, agent=site.agent, budget_usd=budget)
    changed = client.call("task.add", task, TaskChanged)
    return Filed(changed.view, measured, cursor)


def find_tip(site: Site, client: Client) -> str:
    """The commit that the daemon's own code is to be made of.

    Raises:
        RingmasterError: NOT_FOUND when the branch is gone.
    """
    known = {project.id: project for project in list_projects(client)}.get(site.project_id)
    return cloning.commit_of(site.repository, known.target if known is not None else site.branch)


def find_base(site: Site, project: Project) -> str:
    """The commit that the next attempt starts from: the target's, or of landed work that waits beside it."""
    target = cloning.commit_of(site.repository, project.target)
    parked = project.parked_commit
    return parked if parked and not cloning.contains(site.repository, target, parked) else target


def find_tasks(site: Site, client: Client) -> tuple[TaskView | None, int]:
    """The newest self-host task that has not ended, and how many there have been. None of a project not there yet."""
    if site.project_id not in [project.id for project in list_projects(client)]:
        return None, 0
    found: list[TaskView] = []
    cursor: int | None = 0
    while cursor is not None:
        params = TaskListParams(project_id=site.project_id, label=LABEL, is_all=True, cursor=cursor)
        page = client.call("task.list", params, TaskList, is_repeatable=True)
        found += page.tasks
        cursor = page.next_cursor
    # What `rmctl selfhost propose` filed has the label too, and is not the task of a run of this program.
    own = [view for view in found if not key_of(view.task.labels)]
    unfinished = [view for view in own if view.task.state not in ENDED_TASK_STATES]
    return (unfinished[-1] if unfinished else None), len(own)


def list_projects(client: Client) -> tuple[Project, ...]:
    """All projects of the instance."""
    return client.call("project.list", None, ProjectList, is_repeatable=True).projects


def wanted_config(site: Site) -> dict[str, object]:
    """The settings that make this repository's gate judge its landings; all others are left to the person."""
    return {
        "gate": "make gate",
        "cache": [".venv"],
        "gate_reuse": "tree",
        "test_changes": "ask",
        # A person's checkout is never moved without having been asked about; the clone is nobody's.
        "update_checkout": "clean" if site.is_clone else "never",
        "protected": list(JUDGES),
        # What lands there becomes the code of the daemon that landed it.
        "is_self": True,
    }


def leave_other(site: Site, client: Client, screen: Screen) -> None:
    """The daemon's code follows one branch: of this run's project, no longer that of a run with another TARGET."""
    for project in list_projects(client):
        if project.id in (PROJECT, CHECKOUT_PROJECT) and project.id != site.project_id and project.config.is_self:
            edit = ProjectEditParams(id=project.id, config={"is_self": False}, idempotency_key=os.urandom(16).hex())
            client.call("project.edit", edit, Project)
            screen.fact("source", f"the daemon's code follows {site.project_id} from now on, no longer {project.id}")


def ensure_project(site: Site, client: Client) -> Project:
    """Register the repository, or bring the settings of the registered one up to date."""
    wanted = wanted_config(site)
    known = {project.id: project for project in list_projects(client)}.get(site.project_id)
    if known is None:
        add = ProjectAddParams(
            path=str(site.repository),
            id=site.project_id,
            target=site.branch,
            config=wanted,
            idempotency_key=os.urandom(16).hex(),
        )
        return client.call("project.add", add, Project)
    if os.path.realpath(known.path) != os.path.realpath(site.repository):
        raise RingmasterError(
            ErrorKind.CONFLICT,
            f"project {known.id} is registered for {known.path}, not for {site.repository}",
            f"{site.rmctl} project remove {known.id}",
        )
    current = msgspec.to_builtins(known.config)
    changed = {name: value for name, value in wanted.items() if current[name] != value}
    if not changed and known.target == site.branch:
        return known
    edit = ProjectEditParams(id=known.id, config=changed, target=site.branch, idempotency_key=os.urandom(16).hex())
    return client.call("project.edit", edit, Project)


def ensure_worker(client: Client, agent: str = "scripted") -> str:
    """Spawn the worker of an agent, or start the one that is there; in words."""
    name = WORKERS[agent]
    workers = client.call("worker.list", None, WorkerList, is_repeatable=True).workers
    known = {view.worker.id: view for view in workers}.get(name)
    if known is None:
        spawn = WorkerSpawnParams(agent=agent, id=name, idempotency_key=os.urandom(16).hex())
        client.call("worker.spawn", spawn)
        return f"{name} spawned"
    if known.worker.state is not WorkerState.ACTIVE:
        client.call("worker.start", WorkerSetParams(id=name, idempotency_key=os.urandom(16).hex()))
        return f"{name} was {known.worker.state}, started"
    return f"{name} is {known.shown}"
