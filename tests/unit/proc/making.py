"""Jobs for tests: specs with short limits, and ways to wait for what a child says."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import trio

from ringmaster.proc.inotify import open_watcher
from ringmaster.proc.job_files import JobSpec
from ringmaster.proc.shim_procfs import take_snapshot
from ringmaster.proc.tail import open_tail
from ringmaster.proc.tree import choose_by_nonce


def make_spec(*argv: str, **fields) -> JobSpec:
    """A spec in `/` with this process's environment, so that the suite's mark is on the children."""
    base: dict[str, Any] = {"cwd": "/", "env": dict(os.environ), "nonce": uuid.uuid4().hex, "grace_s": 0.2}
    return JobSpec(argv=argv, **(base | fields))


def make_shell_spec(script: str, *arguments: str, **fields) -> JobSpec:
    """A spec that runs `script` with sh; `arguments` are its $1, $2 and so on."""
    return make_spec("sh", "-c", script, "sh", *arguments, **fields)


async def read_lines(path: Path, count: int) -> list[bytes]:
    """The first `count` lines of a file that is being written."""
    lines: list[bytes] = []
    async with open_watcher() as watcher, open_tail(path, 0, trio.Event(), watcher=watcher) as tail:
        async for line in tail.lines():
            lines.append(line.data)
            if len(lines) == count:
                break
    return lines


def list_bearers(nonce: str) -> list[int]:
    """Living processes that carry a job's nonce."""
    return [stat.pid for stat in choose_by_nonce(take_snapshot(), nonce)]
