"""Finding something in what agents did."""

from __future__ import annotations

from typing import Annotated

import msgspec


class LogsSearchParams(msgspec.Struct, frozen=True, kw_only=True):
    """Which steps of agents: those that hold every word of `pattern`, in any case.

    pattern: words, "several words in a row" in quotes, and beginnings of words with a star (`migrat*`).
    project_id, task_id, attempt_id: only theirs; '' for all. attempt_id: TASK/NUMBER.
    is_failed: only of what failed. limit: at most so many matches. cursor: go on after an earlier answer's.
    """

    pattern: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    project_id: str = ""
    task_id: str = ""
    attempt_id: str = ""
    is_failed: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 50
    cursor: Annotated[str, msgspec.Meta(max_length=100)] = ""


class LogMatch(msgspec.Struct, frozen=True, kw_only=True):
    """A step that matches. offset: of its line in the job's stdout, for `logs.read`.

    kind, at, exit_code, is_failed: as of a step. The beginning of a command is left out where its end is there.
    snippet: a piece of the step around the first match, cleaned and redacted.
    """

    attempt_id: str
    task_id: str
    project_id: str
    job: str
    offset: int
    kind: str
    snippet: str
    at: float | None = None
    exit_code: int | None = None
    is_failed: bool = False


class LogsFound(msgspec.Struct, frozen=True, kw_only=True):
    """Matches: of attempts that run first, then of those that have ended, the last to end first.

    cursor: '' when there are no more. note: in words what was not looked through, '' for nothing.
    """

    matches: tuple[LogMatch, ...]
    cursor: str = ""
    note: str = ""
