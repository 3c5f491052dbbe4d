"""From ready to the agent's first instruction, step by step, through a real daemon, shim and agent.

The agent is `date +%s.%N`: what it prints is when it ran, about a millisecond after its exec. The shim's exec is the
making of its log, which happens between fork and exec; file times have the kernel's tick (4 ms at most), so look at
the medians. The first task of a workspace is taken: each one is new.
"""

from __future__ import annotations

import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

from tests.bench.figures import Report, timing
from tests.bench.instance import PROJECT, open_instance
from tests.fakes.daemon import LiveDaemon

AIM_SHIM_MS = 10.0
AIM_AGENT_MS = 20.0
STEPS = ("ready -> claim committed", "workspace", "prompt", "prompt there -> shim exec", "shim exec -> agent exec")


def one_dispatch(daemon: LiveDaemon, number: int) -> list[float]:
    """Milliseconds of each step of `STEPS` for one new task."""
    cursor = daemon.call("daemon.status")["cursor"]
    seen: dict[str, tuple[float, Any]] = {}
    with daemon.client() as client:
        stream = client.stream("events.subscribe", {"after": cursor}, on_begin=lambda _: add_task(daemon, number))
        for event in stream:
            seen.setdefault(event["type"], (time.time(), event))
            if event["type"] == "attempt.ended":
                break
    files = daemon.state / "attempts" / seen["attempt.started"][1]["attempt_id"]
    ready = seen["task.created"][1]["at"]
    claimed = seen["attempt.started"][0]
    prepared = seen["attempt.prepared"][0]
    prompt = (files / "prompt.md").stat().st_mtime_ns / 1e9
    shim = (files / "agent" / "shim.log").stat().st_mtime_ns / 1e9
    agent = float((files / "agent" / "stdout").read_text())
    points = [ready, claimed, prepared, prompt, shim, agent]
    return [(later - earlier) * 1000 for earlier, later in pairwise(points)]


def add_task(daemon: LiveDaemon, number: int) -> None:
    """A task that needs no diff, so that its end is soon."""
    daemon.call("task.add", title=f"Tell the time {number}", project_id=PROJECT, is_diff_needed=False)


def run(figures: Report) -> None:
    """Many dispatches one after the other, each beside the start of an interpreter as bare as the shim's."""
    figures.head("from ready to the agent's exec, one task at a time")
    rows: list[list[float]] = []
    interpreter: list[float] = []
    with open_instance() as daemon:
        daemon.call("worker.spawn", id="w", agent="command", command=["date", "+%s.%N"], project_id=PROJECT)
        for number in range(8 if figures.is_quick else 40):
            rows.append(one_dispatch(daemon, number))
            with timing(interpreter):
                subprocess.run([sys.executable, "-I", "-S", "-c", "pass"], check=True)
    columns = list(zip(*rows, strict=True))
    for name, column in zip(STEPS, columns, strict=True):
        figures.figure(name, column, "ms")
    figures.figure("yardstick: python -I -S -c pass, to its end", [seconds * 1000 for seconds in interpreter], "ms")
    claim, _, _, shim, agent = columns
    to_shim = [a + b for a, b in zip(claim, shim, strict=True)]
    to_agent = [a + b for a, b in zip(to_shim, agent, strict=True)]
    figures.figure("ready -> shim exec, less workspace and prompt", to_shim, "ms", at_most=AIM_SHIM_MS)
    figures.figure("ready -> agent exec, less workspace and prompt", to_agent, "ms", at_most=AIM_AGENT_MS)
