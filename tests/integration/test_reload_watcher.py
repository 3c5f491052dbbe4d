"""Hints from real directories: watchdog's thread, the kernel's events, real git."""

from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path

import pytest
import trio

from ringmaster.reload import watcher
from ringmaster.reload.observer import Observer, Place
from ringmaster.reload.watched import Watched
from ringmaster.settings import OwnSettings
from tests.fakes.house import git, make_repository
from tests.fakes.watching import FENCE, Asked, count_inotify, inotify_descriptors, open_watching


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    files = {"README": "toy\n", "src/a.py": "a = 1\n", ".gitignore": "*.ignored\n__pycache__/\n.venv\n"}
    return make_repository(tmp_path / "toy", files)


def target(repository: Path, branch: str = "main") -> Watched:
    return Watched("target", repository / ".git", branch)


def tree(repository: Path) -> Watched:
    return Watched("worktree", repository, "main")


def commit(repository: Path, text: str) -> None:
    (repository / "README").write_text(text)
    git("commit", "-qam", text, cwd=repository)


async def test_a_commit_on_the_target_is_hinted_at_and_nothing_else(toy: Path, asked: Asked) -> None:
    async with open_watching(target(toy)) as watching:
        (toy / "README").write_text("not committed\n")
        git("add", "-A", cwd=toy)
        git("update-ref", "refs/heads/other", "HEAD", cwd=toy)
        git("update-ref", "refs/keep/this", "HEAD", cwd=toy)
        git("hash-object", "-w", "README", cwd=toy)
        assert git("log", "--oneline", cwd=toy)
        commit(toy, "committed\n")
        assert await watching.hint()
        assert set(asked.names) == {"main"}


async def test_a_target_with_a_slash_is_followed_through_packing(toy: Path) -> None:
    git("update-ref", "refs/heads/team/next", "HEAD", cwd=toy)
    git("pack-refs", "--all", "--prune", cwd=toy)
    assert not (toy / ".git/refs/heads/team").exists()
    tip = git("commit-tree", "-m", "next", "-p", "HEAD", "HEAD^{tree}", cwd=toy)
    async with open_watching(target(toy, "team/next")) as watching:
        # Its directory is made for it, and is watched from then on.
        git("update-ref", "refs/heads/team/next", tip, cwd=toy)
        assert await watching.hint()
        git("update-ref", "refs/heads/team/next", "HEAD", cwd=toy)
        assert await watching.hint()
        git("pack-refs", "--all", "--prune", cwd=toy)
        assert await watching.hint()


async def test_an_edit_is_hinted_at_in_any_directory_old_and_new(toy: Path) -> None:
    async with open_watching(tree(toy)) as watching:
        (toy / "src/a.py").write_text("a = 2\n")
        assert await watching.hint()
        (toy / "src/b").mkdir()
        assert await watching.hint()
        (toy / "src/b/deep").mkdir()
        assert await watching.hint()
        (toy / "src/b/deep/c.py").write_text("c = 1\n")
        assert await watching.hint()
        (toy / "src/b/deep/c.py").unlink()
        assert await watching.hint()
        (toy / "src/b").rename(toy / "src/d")
        assert await watching.hint()
        (toy / "src/d/deep/e.py").write_text("e = 1\n")
        assert await watching.hint()
        (toy / "README").chmod(0o755)
        assert await watching.hint()


async def test_reading_what_is_ignored_and_gits_own_files_are_no_hint(toy: Path, asked: Asked) -> None:
    (toy / ".venv/lib").mkdir(parents=True)
    async with open_watching(tree(toy), excluded=[toy / "state"]) as watching:
        assert (toy / "src/a.py").read_text()
        assert os.listdir(toy / "src")
        (toy / ".venv/lib/x.py").write_text("")
        (toy / "src/b.ignored").write_text("")
        (toy / "src/__pycache__").mkdir()
        (toy / "src/__pycache__/a.pyc").write_text("")
        git("hash-object", "-w", "README", cwd=toy)
        git("--no-optional-locks", "status", cwd=toy)
        await asked.fence(toy)
        assert watching.hints == 1
        assert "x.py" not in asked.names, "an ignored directory is not watched at all"
        assert "a.pyc" not in asked.names


