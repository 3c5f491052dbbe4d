"""From rows of the original Ringmaster's database to tasks: what its words mean here. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import msgspec

from ringmaster.model.ids import is_task_id
from ringmaster.model.importing import (
    DESCRIPTION_LIMIT,
    HIGHEST_ATTEMPTS,
    TITLE_LIMIT,
    ImportedDependency,
    ImportedTask,
    OldQuestion,
    Translation,
    unix_time,
)
from ringmaster.model.states import TaskState

Value: TypeAlias = "int | float | str | bytes | None"
OldRow: TypeAlias = "Mapping[str, Value]"

STATES: dict[str, TaskState] = {
    "draft": TaskState.DRAFT,
    "ready": TaskState.OPEN,
    "assigned": TaskState.OPEN,
    "in_progress": TaskState.OPEN,
    "blocked": TaskState.OPEN,
    "review": TaskState.OPEN,
    "needs_decomposition": TaskState.DRAFT,
    "done": TaskState.DONE,
    "failed": TaskState.FAILED,
}
"""Whatever was under way is open: the process that worked on it was the old system's."""

NOT_WORK = ("decision", "question")
"""Rows of the table of tasks that are no tasks: they are told with the task they are about."""

# Said in another place of the task, or of use to the old system alone: caches, its own files and clocks.
_TOLD = frozenset({"id", "project_id", "type", "title", "description", "priority", "status", "max_attempts"})
_TOLD |= {"attempts", "last_failure_reason", "blocked_reason", "retry_after", "required_capabilities", "parent_id"}
_TOLD |= {"acceptance_criteria", "created_at"}
_DROPPED = frozenset({"worker_id", "pagerank_score", "betweenness_score", "on_critical_path", "combined_priority"})
_DROPPED |= {"prompt_path", "output_path", "context_hash", "updated_at", "started_at", "completed_at"}
_DROPPED |= {"iteration", "max_iterations", "urgency"}


def translate(rows: Sequence[OldRow], dependencies: Iterable[tuple[str, str]], now: float) -> Translation:
    """Tasks from the rows of `tasks` (in order of arrival) and pairs (who waits, for whom).

    Bad values are replaced and named in the notes; a row whose id cannot be one here is left out, and named.
    """
    notes: list[str] = []
    work: dict[str, OldRow] = {}
    others: dict[str, OldRow] = {}
    for row in rows:
        id = _text(row.get("id"))
        if row.get("type") in NOT_WORK:
            others[id] = row
        elif not is_task_id(id):
            notes.append(f"left out: {id[:60]!r} cannot be the id of a task")
        elif id in work:
            notes.append(f"left out: a second task {id}")
        else:
            work[id] = row
    waits = _dependencies(dependencies, work, others, notes)
    talk = _talk(work, others, waits, notes)
    tasks = tuple(
        _task(row, tuple(b for b in waits[id] if b in work), talk[id], work, now, notes) for id, row in work.items()
    )
    return Translation(tasks, tuple(notes))


def _dependencies(
    pairs: Iterable[tuple[str, str]], work: Mapping[str, OldRow], others: Mapping[str, OldRow], notes: list[str]
) -> dict[str, dict[str, None]]:
    waits: dict[str, dict[str, None]] = {id: {} for id in work}
    for waiting, blocker in pairs:
        if waiting in others:
            continue
        if waiting not in work or (blocker not in work and blocker not in others):
            missing = waiting if waiting not in work else blocker
            notes.append(f"left out: {waiting} waits for {blocker}, and there is no {missing}")
        elif waiting != blocker:
            waits[waiting][blocker] = None
    return waits


class _Talk(msgspec.Struct):
    """What was asked and said about one task."""

    questions: list[OldQuestion] = msgspec.field(default_factory=list)
    words: list[str] = msgspec.field(default_factory=list)


def _talk(
    work: Mapping[str, OldRow],
    others: Mapping[str, OldRow],
    waits: Mapping[str, Mapping[str, None]],
    notes: list[str],
) -> dict[str, _Talk]:
    """Decisions and questions by the task that they are about."""
    talk = {id: _Talk() for id in work}
    waiting_for: dict[str, set[str]] = {id: set() for id in others}
    for waiting, blockers in waits.items():
        for id in blockers:
            if id in others:
                waiting_for[id].add(waiting)
    for id, row in others.items():
        about = {_text(row.get("blocks_id")), _text(row.get("related_id")), _text(row.get("parent_id"))} & set(work)
        about |= waiting_for[id]
        if not about:
            notes.append(f"left out: {_text(row.get('type'))} {id} is about no task: {_question(row)[:80]}")
        for task_id in sorted(about):
            _tell(talk[task_id], row)
    return talk


def _tell(talk: _Talk, row: OldRow) -> None:
    question = _question(row)
    answer = _text(row.get("resolution")) or _text(row.get("answer"))
    proposed = _text(row.get("recommendation")) or _text(row.get("default_answer"))
    if answer:
        talk.words.append(f"Asked: {question}\n  Answered: {answer}")
    elif row.get("type") == "decision" and row.get("status") not in ("done", "failed"):
        detail = "\n".join(part for part in (_text(row.get("context")), proposed and f"Proposed: {proposed}") if part)
        talk.questions.append(OldQuestion(question, detail, _list(row.get("options"))))
    else:
        # A question of the old system blocked nothing: the worker went on with the answer that it assumed.
        talk.words.append(f"Asked, and not answered: {question}" + (f"\n  Assumed: {proposed}" if proposed else ""))


