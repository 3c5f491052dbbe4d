"""What may become a release unasked: pure rules on two trees, the running one's and the candidate's.

Migrations that the running code could not live with fail. What holds the candidate to anything (tests that went or
hold less, the parts that judge and carry all others) asks a person, unless one has answered for it at landing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Protocol

import msgspec

from ringmaster.model.generation import StageResult
from ringmaster.workspace.diff import ChangedFile
from ringmaster.workspace.protected import protected_changes
from ringmaster.workspace.weakened import WeakenedTest, is_test_file, weakened_tests

PROTECTED = (
    *("bin/", "sql/migrations/", "ringmaster/reload/", "ringmaster/workspace/gate*", "ringmaster/workers/gate*"),
    *("ringmaster/workspace/protected*", "ringmaster/workspace/weakened*", "ringmaster/workspace/junit*"),
    *("ringmaster/proc/shim*", "ringmaster/store/migrate*", "requirements.lock", "pyproject.toml", "Makefile"),
)
"""What judges or carries all other work of the daemon's own source."""
TEXT_LIMIT = 2_000
SHOWN = 5
_MIGRATION = re.compile(r"sql/migrations/\d{4}_[a-z0-9_]+\.sql")


class Changed(Protocol):
    """One path that differs: its text in the running tree and in the candidate's, None where it is not there."""

    path: str
    status: str
    old: bytes | None
    new: bytes | None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules are told besides the changes.

    migration_problem: why the candidate's migrations cannot be used, '' when they can. is_landed: the lane made every
    commit since the running one. has_agent: an agent had a hand in them. answered: what the project protects itself,
    for which a person has answered in the lane. gate: its command.
    """

    migration_problem: str = ""
    is_landed: bool = False
    has_agent: bool = False
    answered: tuple[str, ...] = ()
    gate: str = ""


class Judgement(msgspec.Struct, frozen=True):
    """What the rules say, for people to read."""

    result: StageResult
    words: str


def judge_policy(changed: Sequence[Changed], facts: Facts) -> Judgement:
    """Whether the candidate may go on: passed, failed, or asks a person with both texts in the words. Pure."""
    if problem := _migration_problem(changed, facts):
        return Judgement(StageResult.FAILED, problem)
    questions: list[str] = []
    if not facts.is_landed:
        # The lane asks about each weakened test, whoever weakened it.
        questions += [_show_weakened(found, changed) for found in _weakened(changed)[:SHOWN]]
    if facts.has_agent:
        questions += _unanswered(changed, facts)
    if questions:
        return Judgement(StageResult.ASKS, "\n\n".join(questions))
    return Judgement(StageResult.PASSED, f"{len(changed)} changed file{'' if len(changed) == 1 else 's'}")


def _migration_problem(changed: Sequence[Changed], facts: Facts) -> str:
    for file in changed:
        if not _MIGRATION.fullmatch(file.path) or file.old is None:
            continue
        # Databases that have it would never get what it says now, or a new one of its number.
        word = "removed" if file.new is None else "changed"
        return f"migration not additive: {file.path} was {word}; write a new migration instead"
    return f"migration not additive: {facts.migration_problem}" if facts.migration_problem else ""


def _weakened(changed: Sequence[Changed]) -> list[WeakenedTest]:
    tests = [file for file in changed if is_test_file(file.path)]
    return weakened_tests({file.path: file.old for file in tests}, {file.path: file.new for file in tests})


def _show_weakened(found: WeakenedTest, changed: Sequence[Changed]) -> str:
    file = next(file for file in changed if file.path == found.path)
    # A test that moved is told by what its new file says.
    named = f"{found.path}::{found.test}" if found.test else found.path
    return f"test weakened: {named}: {found.why}\n{show_both(file.old, file.new, found.test)}"


def show_both(old: bytes | None, new: bytes | None, test: str = "") -> str:
    """The old and the new text of a test (`Class.name` or `name`; '' for the whole file), cut to a readable length."""
    return f"--- running\n{_shown(old, test)}\n+++ candidate\n{_shown(new, test)}"


def _shown(text: bytes | None, test: str) -> str:
    if text is None:
        return "(removed)"
    found = text_of_test(text, test) if test else text.decode("utf-8", "replace")
    if found is None:
        return "(removed)"
    return found if len(found) <= TEXT_LIMIT else f"{found[:TEXT_LIMIT]}\n…"


def text_of_test(source: bytes, test: str) -> str | None:
    """The lines of one test function, decorators included; None where the source has none of that name."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return source.decode("utf-8", "replace")
    body: list[ast.stmt] = tree.body
    *owners, name = test.split(".")
    for owner in owners:
        body = [part for node in body if isinstance(node, ast.ClassDef) and node.name == owner for part in node.body]
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            lines = source.decode("utf-8", "replace").splitlines()
            return "\n".join(lines[first - 1 : node.end_lineno])
    return None


def _unanswered(changed: Sequence[Changed], facts: Facts) -> list[str]:
    """Protected paths for which nobody has answered yet, each with both texts."""
    files = [ChangedFile(file.path, file.status, None, None) for file in changed]
    answered: set[str] = set()
    if facts.is_landed:
        asked = protected_changes(files, facts.answered, [facts.gate] if facts.gate else ())
        answered = {found.path for found in asked}
    open_ones = [found for found in protected_changes(files, PROTECTED) if found.path not in answered]
    by_path = {file.path: file for file in changed}
    shown = []
    for found in open_ones[:SHOWN]:
        file = by_path[found.path]
        shown.append(f"protected: {found.path} changed ({found.why})\n{show_both(file.old, file.new)}")
    if len(open_ones) > SHOWN:
        shown.append(f"and {len(open_ones) - SHOWN} more protected files")
    return shown
