"""Replacing the running code: how soon a change is a candidate, what clients see of the switch, and the whole loop.

A real daemon whose own source is a project. Each change is one line of the version. The change is on disk when git has
moved the branch (the time of its ref's file), or when the editor's write begins; the candidate is the time of its row.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.figures import Report, timing
from tests.bench.instance import isolated_root
from tests.bench.memory import start_attempts
from tests.bench.pinging import Pingers, open_pingers
from tests.fakes.house import git, make_repository
from tests.fakes.own_source import OwnSource, open_own_source

AIM_CANDIDATE_S = 0.8
AIM_PAUSE_MS = 250.0
AIM_BUSY_PAUSE_MS = 500.0
CLIENTS = 4
ATTEMPTS = 100
DEBOUNCE_S = 0.2
"""What a person has who sets nothing."""
CHANGED = "ringmaster/__init__.py"
GATE = f"{sys.executable} -m compileall -q -f ringmaster"


@contextlib.contextmanager
def open_own(**config: Any) -> Iterator[OwnSource]:
    """A daemon of its own source with the debounce of a person's."""
    with isolated_root() as root, open_own_source(root, debounce_s=DEBOUNCE_S, **config) as own:
        yield own


def text(number: int) -> str:
    """The changed file."""
    return f'"""Ringmaster."""\n\n__version__ = "9.{number}"\n'


def commit(own: OwnSource, number: int) -> float:
    """Commit a change; when the branch was moved."""
    own.commit({CHANGED: text(number)})
    return (own.repository / ".git/refs/heads/main").stat().st_mtime


def edit(own: OwnSource, number: int) -> float:
    """Write a change and commit nothing; when it began."""
    began = time.time()
    own.write({CHANGED: text(number)})
    return began


def wait_reloaded(own: OwnSource, after: int) -> dict[str, float]:
    """When each event of a reload came, until it is good."""
    seen: dict[str, float] = {}
    for event in own.daemon.events(after):
        stage = event["data"].get("stage", "")
        seen[f"{event['type']} {stage}".strip()] = event["at"]
        if event["type"] in ("generation.bad", "generation.put_off", "generation.superseded"):
            raise RuntimeError(f"a good release is not taken: {event}")
        if event["type"] == "generation.good":
            return seen
    raise RuntimeError("the stream ended")


def one_reload(own: OwnSource, number: int, *, is_edit: bool = False) -> tuple[float, dict[str, float]]:
    """When the change was on disk, and when each event of it came."""
    after = own.cursor
    changed_at = edit(own, number) if is_edit else commit(own, number)
    return changed_at, wait_reloaded(own, after)


def time_argv(into: dict[str, list[float]], argv: list[str], cwd: Path) -> None:
    """One run of a yardstick."""
    with timing(into.setdefault(" ".join(argv[:2]), [])):
        subprocess.run(argv, cwd=cwd, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def run_candidate(figures: Report, follow: str, rounds: int) -> None:
    """From a change on disk to the candidate's row."""
    taken: list[float] = []
    looked: list[float] = []
    with open_own(follow=follow) as own:
        for number in range(rounds):
            figures.under_way(f"a change of the {follow}, round {number + 1} of {rounds}")
            changed_at, seen = one_reload(own, number, is_edit=follow == "worktree")
            taken.append(seen["generation.made"] - changed_at)
            with timing(looked):
                git("status", "--porcelain", cwd=own.repository)
                git("ls-tree", "-r", "HEAD", cwd=own.repository)
    yardstick = ("git status and ls-tree", looked)
    name = f"change on disk -> candidate, follow = {follow}"
    figures.figure(name, taken, "s", yardstick=yardstick, at_most=AIM_CANDIDATE_S)


def run_pause(figures: Report, rounds: int, attempts: int) -> None:
    """What clients see of a switch."""
    paused: list[float] = []
    before: list[float] = []
    imported: list[float] = []
    with open_own() as own:
        if attempts:
            start_sleepers(own, attempts)
        with open_pingers(own.daemon.socket, CLIENTS) as pingers:
            for number in range(rounds):
                figures.under_way(f"a switch under {attempts} attempts, round {number + 1} of {rounds}")
                pause_s, quiet_s = one_pause(own, pingers, number)
                paused.append(pause_s * 1000)
                before.append(quiet_s * 1000)
                with timing(imported):
                    subprocess.run([sys.executable, "-I", "-c", "import trio, apsw, msgspec"], check=True)
        if attempts:
            live = own.daemon.call("attempt.list", limit=1000)["attempts"]
            assert sum(attempt["state"] == "running" for attempt in live) == attempts, live
    name = f"pause over a switch, {attempts} live attempts" if attempts else "pause over a switch"
    yardstick = ("python, its libraries imported", [seconds * 1000 for seconds in imported])
    figures.figure(name, paused, "ms", yardstick=yardstick, at_most=AIM_BUSY_PAUSE_MS if attempts else AIM_PAUSE_MS)
    figures.figure("longest wait of the same clients while it was gated", before, "ms")


def one_pause(own: OwnSource, pingers: Pingers, number: int) -> tuple[float, float]:
    """The longest wait from the end of the gate until the release is good, and the longest before."""
    after = own.cursor
    pingers.take_longest_s()
    commit(own, number)
    gated_s = 0.0
    for event in own.daemon.events(after):
        if event["type"] == "generation.gated" and event["data"]["stage"] == "boot":
            gated_s = pingers.take_longest_s()
        if event["type"] == "generation.good":
            break
        if event["type"] in ("generation.bad", "generation.put_off"):
            raise RuntimeError(f"a good release is not taken: {event}")
    return pingers.take_longest_s(), gated_s


def start_sleepers(own: OwnSource, count: int) -> None:
    """Live attempts in a project beside its own source."""
    with (own.daemon.state / "config.toml").open("a") as file:
        file.write(f"[daemon]\nmax_running = {count}\n")
    own.daemon.wait_for(lambda event: event["type"] == "settings.reloaded")
    repository = make_repository(own.repository.parent / "toy")
    own.daemon.call("project.add", path=str(repository), id="toy", config={"gate": "true", "max_running": count})
    start_attempts(own.daemon, count, "toy")


def run_loop(figures: Report, rounds: int) -> None:
    """A one-line change with a gate that has something to do, beside the bare time of that gate's command."""
    whole: list[float] = []
    parts: dict[str, list[float]] = {}
    bare: list[float] = []
    with open_own(gate=GATE, probation_s=0.5) as own:
        for number in range(rounds):
            figures.under_way(f"from a change to good, round {number + 1} of {rounds}")
            changed_at, seen = one_reload(own, number)
            whole.append(seen["generation.good"] - changed_at)
            last = changed_at
            for name, at in seen.items():
                parts.setdefault(name, []).append(at - last)
                last = at
            with timing(bare):
                subprocess.run(GATE.split(), cwd=own.repository, check=True)
    yardstick = ("the gate's command alone", bare)
    figures.figure("change -> good, 0.5 s of probation", whole, "s", yardstick=yardstick)
    for name, values in parts.items():
        figures.figure(f"  until {name}", values, "s")


def run(figures: Report) -> None:
    """The four measures, each with a daemon of its own."""
    figures.head(f"reload, debounce {DEBOUNCE_S:g} s, {CLIENTS} clients that ask all the time")
    rounds = 3 if figures.is_quick else 7
    run_candidate(figures, "target", rounds)
    run_candidate(figures, "worktree", rounds)
    run_pause(figures, rounds, 0)
    run_pause(figures, rounds, ATTEMPTS)
    run_loop(figures, rounds)
