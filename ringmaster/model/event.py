"""The event: what every state change leaves behind, in the order in which it was committed."""

from __future__ import annotations

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One committed state change.

    `seq` is dense: the next event of the same store has `seq + 1`, so a reader that keeps the last
    `seq` it saw resumes without gap or double. `type` is in the past tense, as `task.created`.
    `data` is a JSON object, kept encoded because most readers only pass it on.
    Ids that do not apply are empty.
    """

    seq: int
    at: float
    type: str
    project_id: str = ""
    task_id: str = ""
    attempt_id: str = ""
    worker_id: str = ""
    decision_id: str = ""
    actor: str = ""
    # Made by a function, because a schema of the type cannot show raw JSON as a default.
    data: msgspec.Raw = msgspec.field(default_factory=lambda: msgspec.Raw(b"{}"))
