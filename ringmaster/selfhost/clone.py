"""The clone that the self-host project works on, and reading a commit's sources. Blocking git commands.

The clone lies in the state directory, so that nothing an agent lands moves a branch of this checkout.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.selfhost.findings import PACKAGE

BRANCH = "selfhost"
GIT_LIMIT_S = 300.0
_IDENTITY = ("-c", "user.name=ringmaster selfhost", "-c", "user.email=selfhost@ringmaster.invalid")
# What a user's own configuration would add (hooks, signatures) has no place in a clone of ours.
_CONFIG = (*_IDENTITY, "-c", "commit.gpgSign=false", "-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0")


def git(directory: Path, *args: str, is_tried: bool = False) -> str:
    """The output of a git command in `directory`, less its last newline. is_tried: a failure gives '' instead.

    Raises:
        RingmasterError: INTERNAL with git's last line when it fails.
    """
    return git_bytes(directory, *args, is_tried=is_tried).decode(errors="replace").rstrip("\n")


def git_bytes(directory: Path, *args: str, is_tried: bool = False) -> bytes:
    """The same, as bytes."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environ |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C.UTF-8"}
    kept = {name: os.environ[name] for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM") if name in os.environ}
    done = subprocess.run(
        ["git", "-C", str(directory), *_CONFIG, *args],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**environ, **kept},
        timeout=GIT_LIMIT_S,
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    if is_tried:
        return b""
    words = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    useful = next((line for line in words if line.startswith(("fatal:", "error:"))), words[-1])
    raise RingmasterError(ErrorKind.INTERNAL, f"git {args[0]} in {directory} failed: {useful}")


def head_of(checkout: Path) -> str:
    """The commit a checkout is on.

    Raises:
        RingmasterError: REFUSED when it is no git checkout or has no commit.
    """
    commit = git(checkout, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", is_tried=True)
    if not commit:
        # Git tells a directory of somebody else from none at all; its words name the mending command.
        git(checkout, "rev-parse", "--git-dir")
        raise RingmasterError(ErrorKind.REFUSED, f"{checkout} has no commit", "git clone it, or commit first")
    return commit


def refresh(clone: Path, checkout: Path) -> str:
    """Make the clone of `checkout`, or bring what is new in its HEAD to the clone's branch. In words what was done.

    The branch is moved forward, else HEAD is merged into it; where the two conflict it begins anew at HEAD and the
    old tip is kept under a name of its own. A clone that somebody works in is left alone. Safe to repeat after
    a kill at any moment; only one caller at a time.

    Raises:
        RingmasterError: INTERNAL when git fails.
    """
    head = head_of(checkout)
    if not (clone / ".git").is_dir():
        _make(clone, checkout)
        return f"clone made at {head[:12]}"
    git(clone, "fetch", "--quiet", "--no-tags", "--update-shallow", str(checkout), "+HEAD:refs/remotes/checkout/HEAD")
    if contains(clone, BRANCH, head):
        return f"clone has {head[:12]} already"
    if git(clone, "symbolic-ref", "--short", "--quiet", "HEAD", is_tried=True) != BRANCH:
        return f"clone left as it is: it is not on branch {BRANCH}"
    if git(clone, "status", "--porcelain", "--untracked-files=no"):
        return "clone left as it is: it has uncommitted changes"
    if contains(clone, head, BRANCH):
        git(clone, "merge", "--quiet", "--ff-only", head)
        return f"clone brought forward to {head[:12]}"
    return _merge(clone, head)


def _make(clone: Path, checkout: Path) -> None:
    half = clone.with_name(f"{clone.name}.cloning")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True, mode=0o700)
    git(half, "init", "--quiet", "--template=", "-b", BRANCH)
    git(half, "fetch", "--quiet", "--no-tags", "--update-shallow", str(checkout), "+HEAD:refs/remotes/checkout/HEAD")
    git(half, "reset", "--quiet", "--hard", "refs/remotes/checkout/HEAD")
    half.rename(clone)


def _merge(clone: Path, head: str) -> str:
    message = f"Merge {head[:12]} of the checkout into {BRANCH}"
    try:
        git(clone, "merge", "--quiet", "--no-ff", "--no-edit", "-m", message, head)
    except RingmasterError:
        git(clone, "merge", "--abort", is_tried=True)
        old = git(clone, "rev-parse", BRANCH)
        kept = f"{BRANCH}-{old[:12]}"
        git(clone, "branch", "--force", kept, old)
        git(clone, "reset", "--quiet", "--hard", head)
        return f"clone begins anew at {head[:12]}, with which it conflicted; what it had is on branch {kept}"
    return f"clone merged with {head[:12]}"


def contains(repository: Path, commit: str, wanted: str) -> bool:
    """Whether a commit is another one or has it among its ancestors; names of branches are fine too."""
    return not git(repository, "rev-list", "-n1", wanted, f"^{commit}")


def read_commit(repository: Path, commit: str) -> dict[str, str]:
    """The package's Python sources as they are in a commit, by path.

    Raises:
        RingmasterError: NOT_FOUND when the commit is not there or has no such package.
    """
    packed = git_bytes(repository, "archive", "--format=tar", commit, "--", PACKAGE, is_tried=True)
    if not packed:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"{commit} of {repository} has no {PACKAGE}/ to measure")
    sources = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() and member.name.endswith(".py") else None
            if file is not None:
                sources[member.name] = file.read().decode("utf-8", "replace")
    return sources


def commit_of(repository: Path, branch: str) -> str:
    """The commit a branch is at.

    Raises:
        RingmasterError: NOT_FOUND when there is no such branch.
    """
    commit = git(repository, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}", is_tried=True)
    if not commit:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"{repository} has no branch {branch}", f"git branch {branch}")
    return commit
