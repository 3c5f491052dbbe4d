"""A real daemon with a toy project, in a directory of its own that is gone afterwards."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.daemon import LiveDaemon, open_daemon
from tests.fakes.house import make_repository

CONFIG = "[limits]\ncancel_grace_s = 0.2\n[daemon]\nlog_level = 'info'\nmax_running = 256\n"
PROJECT = "toy"


@contextmanager
def isolated_root() -> Iterator[Path]:
    """A directory that is gone afterwards, and the home meanwhile."""
    with tempfile.TemporaryDirectory(prefix="ringmaster-bench-") as directory:
        # Git must not read the settings of whoever runs this.
        identity = {
            "HOME": directory,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Bench",
            "GIT_AUTHOR_EMAIL": "bench@localhost",
            "GIT_COMMITTER_NAME": "Bench",
            "GIT_COMMITTER_EMAIL": "bench@localhost",
        }
        before = dict(os.environ)
        os.environ.update(identity)
        try:
            yield Path(directory)
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def open_instance() -> Iterator[LiveDaemon]:
    """A daemon that has just started, with one project and no worker. Every attempt is ended before it goes."""
    with isolated_root() as root:
        (root / "s").mkdir()
        (root / "s" / "config.toml").write_text(CONFIG)
        repository = make_repository(root / "repository")
        with open_daemon(root / "s") as daemon:
            daemon.call(
                "project.add",
                path=str(repository),
                id=PROJECT,
                config={"gate": "true", "update_checkout": "never", "max_running": 1000},
            )
            yield daemon
            if daemon.process is not None:
                daemon.call("daemon.stop", mode="abort")
                daemon.stop()


def memory_kb(pid: int, field: str) -> int:
    """A field of a process's memory in kB: `Rss` or `Pss`."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise ValueError(f"no {field} of {pid}")
