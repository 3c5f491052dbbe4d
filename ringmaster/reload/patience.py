"""When what could not be judged is judged again by itself: soon at first, and rarely once it has been in vain."""

from __future__ import annotations

import math

RETRY_S = 60.0
"""After a failure that is nobody's fault, such as no index in reach, when nothing else has called for another look."""
TIMES = 3
"""So often in a row soon: from then on it may well be the candidate's own doing, and each time costs its gate."""
LONG_RETRY_S = 3_600.0


class Patience:
    """Counts what was in vain for one content; times are of any one clock, in seconds."""

    def __init__(self) -> None:
        self._content = ""
        self._times = 0
        self._due_at = math.inf

    @property
    def is_waiting(self) -> bool:
        """Whether something is to be tried again by itself."""
        return self._due_at < math.inf

    def fail(self, content: str, now: float) -> str:
        """A candidate of this content could not be judged. When it is tried again, in words, '' while that is soon."""
        self._times = self._times + 1 if content == self._content else 1
        self._content = content
        is_tired = self._times >= TIMES
        self._due_at = now + (LONG_RETRY_S if is_tired else RETRY_S)
        return f"in vain {self._times} times in a row, next in {LONG_RETRY_S / 60:g} minutes" if is_tired else ""

    def wait(self, now: float) -> None:
        """Something else was in the way, that costs nothing to look at again; whatever wakes may do so."""
        self.clear()
        self._due_at = now + RETRY_S

    def clear(self) -> None:
        """It is over, or a person wants it tried at once."""
        self._content, self._times, self._due_at = "", 0, math.inf

    def is_early(self, content: str, now: float) -> bool:
        """Whether a candidate of this content has still to wait."""
        return content == self._content and now < self._due_at

    def left_s(self, now: float) -> float:
        """How long until something is due; infinite when nothing is."""
        return max(0.0, self._due_at - now)
