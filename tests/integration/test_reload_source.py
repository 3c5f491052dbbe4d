"""What the self project says now: its target, what is on disk, why watching is paused; and nothing of it is touched."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
from pathlib import Path

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.project import Project, ProjectConfig
from ringmaster.model.states import ProjectState
from ringmaster.reload import snapshot
from ringmaster.reload.release import hash_files
from ringmaster.reload.snapshot import TreeChanging, changed_blobs, has_tree, prune_trees, release_files
from ringmaster.reload.source import Follow, Source, find_source
from ringmaster.workspace.git import GitError, run_git
from tests.fakes.house import git, make_repository

FILES = {
    "ringmaster/__init__.py": "VERSION = 1\n",
    "sql/migrations/0001_base.sql": "CREATE TABLE t (a);\n",
    "bin/ringmasterd": "#!/bin/sh\n",
    "requirements.lock": "",
    ".gitignore": "*.log\n",
    "README": "toy\n",
}


class Home:
    """A self project and a state."""

    def __init__(self, tmp_path: Path) -> None:
        self.path = make_repository(tmp_path / "repo", FILES)
        self.common = self.path / ".git"
        self.state = tmp_path / "state"
        self.state.mkdir()

    @property
    def head(self) -> str:
        return git("rev-parse", "HEAD", cwd=self.path)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def commit(self, name: str, text: str, message: str = "Change") -> str:
        self.write(name, text)
        git("add", "-A", cwd=self.path)
        git("commit", "-q", "-m", message, cwd=self.path)
        return self.head

    async def find(self, follow: Follow = "worktree", running: str = "") -> Source | str:
        project = Project(
            id="own",
            path=str(self.path),
            common_dir=str(self.common),
            target="main",
            state=ProjectState.ACTIVE,
            paused_reason="",
            parked_commit="",
            parked_at=None,
            config=ProjectConfig(),
            version=1,
            created_at=0.0,
        )
        return await find_source(project, follow, running, self.state)

    async def edited(self) -> Source:
        found = await self.find()
        assert isinstance(found, Source)
        return found


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def digest_of(directory: Path) -> dict[str, tuple[int, str]]:
    """Every file below with its mode, the time of its last change and its content.

    Of an object no time: git touches one that it would have written and finds there.
    """
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder, name)
            about = path.stat()
            time = 0 if ".git/objects" in folder else about.st_mtime_ns
            found[str(path)] = (about.st_mode, f"{time} {hashlib.sha256(path.read_bytes()).hexdigest()}")
    return found


async def test_a_target_is_its_commit_whatever_lies_about(home: Home):
    home.write("README", "edited\n")
    found = await home.find("target")
    assert isinstance(found, Source)
    assert (found.kind, found.commit, found.words) == ("target", home.head, f"{home.head[:9]} Begin")
    assert found.tree == git("rev-parse", "HEAD^{tree}", cwd=home.path)


async def test_a_tree_without_edits_is_the_target(home: Home):
    assert (await home.edited()).kind == "target"


async def test_edits_and_untracked_files_are_a_source_and_ignored_ones_are_not(home: Home):
    home.write("ringmaster/__init__.py", "VERSION = 2\n")
    home.write("ringmaster/new.py", "NEW = 1\n")
    home.write("ringmaster/noise.log", "x\n")
    (home.path / "README").unlink()
    found = await home.edited()
    assert (found.kind, found.commit) == ("worktree", home.head)
    trees = Path(found.trees)
    changed = {file.path: file.status for file in await changed_blobs(trees, f"{home.head}^{{tree}}", found.tree)}
    assert changed == {"ringmaster/__init__.py": "M", "ringmaster/new.py": "A", "README": "D"}
    files = {file.path: file for file in await release_files(trees, found.tree)}
    assert sorted(files) == [
        *("bin/ringmasterd", "requirements.lock", "ringmaster/__init__.py", "ringmaster/new.py"),
        "sql/migrations/0001_base.sql",
    ]
    assert files["ringmaster/new.py"].content == b"NEW = 1\n"


async def test_a_release_made_of_a_tree_has_the_hash_of_the_same_files_on_disk(home: Home):
    (home.path / "bin/ringmasterd").chmod(0o755)
    home.write("ringmaster/left.orig", "a merge's\n")
    found = await home.edited()
    files = await release_files(Path(found.trees), found.tree)
    assert "ringmaster/left.orig" not in {file.path for file in files}
    assert next(file for file in files if file.path == "bin/ringmasterd").is_executable
    assert hash_files(files) == hash_files(await release_files(Path(found.trees), found.tree))


async def test_nothing_of_the_users_is_written(home: Home):
    git("config", "core.splitIndex", "true", cwd=home.path)
    git("config", "core.untrackedCache", "true", cwd=home.path)
    git("update-index", "--split-index", cwd=home.path)
    home.write("README", "staged\n")
    git("add", "README", cwd=home.path)
    home.write("README", "edited\n")
    home.write("untracked", "u\n")
    hook = home.path / ".git/hooks/post-index-change"
    hook.write_text("#!/bin/sh\ntouch hook-was-here\n")
    hook.chmod(0o755)
    before = digest_of(home.path)
    assert (await home.edited()).kind == "worktree"
    assert digest_of(home.path) == before


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("MERGE_HEAD", "a merge is under way"),
        ("CHERRY_PICK_HEAD", "a cherry-pick is under way"),
        ("BISECT_LOG", "a bisect is under way"),
        ("index.lock", "another git command is under way"),
    ],
)
async def test_watching_is_paused_while_git_is_at_work(home: Home, mark: str, words: str):
    (home.path / ".git" / mark).write_text(home.head)
    assert await home.find() == f"watching paused: {words} in {home.path}"
    (home.path / ".git" / mark).unlink()
    assert (await home.edited()).commit == home.head


async def test_watching_is_paused_during_a_real_rebase_and_a_real_merge(home: Home):
    git("checkout", "-q", "-b", "side", cwd=home.path)
    home.commit("README", "side\n")
    git("checkout", "-q", "main", cwd=home.path)
    home.commit("README", "main\n")
    for words, named in ((("merge", "side"), "a merge"), (("rebase", "side"), "a rebase")):
        done = subprocess.run(["git", *words], cwd=home.path, capture_output=True, check=False)
        assert done.returncode == 1
        before = digest_of(home.path)
        assert await home.find() == f"watching paused: {named} is under way in {home.path}"
        assert digest_of(home.path) == before
        git(words[0], "--abort", cwd=home.path)


async def test_watching_is_paused_on_another_branch(home: Home):
    git("checkout", "-q", "-b", "side", cwd=home.path)
    assert await home.find() == f"watching paused: {home.path} is on side, not on main"
    git("checkout", "-q", "--detach", cwd=home.path)
    assert await home.find() == f"watching paused: {home.path} is on no branch, not on main"
    assert isinstance(await home.find("target"), Source)


async def test_a_tree_that_lacks_the_running_commit_is_not_watched(home: Home):
    first = home.head
    running = home.commit("README", "two\n")
    git("reset", "-q", "--hard", first, cwd=home.path)
    assert await home.find(running=running) == f"watching paused: your tree lacks {running[:9]}"
    assert await home.find(running="f" * 40) == "watching paused: your tree lacks fffffffff"
    assert isinstance(await home.find(running=first), Source)


async def test_a_tree_that_changes_while_it_is_read_is_left_for_later(home: Home, monkeypatch: pytest.MonkeyPatch):
    home.write("README", "one\n")
    real, count = run_git, 0

    async def run(*args: str, **keywords: object) -> object:
        nonlocal count
        if args[0] == "add":
            count += 1
            home.write("README", f"{count}\n")
        return await real(*args, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshot, "run_git", run)
    with pytest.raises(TreeChanging, match="the tree is changing") as caught:
        await home.find()
    assert caught.value.is_retryable


async def test_a_full_disk_is_told_in_words_and_passes(home: Home):
    (home.path / "large").write_bytes(os.urandom(200_000))
    before, soft = digest_of(home.path), resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit on the size of a file stands for the disk's: what git cannot write it cannot write.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, soft[1]))
    try:
        with pytest.raises(RingmasterError, match="the disk is full") as caught:
            await home.find()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, soft)
    assert caught.value.kind is ErrorKind.DISK_FULL
    assert caught.value.is_retryable
    assert digest_of(home.path) == before
    assert (await home.edited()).kind == "worktree"


def test_git_that_names_a_full_disk_is_understood(tmp_path: Path):
    said = "git add: unable to write loose object file: No space left on device"
    with pytest.raises(RingmasterError, match="the disk is full"), snapshot.disk_full_in_words(tmp_path):
        raise GitError(said, status=128)
    with pytest.raises(GitError), snapshot.disk_full_in_words(tmp_path):
        raise GitError("git add: bad file", status=128)


async def test_commits_that_the_lane_landed_are_told_from_a_persons(home: Home):
    first = home.head
    home.commit("README", "two\n", "Two\n\nRingmaster-Task: t-1\nRingmaster-Attempt: t-1/1")
    found = await home.find("target", first)
    assert isinstance(found, Source)
    assert (found.is_landed, found.has_agent) == (True, True)
    home.commit("README", "three\n", "Three")
    found = await home.find("target", first)
    assert isinstance(found, Source)
    assert (found.is_landed, found.has_agent) == (False, True)


async def test_a_linked_work_tree_is_read_and_a_bare_repository_has_none(home: Home, tmp_path: Path):
    git("checkout", "-q", "-b", "side", cwd=home.path)
    git("worktree", "add", "-q", str(tmp_path / "linked"), "main", cwd=home.path)
    main, home.path = home.path, tmp_path / "linked"
    home.common = main / ".git"
    home.write("README", "linked\n")
    assert (await home.edited()).kind == "worktree"
    (main / ".git" / "worktrees" / "linked" / "MERGE_HEAD").write_text(home.head)
    assert await home.find() == f"watching paused: a merge is under way in {home.path}"
    git("clone", "-q", "--bare", "-b", "main", str(main), str(tmp_path / "bare"), cwd=tmp_path)
    home.path = home.common = tmp_path / "bare"
    assert await home.find() == f"watching paused: {home.path} is a repository without a work tree"
    assert isinstance(await home.find("target"), Source)


async def test_a_target_that_is_gone_is_named(home: Home):
    git("branch", "-m", "main", "other", cwd=home.path)
    with pytest.raises(RingmasterError, match="has no branch 'main'"):
        await home.find("target")


async def test_snapshots_are_given_up_but_for_those_in_use(home: Home):
    home.write("README", "one\n")
    kept = await home.edited()
    home.write("README", "two\n")
    gone = await home.edited()
    # Sees one that was made a moment ago as old: prune counts whole seconds.
    for folder, _, names in os.walk(Path(kept.trees) / "objects"):
        for name in names:
            os.utime(Path(folder, name), (1, 1))
    left = Path(kept.trees).with_name("index-left")
    left.mkdir()
    os.utime(left, (1, 1))
    await prune_trees(home.state, [kept.tree], older_s=3600)
    assert not left.exists()
    assert await has_tree(Path(kept.trees), kept.tree)
    assert not await has_tree(Path(kept.trees), gone.tree)
