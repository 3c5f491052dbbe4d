"""Two clocks that only a simulation moves: the loop's, which never goes back, and the wall's, which may."""

from __future__ import annotations

import trio


class VirtualClock(trio.abc.Clock):
    """The loop's clock. Nothing sleeps by it: whoever moves it lets what is due run."""

    def __init__(self) -> None:
        self.mono = 0.0
        self.wall_ahead = 1_700_000_000.0

    def wall(self) -> float:
        """Unix seconds, as the daemon believes them to be."""
        return self.mono + self.wall_ahead

    def start_clock(self) -> None:
        """See `trio.abc.Clock`."""

    def current_time(self) -> float:
        """See `trio.abc.Clock`."""
        return self.mono

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Anything above 0 for what is not due: nobody ever waits for it."""
        return 0.0 if deadline <= self.mono else 1e6
