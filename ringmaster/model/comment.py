"""A comment: what somebody said about a task."""

from __future__ import annotations

import msgspec


class Comment(msgspec.Struct, frozen=True):
    """author: who said it, as events name people. at: unix seconds."""

    author: str
    text: str
    at: float
