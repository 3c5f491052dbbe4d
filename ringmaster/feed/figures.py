"""What the feed has done, counted."""

from __future__ import annotations

import msgspec


class FeedFigures(msgspec.Struct):
    """Of this image. subscribers: now. frames, bytes: given out to them; resyncs: times one was too slow.

    rendered_bytes: of output that was read, cleaned and redacted, whoever reads it counted once.
    """

    subscribers: int = 0
    frames: int = 0
    bytes: int = 0
    resyncs: int = 0
    rendered_bytes: int = 0
