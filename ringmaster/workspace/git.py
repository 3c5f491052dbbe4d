"""Running git: one sanitized environment, a deadline on every command, errors in one line.

Two environments exist. The *daemon's* ignores every configuration but the repository's own, which the
daemon wrote; the *user's* keeps the user's configuration (line endings, filters) for looking at the
user's checkout. Neither inherits `GIT_*`, runs hooks, prompts, pages or starts background upkeep.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError

DEFAULT_TIMEOUT_S = 120.0
TRANSFER_TIMEOUT_S = 3600.0
NO_HOME = "/nonexistent"

_CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.quotePath": "false",
    "core.precomposeUnicode": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "receive.autogc": "false",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "submodule.recurse": "false",
    "fetch.recurseSubmodules": "false",
    "protocol.file.allow": "always",
    "advice.detachedHead": "false",
    "credential.helper": "",
}


class GitError(RingmasterError):
    """A git command failed; `message` carries the line of its stderr that says why."""

    def __init__(
        self, message: str, hint: str = "", *, status: int | None = None, kind: ErrorKind = ErrorKind.INTERNAL
    ) -> None:
        super().__init__(kind, message, hint)
        self.status = status


class GitResult(msgspec.Struct, frozen=True):
    """How a git command ended. `stdout` and `stderr` are raw: paths need not be UTF-8."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output, decoded as file names are, without the last line feed."""
        return os.fsdecode(self.stdout).rstrip("\n")

    @property
    def records(self) -> list[str]:
        """NUL-terminated records of standard output, decoded as file names are."""
        return [os.fsdecode(record) for record in self.stdout.split(b"\0") if record]


def daemon_environment() -> dict[str, str]:
    """The environment for the daemon's own repositories: no configuration but theirs."""
    environment = _without_git(os.environ)
    environment.pop("XDG_CONFIG_HOME", None)
    environment |= {
        "HOME": NO_HOME,
        "XDG_CONFIG_HOME": NO_HOME,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Ringmaster",
        "GIT_AUTHOR_EMAIL": "ringmaster@localhost",
        "GIT_COMMITTER_NAME": "Ringmaster",
        "GIT_COMMITTER_EMAIL": "ringmaster@localhost",
    }
    return environment


def user_environment() -> dict[str, str]:
    """The environment for looking at the user's checkout: the user's configuration, no locks taken.

    `GIT_OPTIONAL_LOCKS=0` keeps `status` from rewriting the user's index.
    """
    return _without_git(os.environ) | {"GIT_OPTIONAL_LOCKS": "0"}


def _without_git(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environment.items() if not name.startswith("GIT_")}
    return kept | {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "LANGUAGE": "C"}


async def run_git(
    *args: str,
    git_dir: Path | None = None,
    work_tree: Path | None = None,
    index: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    is_user: bool = False,
    config: Mapping[str, str] | None = None,
    input: bytes | None = None,
    ok: Sequence[int] = (0,),
    timeout_s: float = DEFAULT_TIMEOUT_S,
    is_output_to_file: bool = False,
) -> GitResult:
    """Run one git command to its end and return what it wrote.

    git_dir, work_tree, index: become `GIT_DIR`, `GIT_WORK_TREE`, `GIT_INDEX_FILE`; `cwd` defaults to
    `work_tree`, else `git_dir`. is_user: use the user's configuration. ok: exit statuses that are
    answers and not failures. is_output_to_file: collect output in a file, so that the command
    outlives a killed daemon instead of dying of a broken pipe half-way through its effect.
    Raises `GitError`: any other status, the deadline (kind `timed_out`), git missing. Cancellation
    terminates git, which then removes its lock files.
    """
    environment = _environment(git_dir, work_tree, index, env, is_user)
    command = _command(args, config)
    where = cwd or work_tree or git_dir
    result: GitResult | None = None
    with trio.move_on_after(timeout_s):
        try:
            if is_output_to_file:
                result = await _run_to_file(command, environment, where)
            else:
                done = await trio.run_process(
                    command,
                    stdin=input if input is not None else subprocess.DEVNULL,
                    capture_stdout=True,
                    capture_stderr=True,
                    check=False,
                    env=environment,
                    cwd=where,
                    start_new_session=True,
                )
                result = GitResult(done.returncode, done.stdout, done.stderr)
        except FileNotFoundError as error:
            raise _not_started(error, where) from error
    if result is None:
        raise GitError(f"git {args[0]} took longer than {timeout_s:g} s", "try again later", kind=ErrorKind.TIMED_OUT)
    if result.status not in ok:
        raise GitError(f"git {args[0]}: {_why(result)}", status=result.status)
    return result


