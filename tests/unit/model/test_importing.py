from __future__ import annotations

from ringmaster.model.importing import Tally, iso_time, project_word, unix_time


def test_a_project_is_called_here_as_people_would():
    assert project_word("My Shop (new)") == "my-shop-new"


def test_a_reason_is_said_once_with_the_first_of_its_ids():
    tally = Tally()
    for number in range(7):
        tally.add("held: pinned", f"bd-{number}")
    tally.add("left out", "bd-9")
    assert tally.lines() == ["held: pinned: bd-0, bd-1, bd-2, bd-3, bd-4, … (7 in all)", "left out: bd-9"]


def test_a_time_of_any_precision_and_zone_is_unix_seconds_and_comes_back():
    assert unix_time("2025-11-29T00:35:52.359237464-07:00") == unix_time("2025-11-29T07:35:52.359237Z")
    assert unix_time("2099-01-01") == 4070908800.0
    assert unix_time("soon") is None
    assert unix_time(iso_time(1_700_000_000.25)) == 1_700_000_000.25
