"""What has happened to a task, in words: each of its events as one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ringmaster.model.event import Event
from ringmaster.protocol.task_control import HistoryLine, TaskHistory
from ringmaster.queue.holding import utc
from ringmaster.store import controls, events
from ringmaster.store.connection import Connection

Data = Mapping[str, Any]
LONGEST = 60
TIMES = ("deadline_at", "not_before_at")


def data_of(event: Event) -> dict[str, Any]:
    """What an event says."""
    found = msgspec.json.decode(event.data)
    return found if isinstance(found, dict) else {}


def _short(value: object, name: str = "") -> str:
    if value is None or value in ("", [], {}):
        return "nothing"
    if name in TIMES and isinstance(value, (int, float)):
        return utc(value)
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    if isinstance(value, dict):
        value = ", ".join(f"{key} {part}" for key, part in value.items() if part is not None) or "nothing"
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _edited(data: Data) -> str:
    before, after = data.get("before", {}), data.get("after", {})
    if not isinstance(before, dict) or not isinstance(after, dict):
        return "edited"
    return "; ".join(
        f"{name.removesuffix('_at').replace('_', ' ')} {_short(before.get(name), name)} -> {_short(value, name)}"
        for name, value in after.items()
    )


def _dependencies(data: Data) -> str:
    kind = data.get("kind", "blocks")
    said = [f"depends on {id} ({kind})" for id in data.get("added", ())]
    said += [f"no longer depends on {id} ({kind})" for id in data.get("removed", ())]
    return ", ".join(said) + (", which was cancelled" if data.get("by") else "")


def _because(data: Data) -> str:
    why = str(data.get("message") or data.get("reason") or "")
    return f": {_short(why)}" if why else ""


def _was(data: Data) -> str:
    before = data.get("before")
    return f" (was {before['state']})" if isinstance(before, dict) and "state" in before else ""


def _done(data: Data) -> str:
    commit = f" as {data['commit'][:12]}" if data.get("commit") else ""
    by = f", since {data['by']} is done" if data.get("by") else ""
    how = {
        "person": "closed",
        "landed": f"done{commit}",
        "children": "done: its children are over",
        "unneeded": "done: it is not needed any more",
        "import": "done before it was imported",
    }
    return how.get(str(data.get("done_by")), "done") + by + _was(data) + _because(data)


def _cancelled(data: Data) -> str:
    by = f" with {data['by']}" if data.get("by") else ""
    words = "" if by and str(data.get("message", "")).startswith("with ") else _because(data)
    return f"cancelled{by}{_was(data)}{words}"


def _opened(data: Data) -> str:
    reason = str(data.get("reason", ""))
    if reason in ("retry", "reopened", "released"):
        word = {"retry": "put on the queue again", "reopened": "reopened", "released": "opened"}[reason]
        why = f": {_short(data['message'])}" if data.get("message") else ""
        return word + _was(data) + why
    later = data.get("not_before_at")
    until = f", not before {utc(later)}" if isinstance(later, (int, float)) else ""
    return f"back on the queue{_because(data)}{until}"


def _ended(data: Data) -> str:
    return f"attempt ended: {data.get('outcome', '')}{_because(data)}"


WORDS: dict[str, Callable[[Data], str]] = {
    "task.created": lambda data: f"created: {_short(data.get('title'))}",
    "task.edited": _edited,
    "task.dependencies_changed": _dependencies,
    "task.held": lambda data: f"held{_because(data)}",
    "task.released": lambda data: "released" if data.get("was_held") else "draft opened",
    "task.deferred": lambda data: (
        f"not before {_short(data.get('until_at'), 'not_before_at')}"
        f" (was {_short(data.get('before', {}).get('not_before_at'), 'not_before_at')})"
    ),
    "task.cancelled": _cancelled,
    "task.done": _done,
    "task.opened": _opened,
    "task.failed": lambda data: f"failed{_because(data)}",
    "task.restored": lambda data: f"{data.get('state')} again{_was(data)}",
    "task.blocked": lambda data: f"blocked by {data.get('by')}",
    "task.unblocked": lambda data: f"no longer blocked: {data.get('by')} is out of the way",
    "task.validating": lambda data: "work handed over to be judged",
    "task.landing": lambda data: "landing",
    "task.landed": lambda data: f"landed as {str(data.get('new', ''))[:12]}",
    "attempt.started": lambda data: f"given to {data.get('agent')} (attempt {data.get('number')})",
    "attempt.ended": _ended,
    "attempt.cancel_requested": lambda data: f"asked for the attempt to be ended{_because(data)}",
    "attempt.accepted": lambda data: "work accepted",
    "decision.opened": lambda data: f"asked: {_short(data.get('question'))}",
    "decision.answered": lambda data: f"answered: {_short(data.get('answer'))}{_because(data)}",
    "decision.withdrawn": lambda data: "question taken back",
    "decision.reopened": lambda data: "question asked again",
}


def words_of(event: Event) -> str:
    """An event in words, without who and when. One that has no words of its own is named."""
    data = data_of(event)
    known = WORDS.get(event.type)
    words = known(data) if known else event.type.partition(".")[2].replace("_", " ")
    if event.attempt_id and event.type.startswith("attempt."):
        words = f"{event.attempt_id}: {words}"
    return f"{words} [takes back event {data['undoes']}]" if data.get("undoes") else words


def task_history(conn: Connection, task_id: str, limit: int) -> TaskHistory:
    """The newest events of a task in order."""
    found = events.events_of_task_before(conn, task_id, events.last_seq(conn) + 1, limit + 1)
    lines = []
    for event in reversed(found[:limit]):
        is_change = "since" in data_of(event)
        undone_by = controls.undone_by(conn, event.seq) if is_change else None
        lines.append(
            HistoryLine(
                seq=event.seq,
                at=event.at,
                type=event.type,
                actor=event.actor or "daemon",
                words=words_of(event),
                can_undo=is_change and undone_by is None,
                undone_by=undone_by,
            )
        )
    return TaskHistory(id=task_id, lines=tuple(lines), is_whole=len(found) <= limit)
