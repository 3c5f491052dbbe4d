"""What can happen in a step. A feature of the queue adds its moves to one of these lists, or a list of its own here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from tests.sim.world import World

Make = Callable[[World], Awaitable[None] | None]


class Move(NamedTuple):
    """One kind of step.

    weight: how often it is drawn, against the others. is_stirring: whether the daemon may have something to do after it
    although no event tells of it.
    """

    name: str
    weight: float
    make: Make
    is_stirring: bool


def named(table: dict[Make, float], *, is_stirring: bool = False) -> tuple[Move, ...]:
    """Moves by the names of their functions."""
    names = {make: getattr(make, "__name__", "") for make in table}
    return tuple(Move(names[make], weight, make, is_stirring) for make, weight in table.items())
