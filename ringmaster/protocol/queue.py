"""Methods about the queue as a whole."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ringmaster.protocol.mutation import Mutation


class QueuePauseParams(Mutation, frozen=True, kw_only=True):
    """Give out nothing more; what runs goes on. project_id: only of this project. message: why, for people."""

    project_id: str = ""
    message: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class QueueResumeParams(Mutation, frozen=True, kw_only=True):
    """Give out again. project_id: of this project, which does not resume a queue that is paused as a whole."""

    project_id: str = ""


class QueuePauseView(msgspec.Struct, frozen=True, kw_only=True):
    """Why the queue is paused, by whom and since when."""

    reason: str
    actor: str
    paused_at: float


class QueueChanged(msgspec.Struct, frozen=True, kw_only=True):
    """note: what it did, in words. pause: of the queue as a whole, while there is one."""

    note: str
    pause: QueuePauseView | None = None
