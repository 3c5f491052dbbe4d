"""The handle on one live attempt: what runs for it now, and whether somebody wants it ended."""

from __future__ import annotations

from pathlib import Path

import trio

from ringmaster.model.outcomes import Outcome
from ringmaster.proc.identity import ProcessIdentity
from ringmaster.proc.job import Job
from ringmaster.proc.job_files import read_run


class AttemptControl:
    """One per live attempt of this process. Not durable: the wish to end is in the row or the worker's row.

    wanted: the outcome somebody asked for, or None. The first wish stays.
    wished: set with it. is_served: whether its lane works on it now, and so will see a wish by itself.
    setbacks: how often in a row a step of it went wrong in a way that another try may mend.
    """

    def __init__(self, attempt_id: str, cancel_grace_s: float) -> None:
        self.attempt_id = attempt_id
        self.wanted: Outcome | None = None
        self.reason = ""
        self.is_served = False
        self.setbacks = 0
        self.wished = trio.Event()
        self._cancel_grace_s = cancel_grace_s
        self._job: Job | None = None
        self._awaited: tuple[Path, str] | None = None

    @property
    def nonce(self) -> str:
        """The nonce of the job that runs now, or ''."""
        if self._job is None and self._awaited is not None:
            return self._awaited[1]
        return self._job.spec.nonce if self._job is not None else ""

    @property
    def shim(self) -> ProcessIdentity | None:
        """The shim of the job that runs now."""
        if self._job is None and self._awaited is not None:
            # It says who it is before its child runs, and the child may call before anybody else has looked.
            run = read_run(self._awaited[0])
            return run.shim if run is not None else None
        return self._job.shim if self._job is not None else None

    def awaits(self, directory: Path, nonce: str) -> None:
        """Note a job that somebody else may start, until it is held."""
        self._awaited = (directory, nonce)

    def request(self, outcome: Outcome, reason: str) -> None:
        """Ask for the attempt to be ended: its job is told at once, its supervisor looks at `wanted` between steps."""
        if self.wanted is None:
            self.wanted = outcome
            self.reason = reason
            self.wished.set()
            if self._job is not None:
                self._job.cancel(self._cancel_grace_s)

    def give_up_seat(self) -> None:
        """The attempt has handed its work over: a wish that was about its seat is void, a cancel is not."""
        if self.wanted is Outcome.INTERRUPTED:
            self.wanted = None
            self.reason = ""
            self.wished = trio.Event()

    def holds(self, job: Job | None) -> None:
        """Note the job that runs now, or None; one that comes after the wish is ended at once."""
        self._job = job
        self._awaited = None
        if job is not None and self.wanted is not None:
            job.cancel(self._cancel_grace_s)
