"""The suite's own rules: a nested run of pytest with the same conftest breaks each, and must say so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Each is a whole run of pytest.
pytestmark = pytest.mark.slow

CONFTEST = Path(__file__).resolve().parents[1] / "conftest.py"

LEAVES_A_PROCESS = """
import subprocess
def test_leaves_a_process(tmp_path):
    child = subprocess.Popen(["sleep", "600"], start_new_session=True)
    child.returncode = 0  # or its own destructor warns
    print("pid", child.pid)
"""
LEAVES_A_FILE = """
import pathlib
def test_leaves_a_file():
    (pathlib.Path.home() / "litter").touch()
"""
LEAVES_A_THREAD = """
import threading
def test_leaves_a_thread():
    is_over = threading.Event()
    threading._register_atexit(is_over.set)  # the interpreter joins its threads before it ends
    threading.Thread(target=is_over.wait, name="litterer").start()
"""
SKIPS = """
def test_skips(left_out):
    left_out("a small tmpfs", "no user namespaces")
"""
LOOKS_AROUND = """
import os, pathlib, subprocess
def test_looks_around():
    assert "RMCTL_SOCKET" not in os.environ and "GIT_DIR" not in os.environ
    assert list(pathlib.Path.home().iterdir()) == []
    name = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True)
    assert name.stdout == "Test\\n"
"""


def run_nested(directory: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    tests = directory / "tests"
    tests.mkdir()
    shutil.copy(CONFTEST, tests)
    (directory / "pytest.ini").write_text("[pytest]\n")
    (tests / "test_nested.py").write_text(source)
    arguments = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rP",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "tests",
    ]
    return subprocess.run(
        arguments,
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("source", "named"),
    [
        pytest.param(LEAVES_A_PROCESS, "`sleep 600` of tests/test_nested.py::test_leaves_a_process", id="process"),
        pytest.param(LEAVES_A_FILE, "HOME/litter", id="file"),
        pytest.param(LEAVES_A_THREAD, "thread litterer", id="thread"),
    ],
)
def test_what_is_left_behind_is_named_and_fails(tmp_path, source, named):
    result = run_nested(tmp_path, source)
    assert result.returncode == 1, result.stdout
    assert named in result.stdout


def test_what_is_left_out_is_listed_with_its_reason(tmp_path):
    result = run_nested(tmp_path, SKIPS)
    assert "left out: 1" in result.stdout
    assert "test_nested.py::test_skips: a small tmpfs: no user namespaces" in result.stdout


def test_nothing_of_the_outside_reaches_a_test(tmp_path):
    result = run_nested(tmp_path, LOOKS_AROUND, RMCTL_SOCKET="/nowhere", GIT_DIR="/nowhere")
    assert result.returncode == 0, result.stdout
