"""How long a candidate waits that could not be judged."""

from __future__ import annotations

import math

from ringmaster.reload.patience import LONG_RETRY_S, RETRY_S, TIMES, Patience


def test_it_is_tried_soon_and_after_some_times_rarely_which_is_said():
    patience = Patience()
    assert (patience.is_waiting, patience.left_s(0.0)) == (False, math.inf)
    for _ in range(TIMES - 1):
        assert patience.fail("a", 100.0) == ""
        assert patience.left_s(100.0) == RETRY_S
    assert patience.fail("a", 100.0) == "in vain 3 times in a row, next in 60 minutes"
    assert patience.left_s(100.0) == LONG_RETRY_S
    assert patience.is_early("a", 100.0 + LONG_RETRY_S - 1)
    assert not patience.is_early("a", 100.0 + LONG_RETRY_S)
    assert patience.left_s(100.0 + 2 * LONG_RETRY_S) == 0.0


def test_another_content_begins_anew_and_is_not_held_back():
    patience = Patience()
    for _ in range(TIMES):
        patience.fail("a", 0.0)
    assert not patience.is_early("b", 1.0)
    assert patience.fail("b", 1.0) == ""
    assert patience.left_s(1.0) == RETRY_S


def test_what_only_waits_may_be_woken_at_any_time():
    patience = Patience()
    patience.fail("a", 0.0)
    patience.wait(0.0)
    assert (patience.is_early("a", 1.0), patience.is_waiting, patience.left_s(0.0)) == (False, True, RETRY_S)
    patience.clear()
    assert not patience.is_waiting
