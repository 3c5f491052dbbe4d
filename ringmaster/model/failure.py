"""When two failures are the same: what happened, without the numbers, paths and names that differ each time. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ringmaster.model.outcomes import Outcome
from ringmaster.model.task import Task

SAME_LIMIT = 3
"""So many counted attempts in a row that failed alike, and a person is asked whatever attempts are left."""

WORDS_LIMIT = 300
TESTS_LIMIT = 50

# In this order: a path may hold numbers, a hexadecimal name digits.
_VARYING = (
    (re.compile(r"(?<![\w.])(?:~|\.{1,2})?(?:/[\w.@%+=:,~-]+)+/?"), "PATH"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "HEX"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7,64}\b", re.IGNORECASE), "HEX"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "N"),
    (re.compile(r"\s+"), " "),
)


def failure_of(outcome: Outcome, reason: str, failed_tests: Sequence[str] = ()) -> str:
    """What to compare failures by: outcome, the reason's lasting words, and the tests that a red gate names.

    Of many tests the first by name: two runs with other failures beyond those are still the same trouble.
    """
    words = reason
    for pattern, name in _VARYING:
        words = pattern.sub(name, words)
    parts = [str(outcome), words.strip()[:WORDS_LIMIT], *sorted(set(failed_tests))[:TESTS_LIMIT]]
    return "\n".join(part for part in parts if part)


def after_failure(task: Task, failure: str) -> tuple[str, int]:
    """What a task's row says after a failure: which it was, and how often in a row, this time included."""
    return failure, task.same_failures + 1 if failure == task.failure else 1
