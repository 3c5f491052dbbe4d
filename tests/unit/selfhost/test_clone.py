"""The clone takes what is new in the checkout, loses nothing that landed in it, and leaves the checkout alone."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.selfhost.clone import commit_of, head_of, read_commit, refresh


class Repository:
    """Plain git in one directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *args: str) -> str:
        return subprocess.run(["git", *args], cwd=self.path, check=True, capture_output=True, text=True).stdout.strip()

    def commit(self, name: str, text: str) -> str:
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", f"{name}: {text[:20]}")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path: Path) -> Repository:
    (tmp_path / "checkout").mkdir()
    made = Repository(tmp_path / "checkout")
    made.git("init", "-q")
    made.commit("ringmaster/a.py", "A = 1\n")
    return made


@pytest.fixture
def clone(tmp_path: Path, checkout: Repository) -> Repository:
    path = tmp_path / "state" / "clones" / "ringmaster"
    assert "made" in refresh(path, checkout.path)
    return Repository(path)


def test_it_is_made_whole_and_stands_on_its_branch(checkout: Repository, clone: Repository):
    assert clone.git("symbolic-ref", "--short", "HEAD") == "selfhost"
    assert clone.git("rev-parse", "HEAD") == head_of(checkout.path)
    assert clone.git("status", "--porcelain") == ""
    assert not (clone.path / ".git" / "objects" / "info" / "alternates").exists()


def test_a_half_made_one_is_made_anew(tmp_path: Path, checkout: Repository):
    path = tmp_path / "clones" / "ringmaster"
    half = path.with_name("ringmaster.cloning")
    (half / ".git").mkdir(parents=True)
    refresh(path, checkout.path)
    assert commit_of(path, "selfhost") == head_of(checkout.path)
    assert not half.exists()


def test_it_goes_forward_with_the_checkout(checkout: Repository, clone: Repository):
    new = checkout.commit("b", "b\n")
    assert "forward" in refresh(clone.path, checkout.path)
    assert clone.git("rev-parse", "selfhost") == new
    assert (clone.path / "b").exists()
    assert "already" in refresh(clone.path, checkout.path)


def test_what_landed_stays_when_the_checkout_has_not_moved(checkout: Repository, clone: Repository):
    landed = clone.commit("landed", "x\n")
    assert "already" in refresh(clone.path, checkout.path)
    assert clone.git("rev-parse", "selfhost") == landed


def test_both_are_merged_when_both_have_moved(checkout: Repository, clone: Repository):
    landed = clone.commit("landed", "x\n")
    new = checkout.commit("b", "b\n")
    assert "merged" in refresh(clone.path, checkout.path)
    assert {landed, new} <= set(clone.git("rev-list", "selfhost").split())


def test_on_a_conflict_it_begins_anew_and_keeps_what_it_had(checkout: Repository, clone: Repository):
    landed = clone.commit("ringmaster/a.py", "A = 2\n")
    new = checkout.commit("ringmaster/a.py", "A = 3\n")
    words = refresh(clone.path, checkout.path)
    assert clone.git("rev-parse", "selfhost") == new
    assert clone.git("status", "--porcelain") == ""
    assert clone.git("rev-parse", f"selfhost-{landed[:12]}") == landed
    assert f"selfhost-{landed[:12]}" in words


def test_a_clone_that_somebody_works_in_is_left_alone(checkout: Repository, clone: Repository):
    checkout.commit("b", "b\n")
    (clone.path / "ringmaster" / "a.py").write_text("A = 'mine'\n")
    assert "uncommitted" in refresh(clone.path, checkout.path)
    clone.git("checkout", "-q", "-f", "-b", "elsewhere")
    assert "not on branch" in refresh(clone.path, checkout.path)
    assert not (clone.path / "b").exists()


def test_the_checkout_may_be_detached_and_dirty_and_stays_so(checkout: Repository, clone: Repository):
    first = head_of(checkout.path)
    new = checkout.commit("b", "b\n")
    checkout.git("checkout", "-q", "--detach", new)
    (checkout.path / "b").write_text("dirty\n")
    before = {str(p): p.read_bytes() for p in checkout.path.rglob("*") if p.is_file()}
    refresh(clone.path, checkout.path)
    assert {str(p): p.read_bytes() for p in checkout.path.rglob("*") if p.is_file()} == before
    assert first != new == clone.git("rev-parse", "selfhost")


def test_a_linked_work_tree_is_a_checkout_too(tmp_path: Path, checkout: Repository):
    checkout.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    new = Repository(tmp_path / "side").commit("b", "b\n")
    refresh(tmp_path / "c" / "ringmaster", tmp_path / "side")
    assert commit_of(tmp_path / "c" / "ringmaster", "selfhost") == new


def test_sources_are_read_from_the_commit_and_not_from_the_files(checkout: Repository):
    first = head_of(checkout.path)
    checkout.commit("ringmaster/data.txt", "x\n")
    (checkout.path / "ringmaster" / "a.py").write_text("A = 'dirty'\n")
    assert read_commit(checkout.path, first) == {"ringmaster/a.py": "A = 1\n"}


def test_refusals_are_words(tmp_path: Path, checkout: Repository):
    empty = Repository(tmp_path)
    empty.git("init", "-q")
    with pytest.raises(RingmasterError, match="no commit") as caught:
        head_of(empty.path)
    assert caught.value.kind is ErrorKind.REFUSED
    with pytest.raises(RingmasterError, match="no branch nowhere"):
        commit_of(checkout.path, "nowhere")
    with pytest.raises(RingmasterError, match="no ringmaster/"):
        read_commit(checkout.path, "0" * 40)
