"""What the evidence of an agent's run is worth, in order: one pure function.

The order: how the job was ended from outside, the structured result, the explicit report over the socket,
denials, the diff, the exit status, and last of all words. A success that only the agent claims is never more
than leave to go on to validation.
"""

from __future__ import annotations

import signal
from typing import Literal

import msgspec

from ringmaster.agents.base import AgentEnd, AgentReport, ExplicitReport
from ringmaster.model.outcomes import Outcome

REASON_LIMIT = 300
KILLED_BELOW = 128 + signal.SIGKILL
"""What a wrapper such as a shell or bubblewrap exits with when its own child was killed."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a run.

    kind: `end` ends the attempt with `outcome`; `validate` sends its diff to gate and landing; `done` ends
        it as succeeded with nothing to land, for a task that needs no diff.
    outcome: None exactly while `kind` is `validate`.
    reason: one line for a person. is_counted, reset_at: for `consequence_of`.
    """

    kind: Literal["end", "validate", "done"]
    outcome: Outcome | None
    reason: str
    is_counted: bool = True
    reset_at: float | None = None


def outcome_of(
    end: AgentEnd,
    report: AgentReport,
    explicit: ExplicitReport | None,
    *,
    has_diff: bool,
    is_diff_needed: bool,
) -> Verdict:
    """Judge one run by its evidence.

    has_diff: the workspace, as fetched, differs from the attempt's base.
    """
    forced = _forced_end(end)
    if forced is not None:
        return forced
    stated = _stated(report, explicit)
    if stated is not None:
        return stated
    is_success_stated = report.status == "succeeded" or (explicit is not None and explicit.status == "succeeded")
    if end.reason in ("wall_clock", "idle") and not is_success_stated:
        limit = "the wall-clock limit" if end.reason == "wall_clock" else "the limit without output"
        return _end(Outcome.TIMED_OUT, f"ended at {limit}")
    if end.reason == "limit" and not is_success_stated:
        return _end(Outcome.FAILED, end.error)
    if report.denials and not has_diff:
        times = "once" if report.denials == 1 else f"{report.denials} times"
        return _end(Outcome.NEEDS_DECISION, f"was refused a permission {times} and changed nothing")
    if not is_success_stated and (end.code != 0 or end.signal is not None):
        return _end(Outcome.FAILED, _exit_words(end))
    if has_diff:
        return Verdict(kind="validate", outcome=None, reason=_success_words(end, report, explicit))
    if is_diff_needed:
        said = " and said it was complete" if report.is_complete_said or is_success_stated else ""
        return _end(Outcome.NO_CHANGES, f"ended well{said}, without a change")
    return Verdict(
        kind="done",
        outcome=Outcome.SUCCEEDED,
        reason=_success_words(end, report, explicit) + "; no diff was needed",
    )


def _forced_end(end: AgentEnd) -> Verdict | None:
    """Ends that no word of the agent can better: nobody knows what a flood or a lost shim cut off."""
    if end.reason == "spawn_failed":
        return _end(Outcome.SPAWN_FAILED, f"could not be started: {end.error or 'no reason is known'}")
    if end.reason == "cancelled":
        return _end(Outcome.CANCELLED, "cancelled")
    if end.reason == "estop":
        return _end(Outcome.INTERRUPTED, "stopped by estop")
    if end.reason == "lost":
        return _end(Outcome.INTERRUPTED, "its shim died, so how it ended is not known")
    if end.reason == "output_flood":
        return _end(Outcome.OUTPUT_FLOOD, "wrote more output than its limit")
    return None


def _stated(report: AgentReport, explicit: ExplicitReport | None) -> Verdict | None:
    """Anything but success that the agent states. It may always say that it did not do the work.

    A structured success only means that the run ended in order, so a question or failure that was
    reported over the socket still stands beside it.
    """
    if report.status == "rate_limited":
        return _end(
            Outcome.RATE_LIMITED,
            _with_words("the agent's account is rate limited", report.summary),
            is_counted=False,
            reset_at=report.reset_at,
        )
    if report.status == "needs_decision":
        return _end(Outcome.NEEDS_DECISION, _with_words("the agent asks", report.question or report.summary))
    if report.status == "failed":
        words = _with_words("the agent says that it failed", report.summary)
        return _end(Outcome.FAILED, words, is_counted=report.is_counted)
    if explicit is not None and explicit.status == "needs_decision":
        return _end(Outcome.NEEDS_DECISION, _with_words("the agent asks", explicit.summary))
    if explicit is not None and explicit.status == "failed":
        return _end(Outcome.FAILED, _with_words("the agent reported that it failed", explicit.summary))
    return None


def _end(outcome: Outcome, reason: str, *, is_counted: bool = True, reset_at: float | None = None) -> Verdict:
    return Verdict(kind="end", outcome=outcome, reason=reason, is_counted=is_counted, reset_at=reset_at)


def _with_words(reason: str, words: str) -> str:
    words = " ".join(words.split())
    if not words:
        return reason
    return f"{reason}: {words}" if len(words) <= REASON_LIMIT else f"{reason}: {words[: REASON_LIMIT - 1]}…"


def _exit_words(end: AgentEnd) -> str:
    if end.is_memory_short and end.signal == signal.SIGKILL:
        return "killed by signal 9 (out of memory?)"
    if end.is_memory_short and end.code == KILLED_BELOW:
        return f"exited with {KILLED_BELOW}: what it ran was killed by signal 9 (out of memory?)"
    if end.signal is not None:
        try:
            return f"died of {signal.Signals(end.signal).name}"
        except ValueError:
            return f"died of signal {end.signal}"
    if end.code is None:
        return "ended without an exit status"
    return f"exited with {end.code}"


def _success_words(end: AgentEnd, report: AgentReport, explicit: ExplicitReport | None) -> str:
    if report.status == "succeeded":
        return _with_words("the agent says that it succeeded", report.summary)
    if explicit is not None:
        return _with_words("the agent reported that it succeeded", explicit.summary)
    return _exit_words(end)
