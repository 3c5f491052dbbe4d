"""What may become a release, and what is only looked at: dirty trees, merges under way, two projects, none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.house import git, make_repository
from tests.fakes.own_source import SETTLED, OwnSource
from tests.fakes.unharmed import Unharmed, open_unharmed_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

INIT, UNTRACKED = "ringmaster/__init__.py", "ringmaster/untracked.py"
# The first module by name after the package itself: what comes behind it is not imported.
MODULE = "ringmaster/aaa.py"


@pytest.fixture(scope="module")
def unharmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unharmed]:
    with open_unharmed_source(tmp_path_factory.mktemp("own"), probation_s=0.1) as made:
        yield made


@pytest.fixture(scope="module")
def own(unharmed: Unharmed) -> OwnSource:
    return unharmed.own


def ask(own: OwnSource) -> Any:
    """What there is to say when somebody asks for newer code and there is none: the event's data."""
    after = own.cursor
    own.daemon.call("reload.request")
    event = own.wait_settled(after)
    assert event["type"] == "reload.found_nothing", event
    return event["data"]


def test_of_two_sources_the_first_by_name_is_followed_and_the_other_is_named(
    unharmed: Unharmed, own: OwnSource, tmp_path: Path
) -> None:
    other = make_repository(tmp_path / "other")
    own.daemon.call("project.add", path=str(other), id="own-too", config={"is_self": True})
    assert ask(own)["words"].startswith("generation 1 is what there is")
    status = own.daemon.call("rollout.status")
    assert status["is_watching"]
    assert status["words"] == (
        f"watching branch main of {own.repository}; not own-too, which says it is the daemon's own source too"
    )
    own.daemon.call("project.edit", id="own-too", config={"is_self": False})
    unharmed.assert_serves(1)


def test_nothing_is_taken_by_itself_where_settings_say_never_and_the_target_when_somebody_asks(
    unharmed: Unharmed, own: OwnSource
) -> None:
    own.configure(follow="never")
    status = own.daemon.call("rollout.status")
    words = "settings say self.follow = never: newer code is taken by rmctl reload alone"
    assert (status["is_watching"], status["words"]) == (False, words)
    assert ask(own)["words"].startswith("generation 1 is what there is")
    unharmed.commit({**unharmed.append(INIT, "# never\n"), MODULE: "def broken(:\n"})
    answer = own.daemon.call("reload.request", is_dry_run=True)
    assert (answer["state"], answer["plan"]["source"]) == ("looked", "target")
    after = own.cursor
    with unharmed.open_repository_kept():
        own.daemon.call("reload.request")
        event = own.wait_settled(after)
    unharmed.assert_bad(event, f"import: {MODULE}:1: SyntaxError: ", serves=1)
    unharmed.commit({})
    own.configure(follow="target")
    unharmed.assert_serves(1)


def test_a_dirty_tree_is_left_alone_where_the_target_is_followed(unharmed: Unharmed, own: OwnSource) -> None:
    own.write({INIT: unharmed.original(INIT) + "# edited\n", UNTRACKED: "HERE = True\n"})
    with unharmed.open_repository_kept():
        assert ask(own)["words"].startswith("generation 1 is what there is")
    unharmed.assert_serves(1)


def test_a_dirty_tree_is_taken_as_it_is_where_the_work_tree_is_followed(unharmed: Unharmed, own: OwnSource) -> None:
    after = own.cursor
    with unharmed.open_repository_kept():
        own.configure(follow="worktree")
        event = own.wait_settled(after)
    assert event["type"] == "generation.good", event
    row = unharmed.row(event["data"]["generation"])
    assert row["source"] == "worktree"
    assert (own.daemon.state / "releases" / row["release"] / UNTRACKED).read_text() == "HERE = True\n"
    unharmed.assert_serves(row["id"])


def test_a_merge_pauses_and_when_it_has_ended_it_goes_on_by_itself(unharmed: Unharmed, own: OwnSource) -> None:
    serves = own.generation
    # A branch beside the work tree, whose merge touches nothing that is edited.
    blob = subprocess.run(
        ["git", "hash-object", "-w", "--stdin"], cwd=own.repository, input=b"more\n", capture_output=True, check=True
    )
    environ = {**os.environ, "GIT_INDEX_FILE": str(own.daemon.state / "index")}
    entry = f"100644,{blob.stdout.decode().strip()},NOTES"
    for args in (["read-tree", "HEAD"], ["update-index", "--add", "--cacheinfo", entry]):
        subprocess.run(["git", *args], cwd=own.repository, env=environ, check=True)
    tree = subprocess.run(["git", "write-tree"], cwd=own.repository, env=environ, capture_output=True, check=True)
    side = git("commit-tree", tree.stdout.decode().strip(), "-p", "HEAD", "-m", "Side", cwd=own.repository)
    after = own.cursor
    git("merge", "--quiet", "--no-ff", "--no-commit", side, cwd=own.repository)
    with unharmed.open_repository_kept():
        # The watcher may meet the command that begins the merge at its work, and says that first.
        met = f"watching paused: another git command is under way in {own.repository}"
        event = own.daemon.wait_for(lambda event: event["type"] in SETTLED and event["data"].get("words") != met, after)
        words = f"watching paused: a merge is under way in {own.repository}"
        assert (event["type"], event["data"]) == ("reload.found_nothing", {"words": words, "is_paused": True})
        status = own.daemon.call("rollout.status")
        assert (status["is_watching"], status["words"]) == (False, words)
    own.write({UNTRACKED: "HERE = 'in the middle of it'\n"})
    git("commit", "--quiet", "-m", "Merged", cwd=own.repository)
    with unharmed.open_repository_kept():
        event = own.wait_settled(event["seq"])
        assert event["type"] == "generation.good", event
    status = own.daemon.call("rollout.status")
    assert (status["running"], status["is_watching"]) == (serves + 1, True)
    assert status["words"].startswith("watching the work tree")


def test_a_full_disk_is_a_reason_to_wait_that_is_named_and_over_with_it(
    unharmed: Unharmed, own: OwnSource, left_out: Any
) -> None:
    # Nothing is looked at any more when the disk becomes full.
    assert ask(own)["words"].startswith(f"generation {own.generation} is what there is")
    objects = own.daemon.state / "candidates" / "trees.git" / "objects"
    alternates = (objects / "info" / "alternates").read_text()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", objects], check=False, capture_output=True
    )
    if mounted.returncode:
        left_out("a full disk under a snapshot", "no tmpfs may be mounted here")
    serves, after = own.generation, own.cursor
    try:
        (objects / "info").mkdir()
        (objects / "pack").mkdir()
        (objects / "info" / "alternates").write_text(alternates)
        # Random, so that it stays as big as it is.
        (own.repository / "ringmaster" / "big.bin").write_bytes(os.urandom(200_000))
        with unharmed.open_repository_kept():
            event = own.wait_settled(after)
        words = "newer code cannot be taken now: the disk is full: the tree cannot be copied"
        assert (event["type"], event["data"]["words"]) == ("reload.found_nothing", words)
        status = own.daemon.call("rollout.status")
        assert (status["is_watching"], status["words"]) == (False, words)
        unharmed.assert_serves(serves)
    finally:
        subprocess.run(["umount", objects], check=True)
    (own.repository / "ringmaster" / "big.bin").unlink()
    assert ask(own)["words"].startswith(f"generation {serves} is what there is")
    assert own.daemon.call("rollout.status")["is_watching"]
