"""What cannot be looked at or watched is no reason for the daemon to end: hints are all that is lost."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import trio

from ringmaster.reload import watcher
from ringmaster.reload.observer import Observer
from ringmaster.reload.survey import survey
from ringmaster.reload.watched import Rule, Watched
from tests.fakes.house import git, make_repository
from tests.fakes.watching import open_watching

LONG = "x" * 300
"""No look at such a name succeeds, and it does not say either that there is nothing: as with a mount that is gone."""


@pytest.mark.parametrize("kind", ["file", "target", "worktree"])
async def test_what_cannot_be_looked_at_is_waited_for_at_the_nearest_directory(kind: str, tmp_path: Path) -> None:
    wanted = Watched(kind, tmp_path / LONG / "below", "main")  # type: ignore[arg-type]
    assert await survey([wanted], ()) == {tmp_path: (Rule(names=frozenset({LONG})),)}


async def test_a_kernel_that_gives_nothing_to_watch_with_leaves_it_looking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none_left(cls: type[Observer]) -> int:
        raise OSError(errno.ENFILE, "Too many open files in system")

    toy = make_repository(tmp_path / "toy", {"README": "toy\n"})
    monkeypatch.setattr(Observer, "_create_inotify_fd", classmethod(none_left))
    monkeypatch.setattr(watcher, "LIMITED_RESCAN_S", 0.05)
    with trio.fail_after(20):
        async with open_watching(Watched("target", toy / ".git", "main")) as watching:
            assert await watching.hint()
            assert "Too many open files in system" in caplog.text
            git("commit", "-q", "--allow-empty", "-m", "next", cwd=toy)
            assert await watching.hint()
