"""Moving the user's target to a gated commit, or parking it beside, by compare-and-swap alone.

One `git push --force-with-lease` per move: its receiving end swaps a named ref, fast-forwards a clean
checkout and refuses a dirty one. `update-ref` under a checkout would let the user's next commit undo
the work, and `merge` runs hooks and goes by what HEAD happens to be.
"""

from __future__ import annotations

import os
import shlex
from enum import StrEnum
from pathlib import Path

import msgspec

from ringmaster.workspace.git import TRANSFER_TIMEOUT_S, GitError, run_git, useful_line
from ringmaster.workspace.obstacles import UpdateCheckout, find_obstacle, list_work_trees
from ringmaster.workspace.refs import is_ancestor, parked_branch, parked_ref, read_ref, seen_parked_ref, target_ref
from ringmaster.workspace.repository import TipState, tip_for
from ringmaster.workspace.user_repository import UserRepository

_RECEIVE_CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "receive.denyCurrentBranch": "updateInstead",
    "receive.autogc": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
_OWN_VARIABLES = (
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_GLOBAL",
    "GIT_ATTR_NOSYSTEM",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_TERMINAL_PROMPT",
)


class Move(StrEnum):
    """How a branch that is not where it was expected has moved."""

    SAME = "same"
    FORWARD = "forward"
    BACKWARD = "backward"
    REWRITTEN = "rewritten"
    UNRELATED = "unrelated"
    DELETED = "deleted"


class Landed(msgspec.Struct, frozen=True):
    """`ref` of the user's repository is at, or beyond, the commit."""

    ref: str
    commit: str


class Parked(msgspec.Struct, frozen=True):
    """The commit is on the parked branch: why, and the one command with which the user takes it."""

    ref: str
    commit: str
    reason: str
    command: str


class TargetMoved(msgspec.Struct, frozen=True):
    """A ref was not at the expected commit and nothing was done. actual: where it is, None if deleted."""

    ref: str
    actual: str | None


class Blocked(msgspec.Struct, frozen=True):
    """Neither the target nor the parked branch could be moved, for a reason only a person can mend."""

    reason: str
    hint: str


class Diverged(msgspec.Struct, frozen=True):
    """Target and parked branch each have commits the other lacks; the stack is to be merged and gated again."""

    target: str
    parked: str


async def land(
    bare: Path, user: UserRepository, target: str, old: str, new: str, update_checkout: UpdateCheckout
) -> Landed | Parked | TargetMoved | Blocked:
    """Move the target from `old` to `new`; park `new` where the checkout is in the way.

    old: where the target was when `new` was made; `new` contains it and lies in `bare`. Repeating the
    call after a kill at any moment is safe: what was done is found done. Raises `GitError` when `new`
    does not contain `old` or git fails in a way that is no answer. Once git has started, cancellation
    may leave the ref moved; ask `where_landed`.
    """
    if not await is_ancestor(bare, old, new):
        raise GitError(f"{new[:12]} does not contain {old[:12]}: landing it would lose commits")
    actual = await read_ref(user.common_dir, target_ref(target), is_user=True)
    if actual == new:
        return Landed(target_ref(target), new)
    if actual != old:
        return TargetMoved(target_ref(target), actual)
    obstacle = await find_obstacle(bare, user, target, old, new, update_checkout)
    if obstacle is None:
        refusal = await _push(bare, user, target_ref(target), old, new)
        if refusal is None:
            return Landed(target_ref(target), new)
        actual = await read_ref(user.common_dir, target_ref(target), is_user=True)
        if actual == new:
            return Landed(target_ref(target), new)
        if actual != old:
            return TargetMoved(target_ref(target), actual)
        obstacle = refusal
    return await park(bare, user, target, new, obstacle, update_checkout)


async def park(
    bare: Path, user: UserRepository, target: str, new: str, reason: str, update_checkout: UpdateCheckout
) -> Parked | TargetMoved | Blocked:
    """Put `new` onto the parked branch, which it must contain unless the target already does.

    Returns `TargetMoved` when the parked branch has something `new` lacks, `Blocked` when it cannot
    be moved (checked out and in use, or a branch whose name is in the way). May be repeated.
    """
    ref = parked_ref(target)
    current = await read_ref(user.common_dir, ref, is_user=True)
    command = take_command(user, target)
    if current == new:
        return Parked(ref, new, reason, command)
    if current is not None and not await is_ancestor(bare, current, new):
        return TargetMoved(ref, current)
    if current is not None:
        obstacle = await find_obstacle(bare, user, parked_branch(target), current, new, update_checkout)
        if obstacle is not None:
            return Blocked(f"{reason}; and {obstacle}", f"check out another branch than '{parked_branch(target)}'")
    refusal = await _push(bare, user, ref, current, new)
    if refusal is not None:
        actual = await read_ref(user.common_dir, ref, is_user=True)
        if actual not in (current, new):
            return TargetMoved(ref, actual)
        if actual != new:
            return Blocked(f"{reason}; and {ref} could not be written: {refusal}", "rename the branch in its way")
    await run_git("update-ref", seen_parked_ref(target), new, git_dir=bare)
    return Parked(ref, new, reason, command)


