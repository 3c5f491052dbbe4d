"""The order of work."""

from __future__ import annotations

from ringmaster.model.order import CAP_S, DAY_S, PATIENCE_S, RANK_LIMIT, base_rank, bounded_rank

NOW = 1_800_000_000.0


def test_the_more_urgent_goes_first_and_then_the_older() -> None:
    ranks = [base_rank(priority, NOW) for priority in range(5)]
    assert ranks == sorted(set(ranks))
    assert base_rank(2, NOW - 60) < base_rank(2, NOW)


def test_a_fresh_p0_goes_before_all_that_arrived_in_a_month() -> None:
    assert all(base_rank(0, NOW) < base_rank(priority, NOW - 29 * DAY_S) for priority in range(1, 5))


def test_what_waits_is_passed_by_nothing_that_arrives_later_than_its_bound() -> None:
    longest_s = max(PATIENCE_S) - min(PATIENCE_S) + CAP_S
    waiting = base_rank(4, NOW)
    for priority in range(5):
        assert bounded_rank(0, NOW + longest_s + 1) > waiting, "whatever a rule says"
        assert base_rank(priority, NOW + longest_s + 1, deadline_at=1.0) > waiting


def test_a_deadline_brings_a_task_forward_and_never_back() -> None:
    assert base_rank(4, NOW, deadline_at=NOW + DAY_S) < NOW + DAY_S
    assert base_rank(4, NOW, deadline_at=NOW + 400 * DAY_S) == base_rank(4, NOW)


def test_a_rank_fits_the_bits_that_the_claim_has_for_it_whatever_the_clock_says() -> None:
    assert base_rank(0, 0.0) == 1
    assert base_rank(4, 1e12) == RANK_LIMIT
