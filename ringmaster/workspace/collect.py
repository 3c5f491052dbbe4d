"""Taking an attempt's work out of its workspace into the daemon's repository, and naming what is odd."""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path

import msgspec
import trio

from ringmaster.workspace.agent_git import AgentGit, fetch_objects, read_agent_git
from ringmaster.workspace.diff import ChangedFile, changed_files, diffstat
from ringmaster.workspace.git import run_git
from ringmaster.workspace.refs import is_ancestor, keep_commit
from ringmaster.workspace.work_tree import WorkTree, write_work_tree

MAX_FILE_BYTES = 50_000_000


class ProblemKind(StrEnum):
    """What is odd about collected work."""

    GIT_GONE = "git_gone"
    HISTORY_REWRITTEN = "history_rewritten"
    HEAD_ELSEWHERE = "head_elsewhere"
    UNDER_WAY = "under_way"
    BROKEN_OBJECTS = "broken_objects"
    NESTED_REPOSITORY = "nested_repository"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    LINK_OUTSIDE = "link_outside"


class Problem(msgspec.Struct, frozen=True):
    """One oddity in words. is_blocking: the work is incomplete or ambiguous and wants a person."""

    kind: ProblemKind
    detail: str
    is_blocking: bool = False


class Author(msgspec.Struct, frozen=True):
    """Who a commit is by."""

    name: str = "Ringmaster"
    email: str = "ringmaster@localhost"

    def environment(self, at: float | None = None) -> dict[str, str]:
        """The variables git takes author and committer from; `at` (unix seconds) fixes the dates."""
        names = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (("NAME", self.name), ("EMAIL", self.email))
        }
        if at is not None:
            names |= {"GIT_AUTHOR_DATE": f"@{int(at)} +0000", "GIT_COMMITTER_DATE": f"@{int(at)} +0000"}
        return names


class Collected(msgspec.Struct, frozen=True):
    """An attempt's work as it lies in the daemon's repository.

    head: a commit that descends from the base and has exactly the files on disk (less what `problems`
    names). files: what differs from the base. is_commit_made: the daemon committed leftovers.
    is_empty: head has the base's content.
    """

    head: str
    files: tuple[ChangedFile, ...]
    diffstat: str
    is_commit_made: bool
    problems: tuple[Problem, ...]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to land."""
        return not self.files


async def collect(
    bare: Path,
    workspace: Path,
    attempt_id: str,
    base: str,
    branch: str,
    message: str,
    *,
    author: Author | None = None,
    at: float | None = None,
    ignore_patterns: Sequence[str] = (),
    max_file_bytes: int = MAX_FILE_BYTES,
) -> Collected:
    """Bring the attempt's commits over, commit what was left uncommitted, and describe the change.

    branch: the attempt's branch, without `refs/heads/`. message: for the commit the daemon makes of
    leftovers. at: unix seconds that fix that commit's dates, so that a repeated call gives the same
    commit. ignore_patterns: further ignore patterns (what `copy` brought along). The workspace is
    only read, its configuration and hooks never; nothing may still be running in it. The result is
    under the attempt's keep refs as `head`. May be repeated after a kill. Raises `GitError`.
    """
    problems: list[Problem] = []
    agent = await trio.to_thread.run_sync(read_agent_git, workspace)
    parent = await _agent_head(bare, workspace, attempt_id, base, branch, agent, problems)
    work = await write_work_tree(
        bare,
        workspace,
        parent or base,
        max_file_bytes=max_file_bytes,
        is_nested_git_kept=False,
        ignore_patterns=tuple(ignore_patterns),
    )
    _name_leftouts(work, problems)
    descends = parent is not None and await is_ancestor(bare, base, parent)
    if parent is not None and not descends:
        problems.append(
            Problem(
                ProblemKind.HISTORY_REWRITTEN,
                f"HEAD {parent[:12]} does not descend from the base {base[:12]}; "
                "its files were taken as one commit on the base",
            )
        )
    stand = parent if parent is not None and descends else base
    tree = (await run_git("rev-parse", f"{stand}^{{tree}}", git_dir=bare)).text
    head = stand
    if tree != work.tree:
        made = await run_git(
            "commit-tree",
            work.tree,
            "-p",
            stand,
            git_dir=bare,
            input=message.encode(),
            env=(author or Author()).environment(at),
        )
        head = made.text
    await keep_commit(bare, attempt_id, head, "head")
    files = await changed_files(bare, base, head)
    problems += await trio.to_thread.run_sync(_links_outside, workspace, files)
    return Collected(
        head=head, files=files, diffstat=diffstat(files), is_commit_made=head != stand, problems=tuple(problems)
    )


async def _agent_head(
    bare: Path,
    workspace: Path,
    attempt_id: str,
    base: str,
    branch: str,
    agent: AgentGit,
    problems: list[Problem],
) -> str | None:
    """The commit the files on disk are to be counted from, fetched; None where there is none."""
    if agent.is_gone:
        problems.append(Problem(ProblemKind.GIT_GONE, "the workspace's .git is gone; its files were taken on the base"))
        return None
    if agent.under_way:
        problems.append(
            Problem(
                ProblemKind.UNDER_WAY, f"a {' and a '.join(agent.under_way)} was begun and not ended", is_blocking=True
            )
        )
    own = agent.refs.get(f"refs/heads/{branch}")
    broken = await fetch_objects(
        bare, workspace, attempt_id, {id for id in (agent.head, own) if id and id != base}, is_checked=True
    )
    for id in broken:
        problems.append(Problem(ProblemKind.BROKEN_OBJECTS, f"commit {id[:12]} cannot be read whole", is_blocking=True))
    head = agent.head if agent.head not in broken else None
    if agent.branch == f"refs/heads/{branch}" or own is None or own in broken or own == head:
        return head
    where = f"on {agent.branch}" if agent.branch else "detached"
    if head is None or await is_ancestor(bare, head, own):
        # HEAD went back: which of the two the agent means cannot be known from here.
        is_ahead = own not in (head, base)
        problems.append(
            Problem(
                ProblemKind.HEAD_ELSEWHERE,
                f"HEAD is {where}, behind the branch {branch}" if is_ahead else f"HEAD is {where}",
                is_blocking=is_ahead,
            )
        )
    else:
        is_beyond = await is_ancestor(bare, own, head)
        problems.append(
            Problem(
                ProblemKind.HEAD_ELSEWHERE,
                f"HEAD is {where}, not on {branch}" + ("" if is_beyond else ", which has commits that HEAD lacks"),
                is_blocking=not is_beyond,
            )
        )
    return head


def _name_leftouts(work: WorkTree, problems: list[Problem]) -> None:
    for path in work.nested:
        problems.append(Problem(ProblemKind.NESTED_REPOSITORY, f"{path} is a repository; taken as plain files"))
    for path in work.too_large:
        problems.append(Problem(ProblemKind.TOO_LARGE, f"{path} is too large and was left out", is_blocking=True))
    for path in work.unreadable:
        problems.append(Problem(ProblemKind.UNREADABLE, f"left out: {path}", is_blocking=True))


def _links_outside(workspace: Path, files: Sequence[ChangedFile]) -> list[Problem]:
    problems = []
    for file in files:
        link = workspace / file.path
        if not file.is_link or not link.is_symlink():
            continue
        aim = os.readlink(link)
        landing = os.path.normpath(os.path.join(os.path.dirname(file.path), aim))
        if os.path.isabs(aim) or landing == ".." or landing.startswith("../"):
            problems.append(Problem(ProblemKind.LINK_OUTSIDE, f"{file.path} links to {aim}, outside the repository"))
    return problems
