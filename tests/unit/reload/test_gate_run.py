"""What the one line about a red gate says of its output."""

from __future__ import annotations

import pytest

from ringmaster.reload.gate_run import SAID_LIMIT, first_failed


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("E  assert 1 == 2\nFAILED tests/a.py::test_a - assert 1 == 2\nFAILED tests/b.py::test_b\n== 2 failed ==\n",
         ": FAILED tests/a.py::test_a - assert 1 == 2"),
        ("ERROR tests/a.py - ImportError\n!!! Interrupted !!!\n", ": ERROR tests/a.py - ImportError"),
        ("FAIL: test_a (tests.Toy)\nRan 1 test\n\nFAILED (failures=1)\n", ": FAIL: test_a (tests.Toy)"),
        ("    --- FAIL: TestA (0.00s)\nFAIL\n", ": --- FAIL: TestA (0.00s)"),
        ("ok 1\nnot ok 2 sums\n1..2\n", ": not ok 2 sums"),
        ("begun\nmake: *** [Makefile:3: test] Error 2\n\n", ": begun"),
        ("make: *** [Makefile:3: test] Error 2\n\n", ": make: *** [Makefile:3: test] Error 2"),
        ("a/b.py:79:9: E501 Line too long\nmypy: fine\nmake[1]: *** [Makefile:9: x] Error 1\n",
         ": a/b.py:79:9: E501 Line too long"),
        ("", ""),
        ("\n \n", ""),
    ],
)  # fmt: skip
def test_the_first_failed_test_is_named_or_the_last_line(said: str, words: str) -> None:
    assert first_failed(said) == words


def test_a_line_without_an_end_is_cut() -> None:
    assert first_failed("x" * 10_000) == f": {'x' * SAID_LIMIT}"
