"""A decision: a question only a person may answer. It blocks its task as a dependency does."""

from __future__ import annotations

import msgspec

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.states import DecisionState


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision's row. `task_id` is empty for a question about a whole project.

    Both are for one about an agent kind: it is that of the attempt.
    recommendation: what the asker would answer. urgency: low, normal or high. default_answer: given by the daemon at
    `default_at`, or somewhat later, if nobody has answered; see docs/queue.md.
    """

    id: str
    kind: DecisionKind
    project_id: str
    task_id: str
    attempt_id: str
    question: str
    detail: str
    options: tuple[str, ...]
    state: DecisionState
    answer: str
    message: str
    answered_by: str
    created_at: float
    answered_at: float | None
    recommendation: str = ""
    urgency: str = "normal"
    default_answer: str = ""
    default_at: float | None = None
