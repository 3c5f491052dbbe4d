"""What is watched and what of it counts, as values: which names in a directory, and when it has been quiet."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Literal, NamedTuple

AT_MOST = 5
"""Under a constant stream of changes a hint comes after this many times the quiet that is otherwise waited for."""

ENDINGS = frozenset(
    {"index.lock", "MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply", "sequencer"}
)
"""In a git directory while something is under way; that one goes is what a snapshot waits for."""


class Watched(NamedTuple):
    """One thing to watch; all paths are absolute.

    kind: `target`: `path` is a repository's common git directory, and `branch` of it is followed. `worktree`: `path`
        is the top of a work tree; its files that git does not ignore, `branch` and HEAD. `file`: the file `path`,
        wherever links lead to.
    """

    kind: Literal["target", "worktree", "file"]
    path: Path
    branch: str = ""


class Rule(NamedTuple):
    """What counts in one directory.

    names: entries of which every change counts. gone: entries of which only the going counts.
    tree: top of the work tree of which the directory is a part: every entry but `.git` counts that git does not ignore.
    prefix: of the directory's entries seen from `tree`, empty or with a slash at its end.
    """

    names: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    tree: Path | None = None
    prefix: str = ""


class Heard(NamedTuple):
    """What an event says. is_sure: it is a hint without a question to git.

    path: seen from the top of the tree, of which git must say whether it ignores it; a directory ends with a slash.
    is_reshaping: what has to be watched may be different now.
    """

    is_sure: bool = False
    path: str = ""
    is_reshaping: bool = False


NOTHING = Heard()


def judge(rule: Rule, name: str, *, is_gone: bool, is_directory: bool, is_attribute: bool = False) -> Heard:
    """What a change of the entry `name` says under a rule. is_attribute: only its mode or times changed."""
    if name in rule.names or (is_gone and name in rule.gone):
        return Heard(is_sure=True, is_reshaping=True)
    if rule.tree is None or name in ("", ".git") or (is_attribute and is_directory):
        return NOTHING
    return Heard(
        path=f"{rule.prefix}{name}{'/' if is_directory else ''}", is_reshaping=is_directory or name == ".gitignore"
    )


class Debounce:
    """When changes have been quiet for long enough. Times are of any one clock, in seconds."""

    def __init__(self) -> None:
        self._first_at = self._last_at = math.inf

    def heard(self, now: float) -> None:
        """Something changed."""
        self._first_at = min(self._first_at, now)
        self._last_at = now

    def due_at(self, quiet_s: float) -> float:
        """When to look: after `quiet_s` of quiet, or `AT_MOST` times that without any; never when nothing changed."""
        return min(self._last_at + quiet_s, self._first_at + AT_MOST * quiet_s)

    def clear(self) -> None:
        """It has been looked at."""
        self._first_at = self._last_at = math.inf
