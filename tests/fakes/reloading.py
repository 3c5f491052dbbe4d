"""The part of a daemon that reloads, as a test scripts it."""

from __future__ import annotations

import msgspec

from ringmaster.model.errors import RingmasterError
from ringmaster.protocol.rollout import ReloadAnswer, RolloutStatus


class ScriptedReload:
    """Answers what the test says, and notes what was asked."""

    def __init__(self) -> None:
        self.now = RolloutStatus(running=1, good=1, release="r1", commit="c1", is_watching=True, words="toy's main")
        self.answer = ReloadAnswer(state="requested", words="looking", running=1)
        self.refusal: RingmasterError | None = None
        self.asked: list[tuple[object, ...]] = []

    async def request(self, is_dry_run: bool, actor: str) -> ReloadAnswer:
        """The scripted answer."""
        self.asked.append(("request", is_dry_run, actor))
        return self._answer()

    def status(self) -> RolloutStatus:
        """The scripted status."""
        return self.now

    async def undo(self, generation: int | None, actor: str) -> ReloadAnswer:
        """The scripted answer, about that generation."""
        self.asked.append(("undo", generation, actor))
        return msgspec.structs.replace(self._answer(), generation=generation or 0)

    def _answer(self) -> ReloadAnswer:
        if self.refusal is not None:
            raise self.refusal
        return self.answer
