"""`bin/selfhost`: set everything up, file one real improvement, follow it to its landing. `bin/selfhost stop`."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.selfhost.choosing import check_agent, choose_agent, payer_words
from ringmaster.selfhost.ending import tell_end
from ringmaster.selfhost.follow import Follower
from ringmaster.selfhost.improvement import WHAT
from ringmaster.selfhost.preparing import (
    STATE,
    WORKERS,
    Site,
    find_site,
    find_tasks,
    in_place,
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
    """The screen for this process's stdout."""
    is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
    is_coloured = is_terminal and not os.environ.get("NO_COLOR")
    columns = shutil.get_terminal_size().columns
    return Screen(sys.stdout, is_terminal=is_terminal, is_coloured=is_coloured, columns=columns)


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
        start_daemon(site, screen)
        chosen = choose(site, screen, agent)
    except KeyboardInterrupt:
        screen.words()
        screen.words("Nothing was filed or spent.")
        return INTERRUPTED
    try:
        return work(site._replace(agent=chosen), screen)
    except KeyboardInterrupt:
        screen.words()
        screen.words("Not following any more; the daemon and the task go on.")
        screen.fact("follow", "make selfhost")
        screen.fact("look", f"{site.rmctl} status")
        return INTERRUPTED


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
            return 0
        if filed.measured is not None and filed.measured.chosen is not None:
            chosen = filed.measured.chosen
            screen.fact("measure", f"{filed.measured.total} {WHAT}")
            screen.fact("task", f"{filed.view.task.id} mends one of them: {chosen.path}:{chosen.line} {chosen.name}")
        story = Story(filed.view.task.id, site.project_id)
        screen.words()
        end = Follower(site.connect, screen, story).follow()
        return tell_end(site, client, screen, story, end, filed.measured)