def _question(row: OldRow) -> str:
    return _text(row.get("question")) or _text(row.get("title")) or _text(row.get("description"))


def _task(
    row: OldRow, after: tuple[str, ...], talk: _Talk, work: Mapping[str, OldRow], now: float, notes: list[str]
) -> ImportedTask:
    id, title = _text(row.get("id")), " ".join(_text(row.get("title")).split())
    state = _state(row, bool(after), notes)
    questions = list(talk.questions)
    if row.get("status") == "blocked" and not questions:
        reason = _text(row.get("blocked_reason"))
        if reason or not after:
            questions.append(OldQuestion(reason or f"{id} was blocked, and nothing says why: what is to be done?"))
    retry_at = unix_time(_text(row.get("retry_after")))
    words = [*_history(row, work), *talk.words, *_unknown(row)]
    if len(title) > TITLE_LIMIT:
        words.insert(0, f"Whole title: {title}")
    return ImportedTask(
        id=id,
        old_project=_text(row.get("project_id")),
        title=title[:TITLE_LIMIT] or id,
        description=_description(_text(row.get("description")), words),
        priority=_priority(row, notes),
        labels=("epic",) if row.get("type") == "epic" else (),
        acceptance=_list(row.get("acceptance_criteria")),
        capabilities=tuple(sorted(set(_list(row.get("required_capabilities"))))),
        max_attempts=min(max(_number(row.get("max_attempts")), 0), HIGHEST_ATTEMPTS),
        state=state,
        not_before_at=retry_at if retry_at is not None and retry_at > now and state is TaskState.OPEN else None,
        depends=tuple(ImportedDependency(blocker) for blocker in after),
        questions=tuple(questions) if state in (TaskState.OPEN, TaskState.DRAFT) else (),
    )


def _state(row: OldRow, is_waiting: bool, notes: list[str]) -> TaskState:
    status = _text(row.get("status"))
    state = STATES.get(status)
    if state is None:
        notes.append(f"{_text(row.get('id'))} is a draft now: nobody knows the state {status[:40]!r}")
        return TaskState.DRAFT
    if row.get("type") == "epic":
        # An epic was never given out: it is a heading over its tasks.
        return TaskState.DRAFT if state is TaskState.OPEN else state
    # The old system opened a draft by itself when the last task that it waited for was done.
    return TaskState.OPEN if status == "draft" and is_waiting else state


def _history(row: OldRow, work: Mapping[str, OldRow]) -> list[str]:
    words = []
    parent = work.get(_text(row.get("parent_id")))
    if parent is not None:
        words.append(f"Part of {_text(parent.get('id'))}: {' '.join(_text(parent.get('title')).split())}")
    if filed := unix_time(_text(row.get("created_at"))):
        words.append(f"Filed on {datetime.fromtimestamp(filed, UTC):%Y-%m-%d}")
    if attempts := _number(row.get("attempts")):
        words.append(f"Attempts made there: {attempts}")
    if reason := _text(row.get("last_failure_reason")):
        words.append(f"The last one failed: {reason}")
    if row.get("status") in ("review", "needs_decomposition"):
        words.append(f"Its state there was {_text(row['status'])}")
    return words


def _unknown(row: OldRow) -> list[str]:
    asked = {"question", "options", "recommendation", "resolution", "default_answer", "answer"}
    return [f"{name}: {text}" for name in row if name not in _TOLD | _DROPPED and (text := _shown(row, name, asked))]


def _shown(row: OldRow, name: str, asked: set[str]) -> str:
    text = _text(row[name])
    return "" if name in asked and text in ("[]", "{}") else text


def _description(text: str, words: Sequence[str]) -> str:
    told = "\n".join(f"- {word}" for word in words)
    parts = [text.strip()[:DESCRIPTION_LIMIT]]
    if told:
        parts.append(f"From the original system:\n{told[:50_000]}")
    return "\n\n".join(part for part in parts if part)


def _priority(row: OldRow, notes: list[str]) -> int:
    text = _text(row.get("priority"))
    if (digit := text.upper().removeprefix("P")) in ("0", "1", "2", "3", "4"):
        return int(digit)
    if text:
        notes.append(f"{_text(row.get('id'))} has priority 2 now: {text[:40]!r} is none")
    return 2


def _text(value: Value) -> str:
    if value is None:
        return ""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.replace("\0", "")


def _number(value: Value) -> int:
    try:
        return int(float(_text(value) or 0))
    except (ValueError, OverflowError):
        return 0


def _list(value: Value) -> tuple[str, ...]:
    """A JSON list of words; other text is a list of its lines."""
    text = _text(value).strip()
    if not text:
        return ()
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        found = text.splitlines()
    items = found if isinstance(found, list) else [found]
    words = [item if isinstance(item, str) else msgspec.json.encode(item).decode() for item in items if item]
    return tuple(word.strip()[:10_000] for word in words if word.strip())[:200]
