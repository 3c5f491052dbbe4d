"""A followed work tree as people have it: dirty in every way, in the middle of a rebase or merge, on another branch."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.own_source import OwnSource, open_own_source
from tests.fakes.rmctl import Rmctl
from tests.fakes.unharmed import hash_repository

pytestmark = [pytest.mark.storm, pytest.mark.timeout(120)]

INIT, NOTES = "ringmaster/__init__.py", "NOTES"
REMOVED, STAGED, RUN = "ringmaster/removed.py", "ringmaster/staged.py", "ringmaster/run.py"
IGNORED, EXCLUDED, UNTRACKED = "ringmaster/ignored.py", "ringmaster/excluded.py", "ringmaster/untracked.py"
FILES = {NOTES: "first\n", ".gitignore": "ignored.py\n", REMOVED: "", STAGED: "X = 1\n", RUN: ""}


class Tree:
    """The work tree of the daemon's own source, and what git does in it."""

    def __init__(self, own: OwnSource) -> None:
        self.own = own
        self.number = 0

    def git(self, *words: str, status: int = 0) -> str:
        environ = {**os.environ, "GIT_EDITOR": "true"}
        done = subprocess.run(
            ["git", *words], cwd=self.own.repository, env=environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, (words, done)
        return done.stdout.strip()

    def newer(self) -> dict[str, str]:
        """The package with a version that it never had."""
        self.number += 1
        return {INIT: f'"""Newer."""\n\n__version__ = "9.{self.number}"\n'}

    @property
    def version(self) -> str:
        return f"9.{self.number}"

    def follow(self, what: str) -> int:
        """Have the settings say what is followed; the cursor from before."""
        config, after = self.own.daemon.state / "config.toml", self.own.cursor
        lines = [f'follow = "{what}"' if line.startswith("follow") else line for line in config.read_text().split("\n")]
        config.write_text("\n".join(lines))
        self.own.daemon.wait_for(lambda event: event["type"] == "settings.reloaded", after)
        return after

    def ask(self) -> Any:
        """What there is to say where there is nothing to take: the event's data."""
        after = self.own.cursor
        self.own.daemon.call("reload.request")
        event = self.own.wait_settled(after)
        assert event["type"] == "reload.found_nothing", event
        return event["data"]

    def check_paused(self, words: str, serves: int) -> None:
        """It says why it waits, to whoever looks and asks, and nothing of the repository changes by it."""
        own, rmctl = self.own, Rmctl(self.own.daemon.socket)
        before, known = hash_repository(own.repository), len(own.history())
        self.own.write({UNTRACKED: f"# {self.number} in the middle of it\n"})
        before[UNTRACKED] = hash_repository(own.repository)[UNTRACKED]
        assert self.ask() == {"words": words, "is_paused": True}
        looked = own.daemon.call("reload.request", is_dry_run=True)
        assert (looked["state"], looked["words"]) == ("paused", words)
        status = own.daemon.call("rollout.status")
        assert (status["is_watching"], status["words"], status["running"]) == (False, words, serves)
        asked = rmctl("reload", "--wait")
        assert words in asked.out + asked.err, asked
        assert len(own.history()) == known
        assert hash_repository(own.repository) == before

    def check_taken(self, after: int) -> Any:
        """What is on disk becomes good, the repository stays as it is; the row."""
        own = self.own
        before = hash_repository(own.repository)
        event = own.daemon.wait_for(lambda seen: seen["type"] in ("generation.good", "generation.bad"), after)
        assert event["type"] == "generation.good", event
        assert hash_repository(own.repository) == before
        status = own.daemon.call("rollout.status")
        assert (status["running"], status["is_watching"]) == (event["data"]["generation"], True)
        assert own.daemon.call("daemon.version")["version"] == self.version
        return own.history()[0]["generation"]

    def diverge(self) -> None:
        """A branch `side` and `main`, each with a commit of its own since they parted, that conflict."""
        self.git("checkout", "--quiet", "-B", "side")
        self.own.commit({NOTES: f"side {self.number}\n"}, "On the side")
        self.git("checkout", "--quiet", "main")
        self.own.commit({NOTES: f"mine {self.number}\n", **self.newer()}, "Mine")

    def resolve(self) -> None:
        self.own.write({NOTES: f"both {self.number}\n"})
        self.git("add", NOTES)

    def clean(self) -> None:
        """Away with what the test before left; what runs is what there is."""
        self.git("reset", "--quiet", "--hard")
        self.git("clean", "--quiet", "-fdx")


@pytest.fixture
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    with open_own_source(tmp_path_factory.mktemp("own"), files=FILES) as own:
        made = Tree(own)
        # The files make it one more than the package that was started.
        own.daemon.wait_for(lambda event: event["type"] == "generation.good" and event["data"]["generation"] == 2)
        assert made.ask()["words"].startswith("generation 2 is what there is")
        yield made


def test_what_is_edited_staged_removed_and_untracked_is_taken_and_what_is_ignored_is_not(tree: Tree) -> None:
    own = tree.own
    own.write({**tree.newer(), REMOVED: None, UNTRACKED: "HERE = True\n", IGNORED: "1 / 0\n", EXCLUDED: "1 / 0\n"})
    own.write({STAGED: "X = 2\n", "new/notes": "beside the release\n"})
    tree.git("add", STAGED)
    own.write({STAGED: "X = 3\n", ".git/info/exclude": "excluded.py\n", "ringmaster/__pycache__/x.pyc": "old"})
    tree.git("add", "--intent-to-add", UNTRACKED)
    (own.repository / RUN).chmod(0o755)
    (own.repository / "ringmaster" / "link.py").symlink_to("/etc/passwd")
    before, index = hash_repository(own.repository), tree.git("diff", "--cached")
    row = tree.check_taken(tree.follow("worktree"))
    assert hash_repository(own.repository) == before
    assert tree.git("diff", "--cached") == index
    release = own.daemon.state / "releases" / row["release"]
    assert row["source"] == "worktree"
    assert (release / UNTRACKED).read_text() == "HERE = True\n"
    assert (release / STAGED).read_text() == "X = 3\n"
    assert (release / RUN).stat().st_mode & 0o100
    for name in (REMOVED, IGNORED, EXCLUDED, "ringmaster/link.py", "new/notes"):
        assert not os.path.lexists(release / name), name
    assert tree.ask()["words"].startswith(f"generation {row['id']} is what there is: uncommitted edits on ")
    # What is ignored may change without an end, and what is put away is gone from what runs.
    own.write({IGNORED: "2 / 0\n"})
    # git does not stash what is only to be added.
    tree.git("reset", "--quiet", UNTRACKED)
    after = own.cursor
    tree.git("stash", "push", "--quiet", "--include-untracked")
    event = own.wait_settled(after)
    assert event["type"] == "generation.good", event
    row = own.history()[0]["generation"]
    assert (row["source"], row["release"]) == ("target", own.history()[2]["generation"]["release"])
    after = own.cursor
    tree.git("stash", "pop", "--quiet", "--index")
    row = tree.check_taken(after)
    assert row["release"] == release.name


def test_a_rebase_that_stops_is_left_alone_until_it_is_over_and_taken_then(tree: Tree) -> None:
    own = tree.own
    tree.follow("never")
    tree.diverge()
    own.write({UNTRACKED: "", IGNORED: "1 / 0\n"})
    tree.git("rebase", "side", status=1)
    words = f"watching paused: a rebase is under way in {own.repository}"
    after = tree.follow("worktree")
    event = own.wait_settled(after)
    assert (event["type"], event["data"]) == ("reload.found_nothing", {"words": words, "is_paused": True})
    tree.check_paused(words, serves=2)
    # Over a start too.
    own.daemon.stop()
    own.daemon.start()
    tree.check_paused(words, serves=2)
    tree.resolve()
    tree.check_paused(words, serves=2)
    after = own.cursor
    tree.git("rebase", "--continue")
    row = tree.check_taken(after)
    assert (row["source"], row["commit"]) == ("worktree", tree.git("rev-parse", "main"))
    assert (own.repository / UNTRACKED).read_text().endswith("in the middle of it\n")


def test_a_merge_in_conflict_and_another_branch_are_left_alone_until_they_are_over(tree: Tree) -> None:
    own = tree.own
    after = own.cursor
    tree.diverge()
    tree.check_taken(after)
    tree.follow("worktree")
    tree.git("checkout", "--quiet", "side")
    words = f"watching paused: {own.repository} is on side, not on main"
    tree.check_paused(words, serves=3)
    tree.git("checkout", "--quiet", "--detach", "main")
    tree.check_paused(f"watching paused: {own.repository} is on no branch, not on main", serves=3)
    (own.repository / UNTRACKED).unlink()
    tree.git("checkout", "--quiet", "main")
    tree.git("merge", "--quiet", "side", status=1)
    words = f"watching paused: a merge is under way in {own.repository}"
    tree.check_paused(words, serves=3)
    tree.resolve()
    own.write(tree.newer())
    tree.git("add", INIT)
    tree.check_paused(words, serves=3)
    after = own.cursor
    tree.git("commit", "--quiet", "-m", "Merged")
    row = tree.check_taken(after)
    assert (row["source"], row["commit"]) == ("worktree", tree.git("rev-parse", "main"))


def test_given_up_they_leave_what_runs(tree: Tree) -> None:
    own = tree.own
    after = own.cursor
    tree.diverge()
    tree.check_taken(after)
    tree.follow("worktree")
    for verb, words in (("merge", "a merge"), ("rebase", "a rebase"), ("cherry-pick", "a cherry-pick")):
        tree.git(verb, "side", status=1)
        tree.check_paused(f"watching paused: {words} is under way in {own.repository}", serves=3)
        (own.repository / UNTRACKED).unlink()
        tree.git(verb, "--abort")
        assert tree.ask()["words"].startswith("generation 3 is what there is")
        assert own.daemon.call("rollout.status")["is_watching"]


def test_a_branch_that_lost_what_runs_waits_until_it_has_it_again_or_the_target_is_followed(tree: Tree) -> None:
    own = tree.own
    after = own.cursor
    tree.diverge()
    tree.check_taken(after)
    tree.follow("worktree")
    lost = tree.git("rev-parse", "main")
    tree.git("rebase", "side", status=1)
    tree.resolve()
    tree.git("rebase", "--continue")
    tree.check_paused(f"watching paused: your tree lacks {lost[:9]}", serves=3)
    (own.repository / UNTRACKED).unlink()
    rebased = tree.git("rev-parse", "main")
    tree.git("reset", "--quiet", "--hard", lost)
    assert tree.ask()["words"].startswith("generation 3 is what there is")
    tree.git("reset", "--quiet", "--hard", rebased)
    own.commit(tree.newer())
    tree.check_taken(tree.follow("target"))
