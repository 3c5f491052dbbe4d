"""An image that the reloader wants to be executed."""

from __future__ import annotations

import msgspec

from ringmaster.model.generation import Generation
from ringmaster.reload.boot_record import Image

STOPPING = "the daemon is stopping"
"""Why a wish is refused whose daemon is about to end."""


class Wish(msgspec.Struct, frozen=True):
    """is_trial: it has to prove itself; otherwise it is good, and why_bad says what is wrong with the one on trial."""

    image: Image
    is_trial: bool
    words: str
    why_bad: str = ""


def image_of(generation: Generation) -> Image:
    """What the boot record says of a generation."""
    return Image(
        generation=generation.id, release=generation.release, digest=generation.digest, python=generation.python
    )
