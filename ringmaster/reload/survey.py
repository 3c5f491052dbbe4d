"""Which directories have to be watched for what is wanted, as they are now. Nothing is written, no lock is taken."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import trio

from ringmaster.reload.watched import ENDINGS, Rule, Watched
from ringmaster.workspace.git import GitError, run_git

Plan = dict[Path, tuple[Rule, ...]]
"""Directories that exist, each with what counts in it."""


async def survey(wanted: Sequence[Watched], excluded: Collection[Path]) -> Plan:
    """The directories to watch. excluded: never part of a work tree, such as the state's.

    What is not there is waited for at the nearest directory above it. A work tree in which git does not work gets
    only its top watched. Blocks in threads; cancellation ends git and waits for the thread.
    """
    plan: Plan = {}
    for watched in wanted:
        if watched.kind == "worktree":
            await _plan_work_tree(plan, watched, excluded)
        else:
            await trio.to_thread.run_sync(_plan_target if watched.kind == "target" else _plan_file, plan, watched)
    return plan


def _add(plan: Plan, directory: Path, rule: Rule) -> None:
    rules = plan.get(directory, ())
    if rule not in rules:
        plan[directory] = (*rules, rule)


def _reach(plan: Plan, directory: Path, rule: Rule) -> None:
    """Watch a directory, and the nearest one above it for its coming, going and being replaced."""
    # Not `Path.is_dir`, which raises for a mount that is gone or a directory that is closed to us: they are not there.
    if os.path.isdir(directory):
        _add(plan, directory, rule)
    below = directory
    while below.parent != below:
        if os.path.isdir(below.parent):
            _add(plan, below.parent, Rule(names=frozenset({below.name})))
            return
        below = below.parent


def _plan_file(plan: Plan, watched: Watched) -> None:
    # Written through a link it changes where the link leads to, replaced it changes where the link is.
    for path in {watched.path, Path(os.path.realpath(watched.path))}:
        _reach(plan, path.parent, Rule(names=frozenset({path.name})))


def _plan_target(plan: Plan, watched: Watched) -> None:
    common = watched.path
    # Without the lock files beside them: git renames over the name when it is done.
    _reach(plan, common, Rule(names=frozenset({"HEAD", "packed-refs", "refs", "reftable"})))
    directory = common / "refs"
    for name in ("heads", *watched.branch.split("/")):
        _reach(plan, directory, Rule(names=frozenset({name})))
        directory /= name
    if os.path.isdir(common / "reftable"):
        _add(plan, common / "reftable", Rule(names=frozenset({"tables.list"})))


async def _plan_work_tree(plan: Plan, watched: Watched, excluded: Collection[Path]) -> None:
    top = watched.path
    _reach(plan, top, Rule(names=frozenset({".git"})))
    if not os.path.isdir(top):  # noqa: ASYNC240 - a look, on a local disk
        return
    top = Path(os.path.realpath(top))  # noqa: ASYNC240 - a look, on a local disk
    asked = ("rev-parse", "--path-format=absolute", "--git-dir", "--git-common-dir")
    try:
        found = await run_git(*asked, cwd=top, is_user=True)
        git_dir, common = (Path(line) for line in found.text.split("\n"))
        listed = await run_git(
            *("ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z"), cwd=top, is_user=True
        )
    except (GitError, OSError):
        return
    ignored = {name.rstrip("/") for name in listed.records if name.endswith("/")}

    def plan_directories() -> None:
        _plan_target(plan, watched._replace(path=common))
        _reach(plan, git_dir, Rule(names=frozenset({"HEAD"}), gone=ENDINGS))
        for prefix in iter_directories(top, ignored, excluded):
            _add(plan, top / prefix, Rule(tree=top, prefix=prefix))

    await trio.to_thread.run_sync(plan_directories)


def iter_directories(top: Path, ignored: Collection[str], excluded: Collection[Path]) -> Iterator[str]:
    """The directories of a work tree seen from its top, '' for itself, the others with a slash at their end.

    top: a path without links, since so are those that are left out.
    Without `.git`, links, what is ignored or excluded and what cannot be read; what goes meanwhile is left out.
    """
    left_out = {os.path.realpath(path) for path in excluded}
    pending = [""]
    while pending:
        prefix = pending.pop()
        try:
            with os.scandir(top / prefix) as entries:
                found = [
                    entry.name
                    for entry in entries
                    if entry.name != ".git" and entry.is_dir(follow_symlinks=False) and entry.path not in left_out
                ]
        except OSError:
            # Gone or closed to us: what it is replaced by is told by the directory above it.
            continue
        yield prefix
        pending += [f"{prefix}{name}/" for name in found if f"{prefix}{name}" not in ignored]


async def has_unignored(top: Path, paths: Collection[str]) -> bool:
    """Whether git ignores not all of `paths`, seen from the top of a work tree. True too where git cannot say."""
    try:
        found = await run_git(
            *("check-ignore", "--stdin", "-z"),
            cwd=top,
            is_user=True,
            input=b"".join(os.fsencode(path) + b"\0" for path in paths),
            ok=(0, 1),
        )
    except (GitError, OSError):
        return True
    return not set(paths) <= set(found.records)
