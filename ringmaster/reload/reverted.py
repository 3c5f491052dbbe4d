"""The commit that takes others back, made in a checkout of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ringmaster.model.decision import Decision
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.generation import Generation
from ringmaster.reload.evidence import is_merge
from ringmaster.workspace.collect import Author
from ringmaster.workspace.git import GitError, run_git, shown, useful_line
from ringmaster.workspace.merge import prepare_gate_checkout, with_trailers
from ringmaster.workspace.refs import keep_commit

TRAILER = "Ringmaster-Decision"


class Reverted(msgspec.Struct, frozen=True):
    """A commit that takes others back. is_whole: its tree is the one before them, so nothing was merged."""

    commit: str
    tree: str
    is_whole: bool


async def find_reverted(bare: Path, commit: str, tip: str) -> str:
    """The commit below the tip, such as a parked one, that took it back before; '' for none. Raises GitError."""
    words = f"--grep=^This reverts commit {commit}"
    listing = await run_git("log", "--first-parent", "--format=%H", words, f"{commit}..{tip}", git_dir=bare)
    return listing.text.partition("\n")[0]


async def make_revert(
    bare: Path, checkout: Path, tip: str, commits: Sequence[str], generation: Generation, decision: Decision
) -> Reverted:
    """One commit on top of the tip without what `commits` did, the newest first. A repeat makes the same one.

    Where they are the tip, the tree is their base's; otherwise git takes them back one by one in the checkout.
    Raises REFUSED naming the files in conflict, or when they are taken back already; GitError.
    """
    is_whole = tip == commits[0]
    if is_whole:
        tree = (await run_git("rev-parse", f"{commits[-1]}^1^{{tree}}", git_dir=bare)).text
    else:
        tree = await _tree_without(bare, checkout, tip, commits)
    if tree == (await run_git("rev-parse", f"{tip}^{{tree}}", git_dir=bare)).text:
        raise RingmasterError(ErrorKind.REFUSED, f"{tip[:12]} has nothing of {commits[0][:12]} any more", "")
    subject = (await run_git("show", "-s", "--format=%s", commits[0], git_dir=bare)).text
    said = generation.reason or "it failed"
    reverts = "\n".join(f"This reverts commit {commit}." for commit in commits)
    message = f'Revert "{subject}"\n\n{reverts}\n\nGeneration {generation.id} of the daemon, made of it, is bad: {said}'
    made = await run_git(
        "commit-tree",
        tree,
        "-p",
        tip,
        git_dir=bare,
        input=with_trailers(message, {TRAILER: decision.id}).encode(errors="backslashreplace"),
        env=Author().environment(decision.answered_at or decision.created_at),
    )
    await keep_commit(bare, f"revert-{generation.id}", made.text, "revert")
    return Reverted(made.text, tree, is_whole)


async def _tree_without(bare: Path, checkout: Path, tip: str, commits: Sequence[str]) -> str:
    checkout.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    await prepare_gate_checkout(bare, checkout, tip)
    # Objects go straight to the daemon's repository: the checkout's own are thrown away with its .git.
    objects = {"GIT_OBJECT_DIRECTORY": str(bare.absolute() / "objects")}
    git_dir = checkout / ".git"
    for commit in commits:
        mainline = ["-m", "1"] if await is_merge(bare, commit) else []
        result = await run_git(
            "revert", "--no-commit", "--no-rerere-autoupdate", "--strategy=ort", *mainline, commit,
            git_dir=git_dir, work_tree=checkout, env=objects, config={"rerere.enabled": "false"}, ok=(0, 1, 128),
        )  # fmt: skip
        if result.status != 0:
            listing = await run_git(
                "diff", "--name-only", "--diff-filter=U", "-z", git_dir=git_dir, work_tree=checkout, env=objects
            )
            files = ", ".join(dict.fromkeys(shown(path) for path in listing.records[:5]))
            await prepare_gate_checkout(bare, checkout, tip)
            if not files:
                raise GitError(f"git revert: {useful_line(result.stderr)}", status=result.status)
            words = f"what came after {commit[:12]} conflicts with its revert in {files}"
            raise RingmasterError(ErrorKind.REFUSED, words, "")
    return (await run_git("write-tree", git_dir=git_dir, work_tree=checkout, env=objects)).text
