"""Which project is the daemon's own source, and hints of its changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import trio

from ringmaster.bus import Bus, Wakeup
from ringmaster.model.event import Event
from ringmaster.model.project import Project
from ringmaster.reload.watched import Watched
from ringmaster.reload.watcher import run_watcher
from ringmaster.settings import Paths, Settings
from ringmaster.store import Store, projects
from ringmaster.store.connection import Connection

NO_SOURCE = (
    "no project is the daemon's own source: rmctl project add PATH --self, or rmctl project edit NAME --self for one"
    " that there is"
)
NEVER = "settings say self.follow = never: newer code is taken by rmctl reload alone"
CHANGES = ("project.added", "project.edited", "project.removed", "settings.reloaded")


def self_project(conn: Connection) -> Project | None:
    """The project that a person calls the daemon's own source; the first by name where there are several."""
    return next(iter(self_projects(conn)), None)


def self_projects(conn: Connection) -> list[Project]:
    """Every project that is called so, by name; the first one is followed."""
    own = [project for project in projects.salvaged_projects(conn) if project.config.is_self]
    return sorted(own, key=lambda project: project.id)


EDITS = ("project.added", "project.edited", "settings.reloaded")


async def run_edits(bus: Bus[Event], on_edit: Callable[[], None]) -> None:
    """Call `on_edit` when a person has changed what is followed or how it is judged, until cancelled."""
    with bus.open_subscription(lambda event: event.type in EDITS) as edits:
        while True:
            await edits.receive_batch()
            on_edit()


async def run_watching(
    store: Store,
    bus: Bus[Event],
    paths: Paths,
    settings: Callable[[], Settings],
    on_hint: Callable[[], None],
    tell: Callable[[str, bool], None],
) -> None:
    """Call `on_hint` after each change of what is followed, until cancelled. tell: what is watched, and whether."""
    wanted: tuple[Watched, ...] = ()
    wake = Wakeup()

    def current() -> Sequence[Watched]:
        return wanted

    async def find() -> None:
        nonlocal wanted
        own = await store.read(self_projects)
        project = own[0] if own else None
        also = "".join(f"; not {other.id}, which says it is the daemon's own source too" for other in own[1:])
        follow = settings().own.follow
        if project is None or follow == "never":
            wanted = ()
            tell(NO_SOURCE if project is None else NEVER, False)
        elif follow == "worktree":
            wanted = (
                Watched("worktree", Path(project.path), project.target),
                Watched("target", Path(project.common_dir), project.target),
            )
            tell(f"watching the work tree {project.path}{also}", True)
        else:
            wanted = (Watched("target", Path(project.common_dir), project.target),)
            tell(f"watching branch {project.target} of {project.path}{also}", True)

    await find()
    with bus.open_subscription(lambda event: event.type in CHANGES) as changes:
        async with trio.open_nursery() as nursery:
            watch = partial(run_watcher, own=lambda: settings().own, wake=wake, excluded=(paths.state,))
            await nursery.start(watch, current, on_hint)
            while True:
                await changes.receive_batch()
                await find()
                wake.set()
