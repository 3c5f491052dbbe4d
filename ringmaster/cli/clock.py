"""Times and durations as people write and read them, and as programs do. Pure: `now` is a parameter."""

from __future__ import annotations

import re
import time

from ringmaster.model.errors import ErrorKind, RingmasterError

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+|\d+(?:\.\d+)?", re.ASCII)
PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)", re.ASCII)
FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d")


LAST_AT = 32_503_680_000.0
"""The year 3000: later ones are slips of the finger, and other programs cannot read them."""


def rfc3339(at: float) -> str:
    """Unix seconds as RFC 3339 in UTC, to the millisecond."""
    whole, milli = divmod(round(at * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milli:03d}Z"


def local_time(at: float | None, now: float) -> str:
    """Unix seconds in the reader's time zone: the clock alone for today, the date too otherwise."""
    if at is None:
        return ""
    then, today = time.localtime(at), time.localtime(now)
    if then[:3] == today[:3]:
        return time.strftime("%H:%M:%S", then)
    return time.strftime("%Y-%m-%d %H:%M", then)


def duration(seconds: float) -> str:
    """A length of time in its two largest units, `3m 5s`."""
    if seconds < 10:
        return f"{max(seconds, 0.0):.1f}s"
    left = round(seconds)
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])


def parse_duration(text: str) -> float:
    """Seconds of `90`, `90s`, `15m`, `1h30m`, `2d`.

    Raises:
        RingmasterError: USAGE for anything else.
    """
    if not DURATION.fullmatch(text):
        raise RingmasterError(ErrorKind.USAGE, f"{text!r} is no duration", "write 90, 90s, 15m, 1h30m or 2d")
    return sum(float(number) * UNITS_S[unit or "s"] for number, unit in PART.findall(text))


def parse_since(text: str, now: float) -> float:
    """Unix seconds of a duration before now, an RFC 3339 time, or a local date with or without a time.

    Raises:
        RingmasterError: USAGE for anything else.
    """
    if DURATION.fullmatch(text):
        # Longer ago than there is time is since ever.
        return max(0.0, now - parse_duration(text))
    return _parse_time(text)


def parse_when(text: str, now: float) -> float:
    """Unix seconds of a duration from now on, an RFC 3339 time, or a local date with or without a time.

    Raises:
        RingmasterError: USAGE for anything else.
    """
    at = now + parse_duration(text) if DURATION.fullmatch(text) else _parse_time(text)
    if not 0 < at <= LAST_AT:
        raise RingmasterError(ErrorKind.USAGE, f"{text[:40]!r} is no time between 1970 and 3000", "name a nearer one")
    return at


def _parse_time(text: str) -> float:
    if text.endswith(("Z", "z")):
        import calendar

        plain = text[:-1].partition(".")[0]
        for form in FORMS:
            try:
                return float(calendar.timegm(time.strptime(plain, form)))
            except ValueError:
                continue
    for form in FORMS:
        try:
            return time.mktime(time.strptime(text, form))
        except ValueError:
            continue
    raise RingmasterError(
        ErrorKind.USAGE, f"{text!r} is no time", "write 15m, 2h, 2026-11-22, '2026-11-22 09:30' or 2026-11-22T09:30:00Z"
    )