async def test_the_states_directories_are_no_part_of_the_tree(toy: Path, asked: Asked) -> None:
    (toy / "state/workspaces").mkdir(parents=True)
    async with open_watching(tree(toy), excluded=[toy / "state"]) as watching:
        (toy / "state/workspaces/x.py").write_text("")
        (toy / "state/y.py").write_text("")
        await asked.fence(toy)
        assert (watching.hints, {"x.py", "y.py"} & set(asked.names)) == (1, set())


async def test_what_is_no_longer_ignored_is_watched(toy: Path) -> None:
    (toy / ".venv").mkdir()
    async with open_watching(tree(toy)) as watching:
        (toy / ".gitignore").write_text("*.ignored\n")
        assert await watching.hint()
        (toy / ".venv/x.py").write_text("")
        assert await watching.hint()


async def test_the_end_of_a_merge_is_hinted_at(toy: Path, asked: Asked) -> None:
    git("checkout", "-qb", "other", cwd=toy)
    commit(toy, "theirs\n")
    git("checkout", "-q", "main", cwd=toy)
    commit(toy, "ours\n")
    async with open_watching(tree(toy)) as watching:
        with pytest.raises(Exception, match="merge"):
            git("merge", "-q", "other", cwd=toy)
        assert await watching.hint()
        asked.names.clear()
        git("merge", "--abort", cwd=toy)
        assert await watching.hint()
        await asked.fence(toy)
        assert "MERGE_HEAD" in asked.names


async def test_a_linked_work_tree_is_watched_with_the_git_directories_it_uses(toy: Path, asked: Asked) -> None:
    linked = toy.parent / "linked"
    git("worktree", "add", "-q", "-b", "side", str(linked), cwd=toy)
    async with open_watching(Watched("worktree", linked, "side")) as watching:
        commit(linked, "linked\n")
        assert await watching.hint()
        git("checkout", "-q", "--detach", cwd=linked)
        assert await watching.hint()
        await asked.fence(linked)
        assert {"side", "HEAD"} <= set(asked.names)


async def test_a_burst_of_writes_is_few_hints(toy: Path) -> None:
    own = OwnSettings(debounce_s=0.1, rescan_s=3600.0)
    async with open_watching(tree(toy), own=own) as watching:
        begun_at = trio.current_time()
        for number in range(500):
            (toy / f"src/{number % 50}.py").write_text(f"n = {number}\n")
            if number % 50 == 0:
                await trio.lowlevel.checkpoint()
        assert await watching.hint()
        took_s = trio.current_time() - begun_at
        assert watching.hints - 1 <= 1 + took_s / (5 * own.debounce_s)


