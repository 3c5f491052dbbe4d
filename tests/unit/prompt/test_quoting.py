from __future__ import annotations

import time

import pytest

from ringmaster.prompt.quoting import close_fences, fenced, one_line, quotable
from ringmaster.redaction.redactor import REDACTED


def test_a_key_broken_by_an_escape_is_found():
    key = "gh" + "p_" + "A1b2" * 4 + "\x1b[0m" + "A1b2" * 5
    assert quotable(key) == REDACTED


@pytest.mark.parametrize("text", ["```\nout\n```", "`````steps\n[]\n`````", "plain"])
def test_nothing_quoted_can_close_its_fence(text: str):
    first, *_, last = fenced(text).split("\n")
    assert first == last + "text"
    assert last not in text


@pytest.mark.parametrize(
    ("text", "is_open"),
    [
        ("```\na", True),
        ("```\na\n```", False),
        ("````\n```\n", True),
        ("~~~ x\n```\n~~~\n", False),
        ("plain", False),
    ],
)
def test_an_open_fence_is_closed(text: str, is_open: bool):
    assert (close_fences(text) != text) is is_open
    assert close_fences(close_fences(text)) == close_fences(text)


def test_one_line_is_one_bounded_line():
    assert one_line(" a\n\tb ") == "a b"
    assert len(one_line("x" * 1_000)) == 300


@pytest.mark.parametrize("piece", ["x", "\r", "\x1b]", "`", "://a:", "-----BEGIN PRIVATE KEY-----"])
def test_long_hostile_text_is_no_trap(piece: str):
    """Linear patterns take milliseconds here, a quadratic one minutes."""
    started = time.monotonic()
    quotable(piece * (300_000 // len(piece)))
    assert time.monotonic() - started < 5
