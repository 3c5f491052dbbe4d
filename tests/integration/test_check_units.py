"""`bin/check-units`, the part of `make check` that asks systemd about the units."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parents[2]
ANALYZE = """\
#!/bin/sh
echo "$*" >> {calls}
case "$*" in *{breaks}*) echo "ringmaster.service:7: Unknown key" >&2; exit 1 ;; esac
"""


def check(path: str) -> subprocess.CompletedProcess[str]:
    """Run it with this PATH."""
    argv = [sys.executable, str(ROOT / "bin" / "check-units")]
    return subprocess.run(argv, env={"PATH": path}, capture_output=True, text=True, timeout=60, check=False)


def test_systemd_finds_nothing(left_out: Callable[[str, str], NoReturn]) -> None:
    if shutil.which("systemd-analyze") is None:
        left_out("systemd-analyze", "it is not installed")
    done = check("/usr/bin:/bin")
    assert (done.returncode, done.stdout, done.stderr) == (0, "units: fine\n", "")


def test_without_systemd_it_says_what_it_leaves_out(tmp_path: Path) -> None:
    done = check(str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "units: left out, there is no systemd-analyze here\n")


@pytest.mark.parametrize("breaks", ["--user", "verify", "security"])
def test_what_systemd_complains_of_is_shown_and_fails(breaks: str, tmp_path: Path) -> None:
    program = tmp_path / "systemd-analyze"
    program.write_text(ANALYZE.format(calls=tmp_path / "calls", breaks=breaks))
    program.chmod(0o755)
    done = check(f"{tmp_path}:/usr/bin:/bin")
    assert done.returncode == 1
    assert "ringmaster.service:7: Unknown key" in done.stdout
    asked = (tmp_path / "calls").read_text()
    assert asked.count("verify") == 2
    assert asked.count("security --offline=yes") == 1
