"""Methods about decisions."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ringmaster.model.decision import Decision
from ringmaster.protocol.mutation import Mutation


class DecisionListParams(msgspec.Struct, frozen=True, kw_only=True):
    """is_all: answered and withdrawn ones too."""

    is_all: bool = False
    task_id: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200


class DecisionIdParams(msgspec.Struct, frozen=True, kw_only=True):
    """id: a decision's id or a unique prefix."""

    id: str


class DecisionAnswerParams(Mutation, frozen=True, kw_only=True):
    """answer: one of the decision's options, or any words for a question. message: words for the next prompt."""

    id: str
    answer: Annotated[str, msgspec.Meta(min_length=1, max_length=100_000)]
    message: Annotated[str, msgspec.Meta(max_length=100_000)] = ""


class DecisionList(msgspec.Struct, frozen=True, kw_only=True):
    """Open ones: the most urgent first, then the oldest. With `is_all` the oldest first."""

    decisions: tuple[Decision, ...]


class DecisionAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """The decision after the answer. note: what the answer did, in words."""

    decision: Decision
    note: str
