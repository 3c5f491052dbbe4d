"""Methods about what is said of tasks."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ringmaster.protocol.mutation import Mutation

COMMENT_LIMIT = 100_000


class TaskCommentParams(Mutation, frozen=True, kw_only=True):
    """Say something about a task, whatever its state. Nothing else of it changes."""

    id: str
    text: Annotated[str, msgspec.Meta(min_length=1, max_length=COMMENT_LIMIT)]
