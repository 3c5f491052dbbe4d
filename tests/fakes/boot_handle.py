"""What a stub gives to the daemon, without a guard."""

from __future__ import annotations


class Handle:
    """Of generation `generation`. handoff_fd: what the image before left, -1 for none."""

    version, release, root = 1, "0" * 16, ""

    def __init__(self, generation: int = 1, handoff_fd: int = -1, *, is_trial: bool = False) -> None:
        self.generation = generation
        self.is_trial = is_trial
        self.handoff_fd = handoff_fd

    def beat(self) -> None:
        """Nothing guards it."""

    def disarm(self) -> None:
        """Nothing guards it."""

    def take_handoff(self) -> int:
        """The descriptor, which is the caller's from then on."""
        fd, self.handoff_fd = self.handoff_fd, -1
        return fd
