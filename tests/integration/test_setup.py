"""`make setup` on stand-ins of Python and rustc: what it leaves in a person's home."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Making an environment and installing into it both begin with pip, which asks rustc for its version.
PYTHON = """#!/bin/sh
case "$1 $2" in
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && rustc --version ;;
"-m pip") rustc --version ;;
esac
"""
RUSTC = """#!/bin/sh
mkdir -p "${RUSTUP_HOME:-$HOME/.rustup}" && touch "${RUSTUP_HOME:-$HOME/.rustup}/settings.toml"
"""


@pytest.mark.parametrize("is_used", [False, True], ids=["rustup never used", "rustup in use"])
def test_a_home_without_rustup_gets_none(tmp_path: Path, is_used: bool) -> None:
    home, programs, checkout = tmp_path / "home", tmp_path / "programs", tmp_path / "checkout"
    for directory in (home, programs, checkout / "bin"):
        directory.mkdir(parents=True)
    for name, text in (("python3", PYTHON), ("rustc", RUSTC)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    (checkout / "requirements.lock").touch()
    shutil.copy(ROOT / "bin" / "show-steps", checkout / "bin")
    if is_used:
        (home / ".rustup").mkdir()
    subprocess.run(
        [shutil.copy(ROOT / "bin" / "setup", checkout / "bin")],
        env={"HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
    )
    assert (checkout / ".venv" / "setup.stamp").exists()
    # Whose rustc it is says whose directory is asked.
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == (
        [".rustup", ".rustup/settings.toml"] if is_used else []
    )