async def test_a_thread_that_dies_is_replaced_and_said_so(
    toy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    died: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", died.append)
    descriptors = count_inotify()
    async with open_watching(tree(toy)) as watching:
        real = Observer.handle_event

        def break_once(self: Observer, event: object) -> None:
            monkeypatch.setattr(Observer, "handle_event", real)
            raise RuntimeError("a handler broke")

        monkeypatch.setattr(Observer, "handle_event", break_once)
        (toy / "src/a.py").write_text("a = 2\n")
        assert await watching.hint()
        (toy / "src/a.py").write_text("a = 3\n")
        assert await watching.hint()
        assert len(died) == 1
        assert [record.message for record in caplog.records] == [
            "the thread that watches for changes died; another takes its place"
        ]
        assert count_inotify() == descriptors + 1, "the dead one's descriptor is closed"
    assert count_inotify() == descriptors


async def test_an_overflow_of_the_kernels_queue_is_a_hint(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places: list[Place] = []
    watch = Observer.watch

    def spy(self: Observer, place: Place) -> None:
        places.append(place)
        watch(self, place)

    monkeypatch.setattr(Observer, "watch", spy)
    async with open_watching(tree(toy)) as watching:
        await trio.to_thread.run_sync(places[0].on_queue_overflow)
        assert await watching.hint()


async def test_a_tree_that_is_replaced_is_watched_anew(toy: Path) -> None:
    other = make_repository(toy.parent / "other", {"src/a.py": "other\n"})
    async with open_watching(tree(toy)) as watching:
        toy.rename(toy.parent / "former")
        assert await watching.hint()
        other.rename(toy)
        assert await watching.hint()
        (toy / "src/a.py").write_text("mine\n")
        assert await watching.hint()
        commit(toy, "mine\n")
        assert await watching.hint()


async def test_what_is_wanted_changes_while_it_runs(toy: Path, asked: Asked) -> None:
    second = make_repository(toy.parent / "second", {"README": "", ".gitignore": "*.ignored\n"})
    async with open_watching(tree(toy)) as watching:
        watching.wanted.append(tree(second))
        watching.wake.set()
        assert await watching.hint()
        (second / "README").write_text("two\n")
        assert await watching.hint()
        watching.wanted.pop(0)
        watching.wake.set()
        assert await watching.hint()
        asked.names.clear()
        (toy / "README").write_text("unseen\n")
        await asked.fence(second)
        assert set(asked.names) == {FENCE}


async def test_it_looks_now_and_then_although_nothing_was_told(toy: Path) -> None:
    async with open_watching(target(toy), own=OwnSettings(rescan_s=0.05)) as watching:
        assert await watching.hint()
        assert await watching.hint()


async def test_a_file_is_seen_however_it_is_written_and_wherever_it_is(tmp_path: Path) -> None:
    config = tmp_path / "config/ringmaster/config.toml"
    async with open_watching(Watched("file", config)) as watching:
        (tmp_path / "config").mkdir()
        assert await watching.hint()
        config.parent.mkdir()
        assert await watching.hint()
        config.write_text("one")
        assert await watching.hint()
        (tmp_path / "new").write_text("two")
        (tmp_path / "new").rename(config)
        assert await watching.hint()
        config.unlink()
        assert await watching.hint()
        (tmp_path / "dotfiles").mkdir()
        (tmp_path / "dotfiles/config.toml").write_text("three")
        config.symlink_to(tmp_path / "dotfiles/config.toml")
        assert await watching.hint()
        (tmp_path / "dotfiles/config.toml").write_text("four")
        assert await watching.hint()


async def test_the_kernels_limits_are_said_once_and_it_looks_more_often(
    toy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Observer.watch

    def full(self: Observer, place: Place) -> None:
        if place.path == toy / "src":
            raise OSError(errno.ENOSPC, "inotify watch limit reached")
        watch(self, place)

    monkeypatch.setattr(Observer, "watch", full)
    monkeypatch.setattr(watcher, "LIMITED_RESCAN_S", 0.05)
    async with open_watching(tree(toy)) as watching:
        assert await watching.hint()
        assert await watching.hint()
        [record] = caplog.records
        assert record.message.startswith("1 of ")
        assert "sysctl fs.inotify.max_user_watches=" in record.message
        monkeypatch.setattr(Observer, "watch", watch)
        caplog.clear()
        assert await watching.hint()
        assert [record.message for record in caplog.records] == ["all that is to be watched is watched again"]


async def test_without_an_inotify_instance_it_goes_on_looking(
    toy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(cls: type[Observer]) -> int:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    real = vars(Observer)["_create_inotify_fd"]
    monkeypatch.setattr(Observer, "_create_inotify_fd", classmethod(none_left))
    monkeypatch.setattr(watcher, "LIMITED_RESCAN_S", 0.05)
    async with open_watching(tree(toy)) as watching:
        assert await watching.hint()
        assert "max_user_instances" in caplog.text
        monkeypatch.setattr(Observer, "_create_inotify_fd", real)
        assert await watching.hint()
        (toy / "README").write_text("seen\n")
        assert await watching.hint()


async def test_its_one_thread_takes_no_signal_and_its_descriptor_is_not_inherited(toy: Path) -> None:
    threads = set(threading.enumerate())
    descriptors = count_inotify()
    async with open_watching(tree(toy), target(toy)):
        [thread] = [each for each in threading.enumerate() if each.name == "ringmaster-watch"]
        status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
        blocked = int(status.partition("SigBlk:")[2].split()[0], 16)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGCHLD, signal.SIGUSR1):
            assert blocked & 1 << (number - 1)
        assert count_inotify() == descriptors + 1
        assert not any(os.get_inheritable(number) for number in inotify_descriptors())
    assert count_inotify() == descriptors
    assert not {each for each in set(threading.enumerate()) - threads if each.name == "ringmaster-watch"}
