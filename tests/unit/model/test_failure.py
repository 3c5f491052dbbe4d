"""When two failures are the same: what differs by chance is left out, what tells them apart is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ringmaster.model.failure import after_failure, failure_of
from ringmaster.model.outcomes import Outcome
from ringmaster.model.task import Task

FIELDS: Any = dict.fromkeys(Task.__struct_fields__[:24], "")
TASK = Task(**FIELDS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("exit status 1 after 12.5 s", "exit status 2 after 9 s"),
        ("no file /tmp/a1/x.py", "no file /var/lib/b/deeper/y.txt"),
        ("fault at 0xdeadbeef", "fault at 0x1F"),
        ("does not merge onto 3f2a91c04b7e", "does not merge onto 0123456789ab"),
        ("two\n  lines", "two lines"),
    ],
)
def test_numbers_hex_and_paths_do_not_tell_failures_apart(one: str, other: str) -> None:
    assert failure_of(Outcome.FAILED, one) == failure_of(Outcome.FAILED, other)


def test_words_outcomes_and_failed_tests_do() -> None:
    known = failure_of(Outcome.GATE_FAILED, "the gate is red", ("t.py::one",))
    assert failure_of(Outcome.GATE_FAILED, "the gate is red", ("t.py::two",)) != known
    assert failure_of(Outcome.GATE_FAILED, "the gate timed out", ("t.py::one",)) != known
    assert failure_of(Outcome.FAILED, "the gate is red", ("t.py::one",)) != known
    assert failure_of(Outcome.GATE_FAILED, "the gate is red", ("t.py::one", "t.py::one")) == known
    assert failure_of(Outcome.FAILED, "faced a dead cab") == "failed\nfaced a dead cab", "words are no hexadecimal"


def test_the_same_is_counted_in_a_row_and_another_begins_anew() -> None:
    row = msgspec.structs.replace(TASK, failure="a", same_failures=2)
    assert after_failure(row, "a") == ("a", 3)
    assert after_failure(row, "b") == ("b", 1)
    assert after_failure(TASK, "a") == ("a", 1)