async def try_unpark(
    bare: Path, user: UserRepository, target: str, update_checkout: UpdateCheckout
) -> Landed | Parked | Diverged | None:
    """Move the target to the parked branch where that is a fast-forward and nothing is in the way.

    None: nothing is parked that the target lacks; a parked branch of which the target has all is
    removed. Raises `RingmasterError` (not_found) when the target is deleted.
    """
    tip = await tip_for(bare, user, target)
    if tip.parked is None:
        return None
    if tip.state is TipState.DIVERGED:
        return Diverged(tip.target, tip.parked)
    if tip.state is TipState.TARGET:
        await drop_parked(bare, user, target, tip.parked)
        return None
    done = await land(bare, user, target, tip.target, tip.parked, update_checkout)
    if isinstance(done, Landed):
        await drop_parked(bare, user, target, tip.parked)
        return done
    if isinstance(done, Parked):
        return done
    reason = done.reason if isinstance(done, Blocked) else f"'{target}' is being moved"
    return Parked(parked_ref(target), tip.parked, reason, take_command(user, target))


async def where_landed(bare: Path, user: UserRepository, target: str, new: str) -> Landed | Parked | None:
    """Where `new` has got to, by ancestry: on the target, on the parked branch, or nowhere (None).

    For recovery after a kill between the intent and the report. Works when the user has committed on
    top meanwhile, and when the target is deleted.
    """
    for ref in (target_ref(target), parked_ref(target)):
        tip = await read_ref(user.common_dir, ref, is_user=True)
        if tip is None or not await _contains(bare, user, tip, new):
            continue
        if ref == target_ref(target):
            return Landed(ref, new)
        return Parked(ref, new, "found parked", take_command(user, target))
    return None


async def describe_move(bare: Path, user: UserRepository, old: str, actual: str | None) -> Move:
    """What became of a branch expected at `old`: `unrelated` shares no history at all with it."""
    if actual is None:
        return Move.DELETED
    if actual == old:
        return Move.SAME
    if await _contains(bare, user, actual, old):
        return Move.FORWARD
    if await _contains(bare, user, old, actual):
        return Move.BACKWARD
    common = await run_git(
        "merge-base", old, actual, git_dir=user.common_dir, is_user=True, env=_borrowing(bare), ok=(0, 1)
    )
    return Move.REWRITTEN if common.status == 0 else Move.UNRELATED


def take_command(user: UserRepository, target: str) -> str:
    """The one command that brings what is parked into the user's target."""
    for tree in list_work_trees(user):
        if tree.path is not None and tree.head_ref == target_ref(target):
            return f"git -C {shlex.quote(str(tree.path))} merge --ff-only {parked_branch(target)}"
    return f"git -C {shlex.quote(str(user.path))} fetch . {parked_branch(target)}:{target}"


async def _contains(bare: Path, user: UserRepository, tip: str, commit: str) -> bool:
    # Neither repository need have both: the user's commits are not fetched, the new ones not pushed.
    result = await run_git(
        "merge-base",
        "--is-ancestor",
        commit,
        tip,
        git_dir=user.common_dir,
        is_user=True,
        env=_borrowing(bare),
        ok=(0, 1, 128),
    )
    return result.status == 0


def _borrowing(bare: Path) -> dict[str, str]:
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(bare.absolute() / "objects")}


async def drop_parked(bare: Path, user: UserRepository, target: str, parked: str) -> None:
    """Remove the parked branch, of which the target has everything, unless it is checked out or has moved.

    Its commits stay in `bare` under the keep refs of their attempts.
    """
    ref = parked_ref(target)
    if any(tree.head_ref == ref for tree in list_work_trees(user)):
        return
    # Left in place when something changed it meanwhile: the next look decides anew.
    if await _push(bare, user, ref, parked, "") is None:
        await run_git("update-ref", "-d", seen_parked_ref(target), git_dir=bare)


async def _push(bare: Path, user: UserRepository, ref: str, old: str | None, new: str) -> str | None:
    """Swap `ref` from `old` to `new` in the user's repository; git's refusal in words, None when done."""
    result = await run_git(
        "push",
        "--quiet",
        "--porcelain",
        "--no-verify",
        "--no-signed",
        "--recurse-submodules=no",
        f"--force-with-lease={ref}:{old or ''}",
        f"--receive-pack={_receive_pack()}",
        str(user.common_dir),
        f"{new}:{ref}",
        git_dir=bare,
        ok=(0, 1, 128),
        timeout_s=TRANSFER_TIMEOUT_S,
        # A pipe would break when the daemon is killed, and take git down in the middle of its effect.
        is_output_to_file=True,
    )
    if result.status == 0:
        return None
    for line in result.text.splitlines():
        if line.startswith("!"):
            summary = line.split("\t")[-1]
            return summary.partition("(")[2].removesuffix(")") or summary
    raise GitError(f"git push: {useful_line(result.stderr)}", status=result.status)


def _receive_pack() -> str:
    """The receiving end, run for the user: their configuration, none of the daemon's variables."""
    parts = ["env", *(part for name in _OWN_VARIABLES for part in ("-u", name))]
    for name in ("HOME", "XDG_CONFIG_HOME"):
        value = os.environ.get(name)
        parts += ["-u", name] if value is None else [f"{name}={value}"]
    # `env` takes options before assignments only.
    options = [part for part in parts[1:] if "=" not in part]
    assignments = [part for part in parts[1:] if "=" in part]
    settings = [part for name, value in _RECEIVE_CONFIG.items() for part in ("-c", f"{name}={value}")]
    return shlex.join(["env", *options, *assignments, "git", *settings, "receive-pack"])
