"""Completion in the shells themselves, with ids and names from a scripted daemon, and without one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ringmaster.cli.completion import LOOK_S, SHELLS, source_of
from ringmaster.protocol.project import ProjectList
from ringmaster.protocol.task import TaskList
from ringmaster.protocol.worker import WorkerList
from tests.fakes.rmctl import RMCTL
from tests.fakes.rpc_results import make_project, make_view, make_worker
from tests.fakes.rpc_server import RpcServer

IN_BASH = """\
eval "$(rmctl completion bash)"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_rmctl_completion rmctl
printf '%s\\n' "${COMPREPLY[@]}"
"""
IN_ZSH = """\
compdef() { registered="$*" }
eval "$(rmctl completion zsh)"
whence -w _rmctl_completion
print -r -- "$registered"
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "rmctl").symlink_to(RMCTL)
    return {
        **os.environ,
        # fish makes its directories in it.
        "HOME": str(tmp_path),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "RMCTL_SOCKET": str(tmp_path / "rm.sock"),
    }


@pytest.fixture
def daemon(tmp_path: Path):
    with RpcServer(tmp_path / "rm.sock") as server:
        server.answers["task.list"] = TaskList(tasks=(make_view(), make_view(id="rm-xyz99")), next_cursor=0)
        server.answers["project.list"] = ProjectList(projects=(make_project(),))
        server.answers["worker.list"] = WorkerList(workers=(make_worker("w1"),))
        yield server


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


def run_shell(environ: dict[str, str], *argv: str) -> list[str]:
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split("\n")[:-1]


def in_bash(environ: dict[str, str], *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    return [line for line in run_shell(environ, "bash", "--norc", "-c", IN_BASH, "bash", *words) if line]


def test_bash_completes_commands_verbs_options_and_choices(environ):
    assert {"task", "status", "completion"} <= set(in_bash(environ, "rmctl", ""))
    assert in_bash(environ, "rmctl", "wor") == ["worker"]
    assert "retry" in in_bash(environ, "rmctl", "task", "re")
    assert in_bash(environ, "rmctl", "worker", "spawn", "--age") == ["--agent"]
    assert in_bash(environ, "rmctl", "status", "-o", "js") == ["json", "jsonl"]
    assert in_bash(environ, "rmctl", "cost", "--by", "d") == ["day"]
    assert in_bash(environ, "rmctl", "nonsense", "x") == []


def test_bash_completes_what_the_daemon_knows(environ, daemon):
    assert in_bash(environ, "rmctl", "task", "show", "") == ["rm-abc12", "rm-xyz99"]
    assert in_bash(environ, "rmctl", "cancel", "rm-x") == ["rm-xyz99"]
    assert in_bash(environ, "rmctl", "project", "show", "") == ["toy"]
    assert in_bash(environ, "rmctl", "worker", "stop", "") == ["w1"]
    assert in_bash(environ, "rmctl", "ls", "-P", "t") == ["toy"]
    # Also as the second of several, and a name that is yet to be made up is not guessed.
    assert in_bash(environ, "rmctl", "wait", "rm-abc12", "rm-x") == ["rm-xyz99"]
    assert in_bash(environ, "rmctl", "worker", "spawn", "") == []
    assert [params.is_all for params in daemon.called("task.list")] == [True, False, False]


def test_without_a_daemon_nothing_is_offered_and_nothing_said(environ):
    assert in_bash(environ, "rmctl", "task", "show", "") == []


def test_a_daemon_that_hangs_is_waited_for_briefly(environ, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(tmp_path / "rm.sock"))
        silent.listen()
        began = time.monotonic()
        asked = {**environ, "_RMCTL_COMPLETE": "fish_complete", "COMP_WORDS": "rmctl task show", "COMP_CWORD": ""}
        done = subprocess.run([RMCTL], env=asked, capture_output=True, timeout=20, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, b"", b"")
    # Generous: the machine is busy with other tests. Without a limit it would be 30 s.
    assert time.monotonic() - began < LOOK_S + 10


def test_fish_completes_in_fish(environ, daemon):
    needs("fish")
    asked = 'rmctl completion fish | source; complete -C "rmctl task show rm-x"'
    assert run_shell(environ, "fish", "--no-config", "-c", asked) == [f"rm-xyz99\t{make_view().task.title}"]


def test_zsh_takes_the_script(environ):
    needs("zsh")
    assert run_shell(environ, "zsh", "-f", "-c", IN_ZSH) == [
        "_rmctl_completion: function",
        "_rmctl_completion rmctl",
    ]


@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_every_shell_is_answered_in_its_own_form(environ, daemon, shell):
    """What the scripts do, for shells that are not installed here too."""
    line = "rmctl task show rm-x" if shell != "fish" else "rmctl task show"
    asked = {"_RMCTL_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": "3"}
    if shell == "fish":
        asked["COMP_CWORD"] = "rm-x"
    done = subprocess.run(
        [sys.executable, RMCTL], env={**environ, **asked}, capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0
    title = make_view().task.title
    expected = {
        "bash": "plain,rm-xyz99\n",
        "zsh": f"plain\nrm-xyz99\n{title}\n",
        "fish": f"plain,rm-xyz99\t{title}\n",
    }
    assert done.stdout == expected[shell]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("noun", "verb", "param", "expected"),
    [
        ("", "show", "id", "all tasks"),
        ("", "cancel", "ids", "tasks"),
        ("task", "retry", "ids", "all tasks"),
        ("worker", "remove", "ids", "workers"),
        ("worker", "spawn", "name", ""),
        ("decision", "answer", "id", "decisions"),
        ("project", "add", "path", ""),
        ("task", "add", "project_id", "projects"),
        ("", "rpc", "method", ""),
        ("service", "install", "names", ""),
    ],
)
def test_a_parameter_is_completed_from_the_list_of_its_noun(noun, verb, param, expected):
    assert source_of(noun, verb, param) == expected
