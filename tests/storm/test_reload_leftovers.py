"""What a daemon that has reloaded leaves behind when it is stopped: its state, and nothing anywhere else."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from ringmaster.cli.instance import open_shims
from ringmaster.proc.shim_procfs import take_snapshot
from tests.fakes.daemon import processes_of
from tests.fakes.house import git, steps, write_step
from tests.fakes.own_source import PROJECT, OwnSource, open_own_source
from tests.fakes.rmctl import Rmctl
from tests.fakes.unharmed import hash_repository

pytestmark = [pytest.mark.storm, pytest.mark.timeout(180)]

INIT, APP = "ringmaster/__init__.py", "ringmaster/daemon/app.py"
BEGUN = "        nursery.start_soon(run_reaper)\n"
FALLS = f"{BEGUN}        if boot.is_trial:\n            raise ValueError('it fell')\n"
NEWER = '"""Newer."""\n\n__version__ = "9.{}"\n'


def test_after_every_kind_of_reload_nothing_is_left_of_it(tmp_path: Path) -> None:
    gate = f"mkdir -p built && test ! -f RED && touch {tmp_path}/ran"
    with open_own_source(tmp_path / "own", gate=gate, update_checkout="clean") as own:
        config, hooks = (own.repository / ".git" / "config").read_bytes(), os.listdir(own.repository / ".git" / "hooks")
        reload_in_every_way(own)
        daemon, state, newest = own.daemon, own.daemon.state, own.generation
        before = hash_repository(own.repository)
        assert daemon.stop() == 0
        assert hash_repository(own.repository) == before
        assert processes_of(state) == []
        assert processes_below(tmp_path) == []
        assert not daemon.socket.exists()
        with (state / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert os.listdir(os.environ["HOME"]) == []
        assert os.listdir(os.environ["TMPDIR"]) == []
        assert sorted(path.name for path in tmp_path.iterdir()) == ["own", "ran"]
        assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["source", "state"]
        check_repository(own.repository)
        assert (own.repository / ".git" / "config").read_bytes() == config
        assert os.listdir(own.repository / ".git" / "hooks") == hooks
        check_state(state, newest)


def reload_in_every_way(own: OwnSource) -> None:
    """Good, red, fallen on trial, superseded, gone back from, landed by an agent, and reverted."""
    rmctl = Rmctl(own.daemon.socket)
    assert own.take({INIT: NEWER.format(1)})["type"] == "generation.good"
    assert own.take({INIT: NEWER.format(2), "RED": ""})["type"] == "generation.bad"
    answer(own)
    assert own.take({INIT: NEWER.format(3)})["type"] == "generation.good"
    text = (own.repository / APP).read_text()
    assert own.take({APP: text.replace(BEGUN, FALLS)})["type"] == "generation.bad"
    answer(own)
    assert (own.repository / APP).read_text() == text
    undone = rmctl("rollout", "undo", "--wait")
    assert undone.code == 0, undone
    after = own.cursor
    own.daemon.call("worker.spawn", agent="scripted", id="w")
    written = write_step(INIT, NEWER.format(4))
    own.daemon.call("task.add", title="Be newer", description=steps(written), project_id=PROJECT)
    event = own.daemon.wait_for(lambda seen: seen["type"] in ("generation.good", "generation.bad"), after)
    assert event["type"] == "generation.good", event
    own.daemon.call("worker.stop", id="w")


def answer(own: OwnSource) -> None:
    """Have the newest commit reverted, and wait for the lane."""
    after = own.cursor
    (question,) = [one for one in own.daemon.call("decision.list")["decisions"] if one["kind"] == "bad_release"]
    own.daemon.call("decision.answer", id=question["id"], answer="revert")
    own.daemon.wait_for(lambda seen: seen["type"] == "project.resumed", after)


def processes_below(root: Path) -> list[str]:
    """Processes that work, or were started from, below a directory."""
    found = []
    for stat in take_snapshot():
        try:
            words = Path(f"/proc/{stat.pid}/cmdline").read_bytes()
            place = os.readlink(f"/proc/{stat.pid}/cwd")
        except OSError:
            continue
        if stat.pid != os.getpid() and (os.fsencode(root) in words or f"{place}/".startswith(f"{root}/")):
            found.append(f"{stat.pid} {words!r}")
    return found


def check_repository(repository: Path) -> None:
    """One work tree, one branch, nothing beside it and nothing under way."""
    assert git("worktree", "list", "--porcelain", cwd=repository).count("worktree ") == 1
    assert git("for-each-ref", "--format=%(refname)", cwd=repository).split() == ["refs/heads/main"]
    assert git("stash", "list", cwd=repository) == ""
    assert git("status", "--porcelain", "--ignored", cwd=repository) == ""
    known = {"COMMIT_EDITMSG", "HEAD", "branches", "config", "description", "hooks", "index", "info", "logs", "objects"}
    # Whose project it is; goes with `rmctl project remove`.
    known |= {"ringmaster-owner", "refs", "packed-refs", "ORIG_HEAD"}
    assert {path.name for path in (repository / ".git").iterdir()} <= known
    assert not list((repository / ".git").rglob("*.lock"))
    git("fsck", "--strict", "--no-dangling", cwd=repository)


def check_state(state: Path, newest: int) -> None:
    """The receipts of the newest candidate; no job, no scratch of an unfinished release, snapshot or record."""
    assert [path.name for path in state.glob("candidates/[0-9]*")] == [str(newest)]
    assert open_shims(state) == []
    for pattern in ("candidates/revert-*", "candidates/index-*", "candidates/trees-*"):
        assert list(state.glob(pattern)) == [], pattern
    for folder in ("releases", "envs"):
        assert [path.name for path in (state / folder).iterdir() if not path.name.isalnum()] == []
    assert not list(state.glob("boot.json.*"))
