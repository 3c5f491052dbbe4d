"""Names of things: how they are made and which a person may choose."""

from __future__ import annotations

import random
import re

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: no i, l, o or u, so an id survives being read aloud."""

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
TASK_ID = re.compile(r"(?=.{1,100}\Z)[A-Za-z0-9_]+(?:[-.][A-Za-z0-9_]+)*(?<!\.lock)")
"""Ours, and those that other systems give: what may be the name of a directory and a part of a git ref."""


GROUPED_FROM = 4096
_GROUP_BITS = 6
_GROUPS = 1 << 15
_GROUP_FACTOR = 25173
"""Odd, so that it permutes the groups: two that follow each other look nothing alike."""


def make_task_id(rng: random.Random, length: int = 5, *, place: int = 0) -> str:
    """A new task id. 5 letters hold 33 million; on a collision the caller asks for a longer one.

    place: how many tasks came before. The first few thousand are random all through, so that a letter or two name
    one. Behind them each group of 64 neighbours shares three letters: they are worked on at about the same time, and
    everything that is kept by task id (attempts, events, dependencies) then lies on shared pages. Random ids make a
    claim and its report at a million tasks write half as many pages again.
    """
    number = rng.getrandbits(5 * length)
    if place >= GROUPED_FROM:
        group = (place >> _GROUP_BITS) * _GROUP_FACTOR & _GROUPS - 1
        number = number % (1 << 5 * (length - 3)) | group << 5 * (length - 3)
    return "rm-" + _letters(number, length)


def _letters(number: int, length: int) -> str:
    return "".join([ALPHABET[number >> shift & 31] for shift in range(5 * (length - 1), -1, -5)])


def make_decision_id(rng: random.Random, length: int = 5) -> str:
    """A new decision id."""
    return "d-" + _letters(rng.getrandbits(5 * length), length)


def make_token(rng: random.Random) -> str:
    """A new attempt token: 128 bits. Pass a `random.SystemRandom` outside simulation."""
    return f"{rng.getrandbits(128):032x}"


def make_attempt_id(task_id: str, number: int) -> str:
    """The id of a task's attempt: the task's id, a slash, the attempt's number from 1."""
    return f"{task_id}/{number}"


def is_name(text: str) -> bool:
    """Whether a project, worker or label may be called this."""
    return NAME.fullmatch(text) is not None


def is_task_id(text: str) -> bool:
    """Whether the text has the form of a task id, ours or an imported one."""
    return TASK_ID.fullmatch(text) is not None
