"""How long each pulled attempt may be silent, by docs/pulling.md: leases run out then, and never before."""

from __future__ import annotations

from ringmaster.model.attempt import Attempt
from tests.sim.clock import VirtualClock
from tests.sim.mirror import require

PARDONED_S = 60.0
STALLED_S = 2.0


class LeaseModel:
    """Deadlines on the clock that never goes back. What is left is kept while no daemon runs, or another takes over."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._length: dict[str, float] = {}
        self._left: dict[str, float] = {}
        self._written: dict[str, float] = {}
        self._is_continued = False

    def begin(self, attempt: Attempt, left_s: float) -> None:
        """A lease runs, or runs on; what it was given must be what it had, at least a minute after a break."""
        expected = self._left.pop(attempt.id, None)
        if expected is not None:
            require(
                abs(expected - left_s) < 0.01,
                f"the lease of {attempt.id} had {expected:.1f} s left, and goes on with {left_s:.1f} s",
            )
        self._written.setdefault(attempt.id, attempt.lease_s)
        self._until[attempt.id] = self._clock.mono + left_s
        self._length[attempt.id] = attempt.lease_s

    def renew(self, attempt_id: str) -> None:
        """A heartbeat was heard."""
        if attempt_id in self._until:
            self._until[attempt_id] = max(self._until[attempt_id], self._clock.mono + self._length[attempt_id])

    def write(self, attempt: Attempt) -> None:
        """Its row says that the whole lease is left; whoever has yet to begin to count it begins with that."""
        self._written[attempt.id] = attempt.lease_s
        if attempt.id in self._left:
            self._left[attempt.id] = attempt.lease_s if self._is_continued else max(attempt.lease_s, PARDONED_S)

    def stall(self, until: float) -> None:
        """The process stands still up to a moment: what passes meanwhile is pardoned."""
        for id, deadline in self._until.items():
            # What ran out before may be on its way to the row already.
            if deadline > self._clock.mono and until - deadline >= STALLED_S:
                self._until[id] = until + PARDONED_S

    def part(self, *, is_killed: bool, is_continued: bool) -> None:
        """A life ends. Killed, it has not written down what is left: the row says what somebody last wrote there."""
        self._is_continued = is_continued
        if not is_killed:
            for id, deadline in self._until.items():
                self._written[id] = max(deadline - self._clock.mono, 0.001)
        # Also those that this life had not yet begun to count.
        for id in (*self._until, *self._left):
            self._left[id] = self._written[id] if is_continued else max(self._written[id], PARDONED_S)
        self._until.clear()

    def expire(self, attempt_id: str) -> None:
        """It has run out, says an event."""
        deadline = self._until.get(attempt_id)
        require(deadline is not None, f"the lease of {attempt_id} ran out while nobody counted it")
        assert deadline is not None
        early_s = deadline - self._clock.mono
        require(early_s < 0.1, f"the lease of {attempt_id} ran out {early_s:.1f} s before its time")

    def pause(self, attempt_id: str) -> None:
        """Nobody counts it for now: the disk is full, and it is begun again from what its row says."""
        self._until.pop(attempt_id, None)

    def end(self, attempt_id: str) -> None:
        """The attempt has ended, or was handed in."""
        self._until.pop(attempt_id, None)
        self._left.pop(attempt_id, None)

    def overdue(self) -> str:
        """One that should have run out and did not; ''."""
        return next((id for id, until in self._until.items() if self._clock.mono - until > 0.1), "")
