from __future__ import annotations

import time

import pytest

from ringmaster.cli.clock import duration, local_time, parse_duration, parse_since, parse_when, rfc3339
from ringmaster.model.errors import ErrorKind, RingmasterError

NOW = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _in_kathmandu(monkeypatch):
    """A zone that is neither UTC nor whole hours from it."""
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_programs_get_utc_to_the_millisecond():
    assert rfc3339(NOW + 0.0996) == "2027-01-15T08:00:00.100Z"


def test_rounding_up_to_a_full_second_carries():
    assert rfc3339(NOW + 0.9996) == "2027-01-15T08:00:01.000Z"


def test_people_get_their_own_clock():
    assert local_time(NOW, NOW) == "13:45:00"


def test_another_day_gets_its_date():
    assert local_time(NOW - 86400, NOW) == "2027-01-14 13:45"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5s", 1.5), ("15m", 900), ("1h30m", 5400), ("2d", 172800), ("1w", 604800)]
)
def test_durations_as_people_write_them(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5", "5x", "1 h", "٣s"])
def test_what_is_no_duration_is_refused_with_an_example(text):
    with pytest.raises(RingmasterError) as caught:
        parse_duration(text)
    assert caught.value.kind is ErrorKind.USAGE
    assert "15m" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("15m", NOW - 900),
        ("99999999999d", 0.0),
        ("2027-01-15T08:00:00Z", NOW),
        ("2027-01-15T08:00:00.250Z", NOW),
        ("2027-01-15 13:45", NOW),
        ("2027-01-15", NOW - (13 * 60 + 45) * 60),
    ],
)
def test_since_takes_durations_utc_and_local_times(text, at):
    assert parse_since(text, NOW) == at


def test_what_is_no_time_is_refused():
    with pytest.raises(RingmasterError, match="is no time"):
        parse_since("yesterday", NOW)


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0.0s"), (1.26, "1.3s"), (65, "1m 5s"), (3600, "1h"), (200_000, "2d 7h")]
)
def test_a_length_of_time_in_two_units(seconds, words):
    assert duration(seconds) == words


def test_a_time_to_come_is_a_duration_from_now_or_a_date():
    assert parse_when("2h", NOW) == NOW + 7200
    assert parse_when("2027-01-15T08:00:00Z", 0.0) == NOW
    with pytest.raises(RingmasterError, match="no time"):
        parse_when("soon", NOW)


@pytest.mark.parametrize("text", ["99999999999d", "9" * 400 + "d", "3001-01-01", "1970-01-01"])
def test_a_time_that_is_a_slip_of_the_finger_is_refused(text: str):
    with pytest.raises(RingmasterError, match=r"is no time( between 1970 and 3000)?$"):
        parse_when(text, 1_800_000_000.0)
