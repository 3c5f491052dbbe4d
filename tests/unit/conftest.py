"""What tests of several parts need."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def tmpfs_command(tmp_path: Path, left_out) -> list[str]:
    """The start of a command that mounts a tmpfs of 4 MB, seen by itself alone, on `<tmp_path>/state`."""
    state = tmp_path / "state"
    state.mkdir()
    mount = f"mount -t tmpfs -o size=4m tmpfs '{state}' && exec \"$@\""
    command = ["unshare", "-Urm", "sh", "-c", mount, "sh"]
    if shutil.which("unshare") is None:
        left_out("full disk", "there is no `unshare`")
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode != 0:
        left_out("full disk", "no tmpfs can be mounted in a user namespace")
    return command
