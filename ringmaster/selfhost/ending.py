"""What a self-host run says at its end: what landed and where to look, or what is in the way and the way on."""

from __future__ import annotations

from ringmaster.client import Client
from ringmaster.protocol.daemon import Status
from ringmaster.protocol.task import TaskDetail, TaskShowParams
from ringmaster.selfhost import clone as cloning
from ringmaster.selfhost.findings import find_all
from ringmaster.selfhost.improvement import WHAT, Measured
from ringmaster.selfhost.live import FAILED, REFUSED, follow_to_live, tell_decisions
from ringmaster.selfhost.preparing import Site
from ringmaster.selfhost.screen import Screen
from ringmaster.selfhost.story import Story


def tell_end(
    site: Site, client: Client, screen: Screen, story: Story, end: str, measured: Measured | None, shown: int
) -> int:
    """Say how it ended; what landed is followed until it is the daemon's own code.

    shown: the last event that was told. Returns the exit status: 0 landed and live, or it waits beside the person's
    branch; 6 a gate or a person is in the way; 1 it failed.
    """
    screen.words()
    if end == "landed":
        tell_landing(site, client, screen, story, measured)
        code = 0
        if cloning.contains(site.repository, site.branch, story.commit):
            screen.words()
            code = follow_to_live(site, client, screen, story.commit, shown=shown, landed_at=story.landed_at)
        screen.words("The daemon stays up; take it down: make selfhost-stop")
        return code
    task = story.task_id
    if end in ("done", "cancelled"):
        screen.words(f"{task} is {end}, and nothing landed.")
        screen.fact("look", f"{site.rmctl} show {task}")
        return FAILED
    if end in ("red", "failed"):
        screen.words(f"Nothing landed: {story.failure}.")
        if end == "red":
            detail = client.call("task.show", TaskShowParams(id=task), TaskDetail, is_repeatable=True)
            screen.fact("next", site.in_place(detail.next_step))
            screen.fact("", f"now: {site.rmctl} retry {task}; or give it up: {site.rmctl} cancel {task}")
    elif end == "paused":
        screen.words(f"Nothing landed: project {story.project_id} is paused: {story.paused}.")
    else:
        screen.words("Nothing landed yet: a person is asked.")
    tell_decisions(site, client, screen, story.project_id, task)
    if story.attempt_id:
        screen.fact("logs", f"{site.rmctl} logs {story.attempt_id}; its gate: … logs {story.attempt_id} -S gate")
    return FAILED if story.failure and "gate_failed" not in story.failure else REFUSED


def tell_landing(site: Site, client: Client, screen: Screen, story: Story, measured: Measured | None) -> None:
    """What landed, where, how long it took, and how to look at it and take it."""
    repository, commit = site.repository, story.commit
    status = client.call("daemon.status", None, Status, is_repeatable=True)
    parked = next((view for view in status.parked if view.project_id == site.project_id), None)
    branch = story.ref.removeprefix("refs/heads/")
    if parked is not None and not cloning.contains(repository, site.branch, commit):
        branch = parked.ref.removeprefix("refs/heads/")
    screen.words(f"Landed on branch {branch} at {commit}: {story.title}")
    parts = story.parts()
    screen.fact("took", ", ".join(f"{part.name} {part.wall_s:.1f} s" for part in parts))
    screen.fact("", f"{sum(part.wall_s for part in parts):.1f} s from the queue to the branch")
    after = len(find_all(cloning.read_commit(repository, commit)))
    before = measured.total if measured else len(find_all(cloning.read_commit(repository, f"{commit}^1")))
    screen.fact("measure", f"{before} -> {after} {WHAT}")
    screen.fact("gate", f"green: {story.tests}")
    screen.fact("look", f"git -C {repository} show --diff-merges=first-parent {commit[:12]}")
    if site.is_clone:
        screen.fact("fetch", f"git fetch {repository} {branch}")
    elif parked is not None:
        screen.fact("parked", f"{parked.reason}; this checkout is as it was. Take it: {parked.command}")
        screen.fact("live", f"not before {site.branch} has it: the daemon's code follows that branch, not this one")
        screen.fact("", f"it goes on by itself then; to see it: make selfhost TARGET={site.target}")
    screen.fact("show", f"{site.rmctl} show {story.task_id}")