async def run_git_capped(*args: str, git_dir: Path, max_bytes: int, timeout_s: float = DEFAULT_TIMEOUT_S) -> bytes:
    """Run a reading git command and return at most `max_bytes` of its output; the rest is not computed.

    Raises `GitError` on the deadline or on a failure before the cap. Cancellation kills git.
    """
    chunks: list[bytes] = []
    size = 0
    async with trio.open_nursery() as nursery:
        with trio.move_on_after(timeout_s) as scope:
            process: trio.Process = await nursery.start(
                partial(
                    trio.run_process,
                    _command(args, None),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    check=False,
                    env=_environment(git_dir, None, None, None, False),
                    cwd=git_dir,
                    start_new_session=True,
                )
            )
            assert process.stdout is not None
            while size < max_bytes and (chunk := await process.stdout.receive_some(65536)):
                chunks.append(bytes(chunk))
                size += len(chunk)
            if size >= max_bytes:
                process.kill()
            await process.wait()
        if scope.cancelled_caught:
            nursery.cancel_scope.cancel()
    if scope.cancelled_caught:
        raise GitError(f"git {args[0]} took longer than {timeout_s:g} s", kind=ErrorKind.TIMED_OUT)
    if size < max_bytes and process.returncode != 0:
        raise GitError(f"git {args[0]} failed with status {process.returncode}", status=process.returncode)
    return b"".join(chunks)[:max_bytes]


async def _run_to_file(command: list[str], environment: dict[str, str], cwd: Path | None) -> GitResult:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        done = await trio.run_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            check=False,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
        out.seek(0)
        err.seek(0)
        return GitResult(done.returncode, out.read(), err.read())


def _environment(
    git_dir: Path | None, work_tree: Path | None, index: Path | None, env: Mapping[str, str] | None, is_user: bool
) -> dict[str, str]:
    environment = user_environment() if is_user else daemon_environment()
    for name, path in (("GIT_DIR", git_dir), ("GIT_WORK_TREE", work_tree), ("GIT_INDEX_FILE", index)):
        if path is not None:
            environment[name] = str(path)
    environment.update(env or {})
    return environment


def _command(args: Sequence[str], config: Mapping[str, str] | None) -> list[str]:
    settings = [f"{name}={value}" for name, value in (_CONFIG | dict(config or {})).items()]
    return ["git", "--no-pager", *(part for setting in settings for part in ("-c", setting)), *args]


def _not_started(error: FileNotFoundError, cwd: Path | None) -> GitError:
    if cwd is not None and not cwd.exists():
        return GitError(f"{cwd} is gone", kind=ErrorKind.NOT_FOUND)
    return GitError("git is not installed", "install git 2.38 or newer", kind=ErrorKind.REFUSED)


def _why(result: GitResult) -> str:
    # What was killed has had no say, and the next try may well go through.
    return useful_line(result.stderr) if result.status >= 0 else f"was killed by signal {-result.status}"


def useful_line(stderr: bytes) -> str:
    """The one line of git's stderr that says why: the first `fatal:` or `error:`, else the last."""
    lines = [line.strip() for line in stderr.decode("utf-8", "backslashreplace").splitlines() if line.strip()]
    for prefix in ("fatal: ", "error: ", "remote: error: "):
        for line in lines:
            if line.startswith(prefix):
                return line.removeprefix(prefix)[:300]
    return lines[-1][:300] if lines else "failed without a word"


def shown(path: str) -> str:
    """A file name fit for JSON and the terminal: bytes that are not UTF-8 become `\\xNN`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
