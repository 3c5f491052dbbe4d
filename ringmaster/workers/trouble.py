"""What goes wrong outside an attempt's own work: which of it is the disk's, the project's, the attempt's or a bug's."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ringmaster.model.attempt import Attempt
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report as reporting
from ringmaster.queue.decide import pause_project
from ringmaster.queue.quarantine import quarantine_failing
from ringmaster.store import attempts
from ringmaster.store.connection import Connection
from ringmaster.store.disk import is_disk_full
from ringmaster.workers.attempt import end_attempt
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.conversation import CostsSoFar, costs_so_far, note_costs_so_far
from ringmaster.workers.gate import CheckoutGone
from ringmaster.workers.jobs import stop_jobs
from ringmaster.workers.preparing import ProjectTrouble
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.git import GitError

log = logging.getLogger("ringmaster.trouble")

DISK_RETRY_S = 5.0
"""How soon a step that found the disk full is entered again: nothing says when other programs' files go."""
FULL_BYTES = 1 << 20
FULL_WORDS = ("No space left on device", "Disk quota exceeded")

SETBACKS = 2
"""How often a step that git or a removed checkout brought down is tried again before a person is asked."""
SETBACK_S = 1.0


def cause_of(error: Exception) -> Exception:
    """What really went wrong: the one exception in a nursery's group of one."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def is_for_want_of_room(error: Exception, state: Path) -> bool:
    """Whether a step failed because the disk is full. Git does not always say so, so the disk is looked at too."""
    if isinstance(error, RingmasterError) and error.kind is ErrorKind.DISK_FULL:
        return True
    if not isinstance(error, RingmasterError | OSError):
        return False
    if is_disk_full(error) or any(words in str(error) for words in FULL_WORDS):
        return True
    room = os.statvfs(state)
    return room.f_bavail * room.f_frsize < FULL_BYTES


def is_passing(error: Exception) -> bool:
    """Whether a lane's step may well go through when it is tried again.

    Git that ran and failed or was killed, and places that were removed under it, are no person's business at once.
    What is wrong with the user's repository is, unless the git that looked at it was killed.
    """
    if isinstance(error, GitError):
        return error.status is not None or error.kind is ErrorKind.NOT_FOUND
    return isinstance(error, CheckoutGone | FileNotFoundError) or was_git_killed(error)


def was_git_killed(error: Exception) -> bool:
    """Whether a signal ended the git behind an error."""
    git = error.__cause__ if isinstance(error, ProjectTrouble) else error
    return isinstance(git, GitError) and git.status is not None and git.status < 0


def setback_pause_s(setbacks: int) -> float:
    """How long to wait after the nth setback in a row, from 1."""
    return SETBACK_S * 2.0 ** (setbacks - 1)


class Disk:
    """What `noticing_full_disk` saw."""

    is_full = False


@contextlib.contextmanager
def noticing_full_disk() -> Iterator[Disk]:
    """For writing how an attempt ended: when not even the reserve has room for that, it is to be tried again."""
    disk = Disk()
    try:
        yield disk
    except RingmasterError as error:
        if error.kind is not ErrorKind.DISK_FULL:
            raise
        disk.is_full = True


async def end_in_trouble(sur: Surroundings, attempt: Attempt, control: AttemptControl, error: Exception) -> None:
    """End a running attempt whose work could not go on, after whatever runs for it.

    A project that cannot be worked on is paused with one question; what is no foreseen error is a bug or a
    poisonous row, and puts the task aside. What its agent had come to by then is noted with its end.
    """
    await stop_jobs(sur, attempt.id)
    costs = await costs_so_far(sur, attempt)
    if isinstance(error, RingmasterError) and error.kind is ErrorKind.LEASE_LOST:
        log.info("%s", error.message)
    elif isinstance(error, ProjectTrouble):
        log.warning("attempt %s: %s", attempt.id, error.message)
        question = f"{attempt.project_id} cannot be worked on"
        await sur.store.write_essential(_after_costs, attempt, costs, blame_project, attempt, error, question, sur)
    elif isinstance(error, RingmasterError | OSError):
        words = error.message if isinstance(error, RingmasterError) else f"{type(error).__name__}: {error}"
        log.warning("attempt %s: %s", attempt.id, words)
        is_start = isinstance(error, OSError) or error.kind in (ErrorKind.NOT_FOUND, ErrorKind.USAGE)
        outcome = control.wanted or (Outcome.SPAWN_FAILED if is_start else Outcome.INTERRUPTED)
        await end_attempt(sur, attempt, outcome, control.reason or words, costs=costs)
    else:
        log.error("attempt %s", attempt.id, exc_info=error)
        words = f"internal error: {_words(error)}"
        await sur.store.write_essential(_after_costs, attempt, costs, quarantine_failing, attempt, words, rng=sur.rng)


def _after_costs(
    conn: Connection, attempt: Attempt, costs: CostsSoFar | None, end: Callable[..., Any], *args: Any, **named: Any
) -> None:
    """Note what the attempt cost where it has not ended, and then end it as `end` does."""
    note_costs_so_far(conn, attempt, costs)
    end(conn, *args, **named)


async def stop_lane(sur: Surroundings, attempt: Attempt, error: Exception) -> bool:
    """Settle what kept the attempt at the head of a lane from being landed; whether it still is there.

    A landing stays what it is, for the ref may have moved: the project is paused and a person asked, and the lane
    looks again when something was done about it. It ends only when it fails once more after a person gave it up.
    """
    await stop_jobs(sur, attempt.id)
    if isinstance(error, RingmasterError) and error.kind is ErrorKind.LEASE_LOST:
        log.info("%s", error.message)
        return False
    if isinstance(error, RingmasterError | OSError):
        log.warning("lane of %s: %s", attempt.project_id, error)
    else:
        log.error("lane of %s", attempt.project_id, exc_info=error)
    return await sur.store.write_essential(_settle_lane, attempt, error, sur)


def _settle_lane(conn: Connection, attempt: Attempt, error: Exception, sur: Surroundings) -> bool:
    state = conn.value(attempts.queries.state_of, (attempt.id,))
    if state == "landing":
        _pause(conn, attempt, error, f"{attempt.project_id} cannot land", sur)
        place = str(sur.paths.repository(attempt.project_id))
        return not reporting.ask_about_stuck_landing(conn, attempt, _words(error), place=place, rng=sur.rng)
    if isinstance(error, RingmasterError | OSError):
        blame_project(conn, attempt, error, f"{attempt.project_id} cannot land", sur)
    elif state != "ended":
        quarantine_failing(conn, attempt, f"internal error: {_words(error)}", rng=sur.rng)
    return False


def blame_project(conn: Connection, attempt: Attempt, error: Exception, question: str, sur: Surroundings) -> None:
    """Pause the project with one question and give the task back."""
    _pause(conn, attempt, error, question, sur)
    if conn.value(attempts.queries.state_of, (attempt.id,)) != "ended":
        reporting.end_attempt(conn, attempt.id, attempt.token, Outcome.INTERRUPTED, _words(error), rng=sur.rng)


def _pause(conn: Connection, attempt: Attempt, error: Exception, question: str, sur: Surroundings) -> None:
    pause_project(
        conn,
        attempt.project_id,
        DecisionKind.TARGET_MOVED,
        question=f"{question}: {_words(error)}",
        reason=_words(error),
        detail=error.hint if isinstance(error, RingmasterError) else "",
        rng=sur.rng,
    )


def _words(error: Exception) -> str:
    return error.message if isinstance(error, RingmasterError) else f"{type(error).__name__}: {error}"[:500]
