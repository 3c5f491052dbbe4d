"""What may come with a question: what its asker would answer, how urgent it is, and what holds if nobody says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError

Urgency = Literal["low", "normal", "high"]
LEAST_OPEN_S = 60.0
"""A default is never given before a person has had so long, counted while a daemon runs that has told of it."""


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """recommendation: what the asker would answer. default_answer: given at `default_at` if nobody was faster."""

    recommendation: str = ""
    urgency: str = "normal"
    default_answer: str = ""
    default_at: float | None = None


def make_advice(
    *,
    options: Sequence[str],
    recommendation: str,
    urgency: Urgency,
    default_answer: str,
    default_after_s: float | None,
    now: float,
) -> Advice:
    """The advice of a question asked now.

    Raises:
        RingmasterError: USAGE for a recommendation or default that is none of the options, a default without its time
            or a time without a default, and a time of less than a minute.
    """
    if options and recommendation and recommendation not in options:
        raise _unfit(f"the recommendation {recommendation[:40]!r} is none of its options", options)
    if default_answer and default_answer not in options:
        raise _unfit(f"the default {default_answer[:40]!r} is none of its options", options)
    if bool(default_answer) != (default_after_s is not None):
        words = "a default needs its time" if default_answer else "a time needs the default that is given then"
        raise RingmasterError(ErrorKind.USAGE, f"{words}; nothing was asked", "--default ANSWER --after 8h")
    if default_after_s is not None and default_after_s < LEAST_OPEN_S:
        raise RingmasterError(
            ErrorKind.USAGE,
            f"{default_after_s:g} s is too soon: a person has at least {LEAST_OPEN_S:g} s; nothing was asked",
            "--after 8h",
        )
    return Advice(
        recommendation=recommendation,
        urgency=urgency,
        default_answer=default_answer,
        default_at=None if default_after_s is None else now + default_after_s,
    )


def _unfit(words: str, options: Sequence[str]) -> RingmasterError:
    choices = " or ".join(options) if options else "none were given"
    return RingmasterError(ErrorKind.USAGE, f"{words}; nothing was asked", f"its options: {choices} (--option)")
