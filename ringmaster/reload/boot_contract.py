"""What the boot stub gives to the daemon. The stub knows no types: this is its promise, by version."""

from __future__ import annotations

from typing import Protocol

VERSION = 1


class BootHandle(Protocol):
    """One image's boot, version 1.

    generation, release, root: what was booted; `root` is on `sys.path`.
    is_trial: whether the guard is armed and what leaves `main` is judged.
    handoff_fd: the handoff of the image before; -1 for none, and once it is taken.

    Lock, listener, handoff and handed connections are not inheritable when `main` is called. All signals are blocked
    there after a switch or a rollback: `main` unblocks them when its handlers are installed.

    A stub may also have `note_stop()`: a signal asked this process to stop, and the loop may stand still. Whoever is
    gone back to gets the signal then. Stubs of older releases lack it.
    """

    version: int
    generation: int
    release: str
    root: str
    is_trial: bool
    handoff_fd: int

    def beat(self) -> None:
        """The loop lives: the guard begins anew. Cheap enough for each second; nothing when there is no guard."""

    def disarm(self) -> None:
        """End the guard: called once the record durably says that this generation is good, or has no trial.

        Beat just before the record is written, so that the guard cannot give up meanwhile what is being found good.
        """

    def take_handoff(self) -> int:
        """The handoff's descriptor, the caller's from now on with all that it speaks of; -1 for none.

        Until it is taken a rollback hands it on to the good release untouched.
        """
