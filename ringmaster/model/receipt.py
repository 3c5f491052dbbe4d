"""A receipt: the record of one gate run on one commit."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class GateResult(StrEnum):
    """How a gate ended. Only `green` is ever reused."""

    GREEN = "green"
    RED = "red"
    TIMED_OUT = "timed_out"
    MISSING = "missing"
    INTERRUPTED = "interrupted"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """A receipt's row.

    gate: the command that ran. commit, tree: what it ran on.
    tests_total: tests in its JUnit report, or None when there was none ("tests: unknown").
    is_flaky: it failed, and passed when run again. is_reused: taken over from another commit with the same tree.
    job: directory of the job under the state directory.
    """

    id: int
    project_id: str
    attempt_id: str
    gate: str
    commit: str
    tree: str
    result: GateResult
    tests_total: int | None
    tests_failed: tuple[str, ...]
    is_flaky: bool
    job: str
    started_at: float
    ended_at: float
