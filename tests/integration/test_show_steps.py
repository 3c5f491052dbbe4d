"""What a set-up script shows of its steps, on a terminal of its own and in a pipe."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.glass import Glass

STEPS = Path(__file__).resolve().parents[2] / "bin" / "show-steps"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Runs its argument as a step: a fifo lets the test say when that is over."""
    path = tmp_path / "script"
    path.write_text(
        f"""set -euo pipefail
log={tmp_path}/log
source {STEPS}
show_step setup "installing what is named" bash -c "$1" || echo "ended with $?"
echo over
"""
    )
    os.mkfifo(tmp_path / "go")
    return path


def on_terminal(
    argv: list[str], seen: str, react: Callable[[], object], columns: int = 60, **environ: str
) -> tuple[int, Glass]:
    """Run with a terminal as stdout; once `seen` is on it, react, and type what that gives."""
    parent, child = pty.openpty()
    glass = Glass(columns)
    env = {"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": str(columns), **environ}
    argv = ["setsid", "--ctty", *argv]
    with subprocess.Popen(argv, stdin=child, stdout=child, stderr=child, env=env) as process:
        os.close(child)
        while True:
            try:
                text = os.read(parent, 65536).decode()
            except OSError:
                break
            glass.write(text)
            if seen and seen in "\n".join(glass.rows):
                seen = ""
                if isinstance(typed := react(), bytes):
                    os.write(parent, typed)
        os.close(parent)
    return process.returncode, glass


def test_a_step_counts_its_seconds_and_stays_with_all_of_them(script: Path) -> None:
    go = script.parent / "go"
    argv = ["bash", str(script), f"read -r _ <{go}"]
    code, glass = on_terminal(argv, "setup: installing what is named  1s", lambda: go.write_text("go\n"))
    assert code == 0
    first, last = glass.rows
    assert (first.rpartition("  ")[0], last) == ("setup: installing what is named", "over")
    assert int(first.rpartition("  ")[2].removesuffix("s")) >= 1


def test_a_narrow_window_breaks_no_line(script: Path) -> None:
    go = script.parent / "go"
    argv = ["bash", str(script), f"read -r _ <{go}"]
    _, glass = on_terminal(argv, "setup: installing w", lambda: go.write_text("go\n"), columns=20)
    assert "setup: installing w" in glass.drawn


def test_ctrl_c_ends_the_step_and_leaves_a_clean_line(script: Path) -> None:
    go = script.parent / "go"
    argv = ["bash", str(script), f"read -r _ <{go}"]
    code, glass = on_terminal(argv, "setup: installing what is named", lambda: b"\x03")
    assert code in (-signal.SIGINT, 128 + signal.SIGINT)
    assert glass.rows == []


def test_a_failed_step_keeps_its_status_and_its_output(script: Path) -> None:
    code, glass = on_terminal(["bash", str(script), "echo words; exit 7"], "", lambda: None)
    assert (code, glass.rows[1:]) == (0, ["ended with 7", "over"])
    assert (script.parent / "log").read_text() == "words\n"


@pytest.mark.parametrize("is_dumb", [False, True])
def test_in_a_pipe_a_step_is_one_line(script: Path, is_dumb: bool) -> None:
    argv = ["bash", str(script), "echo words; exit 7"]
    if is_dumb:
        _, glass = on_terminal(argv, "", lambda: None, TERM="dumb")
        lines = glass.rows
    else:
        lines = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines == ["setup: installing what is named", "ended with 7", "over"]
