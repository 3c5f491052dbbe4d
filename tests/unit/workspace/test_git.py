"""git is run in an environment of its own, under a deadline, and fails in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.model.errors import ErrorKind
from ringmaster.workspace.git import (
    GitError,
    daemon_environment,
    run_git,
    run_git_capped,
    shown,
    useful_line,
    user_environment,
)
from ringmaster.workspace.refs import keep_prefix


def test_nothing_of_git_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_CONFIG_COUNT", "GIT_OBJECT_DIRECTORY", "GIT_EXEC_PATH"):
        monkeypatch.setenv(name, "evil")
    assert "evil" not in {**daemon_environment(), **user_environment()}.values()
    assert daemon_environment()["GIT_CONFIG_GLOBAL"] == "/dev/null"
    assert user_environment()["GIT_OPTIONAL_LOCKS"] == "0"


async def test_a_failure_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="git log: not a git repository") as caught:
        await run_git("log", cwd=tmp_path)
    assert "\n" not in caught.value.message
    with pytest.raises(GitError, match="is gone"):
        await run_git("log", cwd=tmp_path / "absent")


async def test_git_that_was_killed_is_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(GitError, match=r"was killed by signal 9$"):
        await run_git("-c", "alias.die=!kill -9 $PPID", "die", cwd=tmp_path)


async def test_a_deadline_ends_git(tmp_path: Path) -> None:
    await run_git("init", "-q", "--bare", str(tmp_path / "r"), cwd=tmp_path)
    with pytest.raises(GitError) as caught:
        await run_git("-c", "alias.hang=!exec sleep 60", "hang", git_dir=tmp_path / "r", timeout_s=0.2)
    assert caught.value.kind is ErrorKind.TIMED_OUT
    assert caught.value.is_retryable


async def test_capped_output_stops_early(tmp_path: Path) -> None:
    await run_git("init", "-q", "--bare", str(tmp_path / "r"), cwd=tmp_path)
    await run_git("config", "alias.flood", "!yes", git_dir=tmp_path / "r")
    assert await run_git_capped("flood", git_dir=tmp_path / "r", max_bytes=1001) == b"y\n" * 500 + b"y"
    with pytest.raises(GitError):
        await run_git_capped("show", "nothing", git_dir=tmp_path / "r", max_bytes=10)


def test_the_useful_line_is_found() -> None:
    assert useful_line(b"hint: x\nfatal: no\nhint: y\n") == "no"
    assert useful_line(b"warning: a\nlast\n") == "last"
    assert useful_line(b"") == "failed without a word"
    assert shown("caf\udce9") == "caf\\xe9"


@pytest.mark.parametrize("attempt_id", ["../x", "a b", "a//b", "a/..", "x.lock", "", "-x", "a/b."])
def test_an_id_unfit_for_a_ref_is_refused(attempt_id: str) -> None:
    with pytest.raises(ValueError, match="not fit"):
        keep_prefix(attempt_id)
    assert keep_prefix("rm-12/3") == "refs/ringmaster/keep/rm-12/3"
