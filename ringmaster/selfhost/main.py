"""`bin/selfhost`: set all up, file one improvement, follow it until it is the daemon's code. `bin/selfhost stop`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ringmaster.cli.progress import columns_of, is_drawn_on
from ringmaster.client import Client
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.selfhost.choosing import check_agent, choose_agent, payer_words
from ringmaster.selfhost.ending import tell_end
from ringmaster.selfhost.follow import Follower
from ringmaster.selfhost.improvement import WHAT
from ringmaster.selfhost.live import find_unsettled, follow_to_live
from ringmaster.selfhost.preparing import (
    STATE,
    WORKERS,
    Site,
    ensure_settings,
    find_site,
    find_tasks,
    find_tip,
    in_place,
    list_projects,
    open_turn,
    prepare,
    start_daemon,
)
from ringmaster.selfhost.screen import Screen
from ringmaster.selfhost.story import Story

INTERRUPTED = 130


def main(argv: Sequence[str], checkout: Path) -> int:
    """Run one command line for a checkout; TARGET and AGENT come from the environment. Returns the exit status."""
    try:
        if list(argv) == ["stop"]:
            return stop(checkout)
        if argv:
            raise RingmasterError(ErrorKind.USAGE, f"unknown: {' '.join(argv)}", "bin/selfhost [stop]")
        return run(checkout, os.environ.get("TARGET", ""), os.environ.get("AGENT", ""))
    except RingmasterError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"selfhost: {error.message}{in_place(checkout, hint)}\n")
        return error.exit_code
    except BrokenPipeError:
        # Nobody reads on; the task goes on all the same.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def stop(checkout: Path) -> int:
    """Become `rmctl daemon stop`."""
    rmctl = str(checkout / "bin" / "rmctl")
    os.execv(rmctl, [rmctl, "-s", STATE, "daemon", "stop"])


def make_screen() -> Screen:
    """The screen for this process's stdout; what its encoding lacks is spelled out, or a title would end it all."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    is_terminal = is_drawn_on(sys.stdout, os.environ)
    is_coloured = is_terminal and not os.environ.get("NO_COLOR")
    return Screen(
        sys.stdout,
        is_terminal=is_terminal,
        is_coloured=is_coloured,
        columns=lambda: columns_of(sys.stdout, os.environ),
    )


def run(checkout: Path, target: str, agent: str) -> int:
    """The whole of `make selfhost`.

    Raises:
        RingmasterError: what could not be set up, in words.
    """
    check_agent(agent)
    site = find_site(checkout, target)
    screen = make_screen()
    screen.fact("rmctl", site.rmctl)
    try:
        ensure_settings(site, screen)
        start_daemon(site, screen)
        with site.connect() as client:
            unsettled = find_earlier(site, client)
        if unsettled:
            screen.fact("reload", f"{unsettled}; going on with it, nothing is filed")
            return go_on(site, screen)
        chosen = choose(site, screen, agent)
    except KeyboardInterrupt:
        screen.words()
        screen.words("Nothing was filed or spent.")
        return INTERRUPTED
    try:
        return work(site._replace(agent=chosen), screen)
    except KeyboardInterrupt:
        return leave(site, screen)


def leave(site: Site, screen: Screen) -> int:
    """Somebody stopped looking: say how to look again. The exit status."""
    screen.words()
    screen.words("Not following any more; the daemon and the task go on.")
    screen.fact("follow", "make selfhost" + (f" TARGET={site.target}" if site.target else ""))
    screen.fact("look", f"{site.rmctl} status")
    return INTERRUPTED


def find_earlier(site: Site, client: Client) -> str:
    """In words, what an earlier run brought to the branch that is not settled yet as code; '' for nothing.

    A task that has not ended comes first: what it lands takes that one's place.
    """
    if not any(project.id == site.project_id and project.config.is_self for project in list_projects(client)):
        return ""
    unfinished, _ = find_tasks(site, client)
    return "" if unfinished is not None else find_unsettled(client)


def go_on(site: Site, screen: Screen) -> int:
    """Follow what an earlier run brought to the branch. The exit status."""
    try:
        with site.connect() as client:
            return follow_to_live(site, client, screen, find_tip(site, client))
    except KeyboardInterrupt:
        return leave(site, screen)


def choose(site: Site, screen: Screen, given: str) -> str:
    """Who does the task; says which and why, and before anything is filed who pays."""
    with site.connect() as client:
        unfinished, _ = find_tasks(site, client)
        if unfinished is not None:
            agent = unfinished.task.agent
            screen.fact("agent", f"{agent}: the task of an earlier run is its own")
            return agent if agent in WORKERS else "scripted"
        ask = screen.ask if screen.is_terminal and sys.stdin.isatty() else None
        choice = choose_agent(given, client, ask)
        screen.fact("agent", choice.words)
        if choice.agent == "claude":
            # Said before anything is filed: from here on it may cost.
            screen.fact("pays", payer_words(client))
    return choice.agent


def work(site: Site, screen: Screen) -> int:
    """File the task, follow it, tell the end. The exit status."""
    with site.connect() as client:
        with open_turn(site):
            filed = prepare(site, client, screen)
        if filed.view is None:
            left = filed.measured.total if filed.measured else 0
            rest = f"{left} are left that take a person" if left else "none is left"
            screen.words(f"Nothing to improve: of what is measured here ({WHAT}) {rest}.")
            # What was brought to the branch has still to become the code that runs.
            return follow_to_live(site, client, screen, find_tip(site, client), shown=filed.cursor)
        if filed.measured is not None and filed.measured.chosen is not None:
            chosen = filed.measured.chosen
            screen.fact("measure", f"{filed.measured.total} {WHAT}")
            screen.fact("task", f"{filed.view.task.id} mends one of them: {chosen.path}:{chosen.line} {chosen.name}")
        story = Story(filed.view.task.id, site.project_id, filed.cursor)
        screen.words()
        follower = Follower(site.connect, screen, story)
        end = follower.follow()
        return tell_end(site, client, screen, story, end, filed.measured, follower.shown)
