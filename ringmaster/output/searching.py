"""Finding steps: in the index for attempts that have ended, in the files for those that run. Blocking."""

from __future__ import annotations

from collections.abc import Sequence

from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.output.files import size_of
from ringmaster.output.indexing import INDEX_FILE, iter_steps
from ringmaster.output.matching import Pattern, joined, parse_pattern, snippet_of
from ringmaster.protocol.logs import LogMatch, LogsFound, LogsSearchParams
from ringmaster.settings import Paths, Settings
from ringmaster.store.log_index import LAST_ROW, IndexedStep, Wanted, search_log_index

LIVE_BYTES = 2 * 1024 * 1024
"""Of each attempt that runs, how much of the end is looked through, and of all of them eight times as much."""
LIVE_FACTOR = 8
CURSOR = "row-"


def search_logs(
    params: LogsSearchParams, live: Sequence[Attempt], paths: Paths, settings: Settings, newest: str = ""
) -> LogsFound:
    """Steps that match. live: the attempts that run and that are asked for, newest first. newest: the last that ended.

    Raises:
        RingmasterError: USAGE for a pattern without a word, or a cursor that is none.
    """
    pattern = parse_pattern(params.pattern)
    matches: list[LogMatch] = []
    notes: list[str] = []
    before = _row_of(params.cursor)
    if not params.cursor:
        matches, left = _search_live(pattern, params, live, paths, settings)
        if left:
            notes.append(left)
    limit = params.limit - len(matches)
    wanted = Wanted(
        project_id=params.project_id,
        task_id=params.task_id,
        attempt_id=params.attempt_id,
        is_failed=params.is_failed,
        newest=newest if newest and (paths.attempt(newest) / "agent" / "stdout").exists() else "",
        before=before,
        limit=limit + 1,
    )
    searched = search_log_index(paths.state / INDEX_FILE, pattern.expression, wanted)
    if searched.missing:
        notes.append(searched.missing)
    found = searched.found
    matches += (_match_of(one.step, one.step.text) for one in found[:limit])
    cursor = ""
    if len(found) > limit:
        cursor = f"{CURSOR}{found[limit - 1].row if limit else before}"
    return LogsFound(matches=tuple(matches), cursor=cursor, note="; ".join(notes))


def _search_live(
    pattern: Pattern, params: LogsSearchParams, live: Sequence[Attempt], paths: Paths, settings: Settings
) -> tuple[list[LogMatch], str]:
    matches: list[LogMatch] = []
    left = LIVE_BYTES * LIVE_FACTOR
    unread = ""
    for number, attempt in enumerate(live):
        room = params.limit - len(matches)
        if left <= 0 or not room:
            return matches, f"{len(live) - number} attempts that run were not looked through: name a task"
        try:
            left -= min(LIVE_BYTES, size_of(paths.attempt(attempt.id) / "agent" / "stdout"))
            own = _search_one(pattern, params, attempt, paths, settings)
        except OSError as error:
            # What one attempt's files are like keeps nobody from finding something in another's.
            unread = f"the output of {attempt.id} cannot be read: {error.strerror}"
            continue
        matches += own[: -room - 1 : -1]
        if len(own) > room:
            return matches, "not all that attempts that run said is shown: ask for more at once, or rarer words"
    return matches, unread


def _search_one(
    pattern: Pattern, params: LogsSearchParams, attempt: Attempt, paths: Paths, settings: Settings
) -> list[LogMatch]:
    found = []
    for steps in iter_steps(attempt, paths, settings, from_end=LIVE_BYTES):
        for step in steps:
            piece = snippet_of(step.text, pattern) if step.is_failed or not params.is_failed else None
            if piece is not None:
                found.append(_match_of(step, piece))
    return found


def _match_of(step: IndexedStep, snippet: str) -> LogMatch:
    return LogMatch(
        attempt_id=step.attempt_id,
        task_id=step.task_id,
        project_id=step.project_id,
        job=step.job,
        offset=step.offset,
        kind=step.kind,
        snippet=joined(snippet),
        at=step.at,
        exit_code=step.exit_code,
        is_failed=step.is_failed,
    )


def _row_of(cursor: str) -> int:
    if not cursor:
        return LAST_ROW
    row = cursor.removeprefix(CURSOR)
    if row == cursor or not row.isdecimal() or int(row) > LAST_ROW:
        raise RingmasterError(ErrorKind.USAGE, f"{cursor!r} is no cursor of a search", "begin without a cursor")
    return int(row)
