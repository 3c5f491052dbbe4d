"""A generation: one release that ran or was to run, what its gate showed and what it did. The archive of reloads."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError


class GenerationState(StrEnum):
    """What a generation's row holds. What boots is in the boot record, not here."""

    CANDIDATE = "candidate"
    TRIAL = "trial"
    GOOD = "good"
    BAD = "bad"
    SUPERSEDED = "superseded"


G = GenerationState
GENERATION_MOVES: dict[GenerationState, frozenset[GenerationState]] = {
    G.CANDIDATE: frozenset({G.TRIAL, G.BAD, G.SUPERSEDED}),
    G.TRIAL: frozenset({G.GOOD, G.BAD, G.CANDIDATE}),
    G.GOOD: frozenset(),
    G.BAD: frozenset(),
    G.SUPERSEDED: frozenset(),
}
"""Each legal move. A retryable failure leaves a candidate a candidate, and going back to a good one leaves it good."""

UNSETTLED_STATES = frozenset({G.CANDIDATE, G.TRIAL})


def check_generation_move(generation: int, old: GenerationState, new: GenerationState) -> None:
    """Refuse an illegal move in words.

    Raises:
        RingmasterError: WRONG_STATE when a generation that is `old` cannot become `new`.
    """
    if new not in GENERATION_MOVES.get(old, frozenset()):
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"generation {generation} is {old}, so it cannot become {new}",
            "rmctl rollout history",
        )


class StageResult(StrEnum):
    """How a stage of the candidate's gate ended. `retry` is never the candidate's fault; `asks` waits for a person."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    RETRY = "retry"
    ASKS = "asks"
    UNKNOWN = "unknown"

    @classmethod
    def _missing_(cls, value: object) -> StageResult:
        # Receipts outlive the code that wrote them: a newer release may know a result that this one does not.
        return cls.UNKNOWN


class Receipt(msgspec.Struct, frozen=True):
    """What one stage showed. wall_s: how long it took; words: one line a person reads, why where it did not pass."""

    stage: str
    result: StageResult
    wall_s: float = 0.0
    words: str = ""


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """What a generation did while it ran. None: not measured.

    attempts: that ended in its time; succeeded: of those; cost_usd, work_s: what they cost and how long they
    took together. rpc_p99_s, calls, internal_errors: of its answered requests. rss_bytes: resident memory of the
    daemon. lag_s: the largest delay of its loop that probation saw.
    """

    attempts: int | None = None
    succeeded: int | None = None
    cost_usd: float | None = None
    work_s: float | None = None
    rpc_p99_s: float | None = None
    rss_bytes: int | None = None
    calls: int | None = None
    internal_errors: int | None = None
    lag_s: float | None = None

    @property
    def success_rate(self) -> float | None:
        """Succeeded of ended attempts, 0 to 1; None without an attempt."""
        return self.succeeded / self.attempts if self.attempts and self.succeeded is not None else None

    @property
    def cost_per_success_usd(self) -> float | None:
        """What all its attempts cost for each that succeeded; None without one."""
        return self.cost_usd / self.succeeded if self.succeeded and self.cost_usd is not None else None

    @property
    def work_per_success_s(self) -> float | None:
        """How long all its attempts took for each that succeeded; None without one."""
        return self.work_s / self.succeeded if self.succeeded and self.work_s is not None else None

    def with_newer(self, newer: Measures) -> Measures:
        """These, with each measure that `newer` has in its place."""
        taken = {name: value for name in newer.__struct_fields__ if (value := getattr(newer, name)) is not None}
        return msgspec.structs.replace(self, **taken)


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a generation is made of, known before it has a number; each as in `Generation`."""

    release: str
    digest: str
    python: str
    source: str
    parent: int = 0
    project_id: str = ""
    commit: str = ""
    tree: str = ""


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """A generation's row.

    id: its number, from 1 in the order they were made. release: its directory's name; digest: sha256 of what the
    stub hashes; python: the interpreter of its environment. parent: the generation that ran when it was made, 0 for
    the first. source: `package`, `target` or `worktree`; project_id, commit, tree: of the self project, empty for a
    package; a worktree's commit is the one its edits are on. reason: why it is bad, superseded or put off.
    tried_at: its last trial began; settled_at: it became good, bad or superseded.
    """

    id: int
    release: str
    digest: str
    python: str
    parent: int
    source: str
    project_id: str
    commit: str
    tree: str
    state: GenerationState
    reason: str
    receipts: tuple[Receipt, ...]
    measures: Measures
    created_at: float
    tried_at: float | None
    settled_at: float | None
