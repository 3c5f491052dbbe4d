"""A full disk is a state, not a crash: reads go on, nothing is accepted or given out, and it ends by itself."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.e2e.operator import CONFIG, Operator, write_step
from tests.fakes.daemon import LiveDaemon, processes_of

SIZE = "64m"
"""Of which a release and its environment, copied here as links do not reach over file systems, take a third."""
RESERVE = 1 << 20
LeaveOut = Callable[[str, str], NoReturn]


class SmallDisk(LiveDaemon):
    """A daemon whose state lies on a small file system of its own, in namespaces of its own. Its socket does not."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "home" / "ringmaster" / "small")
        self.state.mkdir(parents=True)
        (root / "run").mkdir()
        (root / "config" / "ringmaster").mkdir(parents=True)
        (root / "config" / "ringmaster" / "config.toml").write_text(
            f"{CONFIG}reserve_bytes = {RESERVE}\n[room]\ndisk_bytes = 0\n"
        )
        self.environ |= {
            "XDG_STATE_HOME": str(root / "home"),
            "XDG_RUNTIME_DIR": str(root / "run"),
            "XDG_CONFIG_HOME": str(root / "config"),
            "RINGMASTER_STATE": "small",
        }
        self.socket = root / "run" / "ringmaster" / "small.sock"
        mount = f'mount -t tmpfs -o size={SIZE} none "$1" && shift && exec "$@"'
        self.argv = ["unshare", "-Urm", "sh", "-c", mount, "sh", str(self.state), self.argv[0]]

    def inside(self, name: str) -> Path:
        """A file of its state, as seen through the daemon's own mounts."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{self.state}/{name}")

    def fill(self) -> None:
        """Take every block that is left."""
        with contextlib.suppress(OSError), self.inside("filler").open("wb", buffering=0) as filler:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while filler.write(b"\0" * size) == size:
                        pass


@pytest.fixture
def operator(tmp_path: Path, left_out: LeaveOut) -> Iterator[Operator]:
    may = subprocess.run(["unshare", "-Urm", "true"], capture_output=True, text=True, check=False)
    if may.returncode:
        left_out("disk full on a small tmpfs", f"no user namespaces here ({may.stderr.strip()})")
    daemon = SmallDisk(tmp_path)
    try:
        daemon.start()
        made = Operator(daemon, tmp_path)
        made.rmctl.environ |= daemon.environ
        yield made
        daemon.call("daemon.stop", mode="abort")
        daemon.stop()
    finally:
        daemon.end_everything()
        assert processes_of(daemon.state) == []


@pytest.mark.slow
def test_a_full_disk_refuses_changes_serves_reads_and_is_over_by_itself(operator: Operator) -> None:
    daemon = operator.daemon
    assert isinstance(daemon, SmallDisk)
    project = operator.project()
    fifo = operator.root / "go"
    os.mkfifo(fifo)
    busy = project.add("Busy", {"do": "fifo", "path": str(fifo)})
    agent = os.open(fifo, os.O_WRONLY)  # returns once the agent has come so far and waits
    waiting = project.add("Wait", write_step("one.txt", "1\n"))
    daemon.fill()

    line = operator.refused(1, "add", "One more", "-P", project.name)
    assert "the disk with the state directory is full" in line
    assert "rmctl gc" in line
    for command in (("task", "edit", waiting, "--title", "x"), ("project", "edit", project.name, "approve=ask")):
        assert "is full" in operator.refused(1, *command)
    assert '"kind": "disk_full"' in operator("add", "x", "-P", project.name, "-o", "json").err

    health = operator("health")
    assert health.code == 1
    assert "degraded" in health.out + health.err
    assert "degraded" in operator.ok("status").splitlines()[0]
    assert {row["id"] for row in operator.json("ls")} == {busy, waiting}
    assert operator.json("show", waiting)["shown"] == "ready"

    # What ends work is written from the reserve; what would begin some is not begun.
    operator.ok("cancel", busy)
    assert operator.ended(busy)["outcome"] == "cancelled"
    assert operator.json("show", waiting)["shown"] == "ready"

    os.close(agent)
    daemon.inside("filler").unlink()
    operator.landed(waiting)
    assert operator.ok("health").startswith("ok")
    assert (project.path / "one.txt").read_text() == "1\n"
