from __future__ import annotations

import time

import pytest

from ringmaster.prompt.quoting import REDACTED, clean, close_fences, fenced, one_line, quotable, redact


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("10%\r20%\r100%\nnext", "100%\nnext"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("bell\x07 nul\x00 tab\t", "bell nul tab\t"),
        ("over\u202eride zero\u200bwidth \ufefftag\U000e0041", "override zerowidth tag"),
        ("lone \ud800 surrogate", "lone  surrogate"),
        ("naïve 日本 👩‍🚀", "naïve 日本 👩‍🚀"),
    ],
)
def test_what_cannot_be_seen_is_taken_out(text: str, seen: str):
    assert clean(text) == seen


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-" + "api03-" + "a" * 24,
        "gh" + "p_" + "A1b2" * 9,
        "github" + "_pat_" + "a1" * 20,
        "AK" + "IA" + "ABCDEFGHIJKLMNOP",
        "xox" + "b-1234567890-abc",
        "AI" + "za" + "x" * 35,
    ],
)
def test_keys_of_known_forms_are_taken_out(secret: str):
    assert redact(f"KEY={secret} rest") == f"KEY={REDACTED} rest"


def test_headers_urls_and_private_keys_are_taken_out():
    assert redact("Authorization: Bearer abcdefghijklmnop") == f"Authorization: Bearer {REDACTED}"
    assert redact("https://me:hunter2@host/x") == f"https://{REDACTED}@host/x"
    key = "-----BEGIN RSA PRIVATE " + "KEY-----\nabc\n-----END RSA PRIVATE " + "KEY-----"
    assert redact(f"a\n{key}\nb") == f"a\n{REDACTED}\nb"


def test_a_key_broken_by_an_escape_is_found():
    key = "gh" + "p_" + "A1b2" * 4 + "\x1b[0m" + "A1b2" * 5
    assert quotable(key) == REDACTED


def test_words_that_only_begin_like_keys_stay():
    text = "task-list, risk-free, sk-short, Bearer of news, http://host:80/"
    assert redact(text) == text


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
