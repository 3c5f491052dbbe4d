"""What the events of a reload tell: which generation has what landed, how far it is, why it is not live. Pure.

Whatever the daemon's own code is made of has a generation; a commit is live once one that contains it is good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from ringmaster.selfhost.story import Line, Part, Row, told_of_generation

RolloutEnd = Literal["live", "refused", "failed", "asks", "put_off", "superseded"]

WORDS = {
    "made": "its gate runs",
    "tried": "on probation",
    "": "the watcher has not told of it yet",
}


class Rollout:
    """The way of one commit into the running daemon, as far as the events taken so far tell.

    contains: whether a commit has the wanted one among its ancestors, or is it.
    generation: the newest that has it, 0 before one is made. reason: why it is not live. decision_id: the question that
    it waits for.
    """

    def __init__(self, contains: Callable[[str], bool]) -> None:
        self.attempt_id = ""
        self.job = ""
        self.generation = 0
        self.reason = ""
        self.decision_id = ""
        self.end: RolloutEnd | None = None
        self._contains = contains
        self._step = ""
        self._at: dict[str, float] = {}

    @property
    def filter(self) -> dict[str, Any]:
        """Which events to read."""
        return {"type": ("generation.", "reload.found_nothing")}

    def concerns(self, event: Row) -> bool:
        """Whether an event is about generations."""
        return str(event["type"]).startswith(("generation.", "reload.found_nothing"))

    def forget_failure(self) -> None:
        """What became of a generation holds; what was in the way of making one is in the status, if it still is."""
        if not self.generation:
            self.end, self.reason = None, ""

    def take(self, event: Row) -> Line | None:
        """Take the next event in order. What to show of it, None for nothing."""
        if not self.concerns(event):
            return None
        verb, data = event["type"].partition(".")[2], event["data"]
        if verb == "found_nothing":
            return self._take_trouble(event)
        if verb == "made" and self._contains(data["commit"]):
            self.generation, self.end, self.reason, self._at = data["generation"], None, "", {}
            self._go(verb, event)
        elif data["generation"] == self.generation:
            self._step_on(verb, event)
        told = told_of_generation(event)
        return Line(event["at"], *told) if told else None

    def _take_trouble(self, event: Row) -> Line | None:
        if not event["data"]["is_paused"]:
            return None
        words = str(event["data"]["words"])
        if self.end is None:
            self.end, self.reason = "put_off", words
        return Line(event["at"], "reload", f"nothing can be taken now: {words}")

    def _step_on(self, verb: str, event: Row) -> None:
        self.reason = str(event["data"].get("reason", ""))
        if verb == "tried":
            self.end = None
            self._go(verb, event)
        elif verb == "good":
            self.end = "live"
            self._at[verb] = event["at"]
        elif verb == "bad":
            self.end = "failed" if self._step == "tried" else "refused"
        elif verb == "put_off":
            self.decision_id = event["decision_id"]
            self.end = "asks" if self.decision_id else "put_off"
        elif verb == "superseded":
            self.end = "superseded"
        elif verb == "gated":
            # Judged again by itself after it was put off, or after the answer of a person.
            self.end = None

    def _go(self, step: str, event: Row) -> None:
        self._step = step
        self._at[step] = event["at"]

    def parts(self) -> list[Part]:
        """How long its gate and its probation took; nothing for what this release has no events of."""
        names = (("gate", "made", "tried"), ("probation", "tried", "good"))
        return [
            Part(name, self._at[end] - self._at[begin])
            for name, begin, end in names
            if begin in self._at and end in self._at
        ]

    @property
    def good_at(self) -> float:
        """When it was good, in unix seconds; 0 before."""
        return self._at.get("good", 0.0)

    def under_way(self) -> tuple[str, float]:
        """What happens at this moment in words, and since when; 0 where that is not known."""
        name = f"generation {self.generation}: " if self.generation else ""
        return f"{name}{WORDS[self._step]}", self._at.get(self._step, 0.0)
