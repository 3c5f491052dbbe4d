"""The part of the daemon that reloads, where there is none: a daemon that runs from no release, and one on trial."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.rollout import ReloadAnswer, RolloutStatus

WORDS = "nothing watches the code of this daemon, and it runs from no release"


class NoReload:
    """Says that nothing watches, and takes nothing: see `rpc.services.ReloadControl`."""

    async def request(self, is_dry_run: bool, actor: str) -> ReloadAnswer:
        """Nothing can be taken."""
        return ReloadAnswer(state="paused", words=WORDS, running=0)

    def status(self) -> RolloutStatus:
        """Nothing runs from a release."""
        return RolloutStatus(running=0, good=0, words=WORDS)

    async def undo(self, generation: int | None, actor: str) -> ReloadAnswer:
        """There is nothing to go back to. Raises RingmasterError REFUSED."""
        raise RingmasterError(ErrorKind.REFUSED, WORDS, "rmctl daemon restart starts what is installed")
