"""Cleaning and redacting whole texts."""

from __future__ import annotations

import base64
import json

import pytest

from ringmaster.output.rendering import LinesRenderer
from ringmaster.redaction.cleaning import clean
from ringmaster.redaction.redactor import KNOWN_FORMS, REDACTED, Redactor

redact = KNOWN_FORMS.redact
VALUE = 'correct "horse" \\ stäple/battery'


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


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\x9b31mb\u009d0;title\x9cc", "abc"),
        ("\x1bP1;2|payload\x1b\\text\x1b_apc\x07", "text"),
        ("\x1b]52;c;aGVsbG8=\x07copied", "copied"),
        ("\x1b]never ended\nnext", "never ended\nnext"),
        ("\x1b(B\x1bc\x1b7\x1b[?25lx", "x"),
        ("\x1b[\x1b[0m31mx", "31mx"),
        ("\u061cab\u2028c\u2066d", "abcd"),
    ],
)
def test_no_control_of_any_standard_gets_through(text: str, seen: str):
    assert clean(text) == seen


@pytest.mark.parametrize(
    "written",
    [
        VALUE,
        json.dumps(VALUE),
        json.dumps(VALUE, ensure_ascii=False),
        json.dumps(json.dumps(VALUE)),
        "".join(f"\\u{ord(letter):04x}" for letter in VALUE),
        VALUE.replace("/", "\\/"),
        base64.b64encode(VALUE.encode()).decode(),
        "correct%20%22horse%22%20%5C%20st%C3%A4ple%2Fbattery",
        "correct%20%22horse%22%20%5c%20st%c3%a4ple/battery",
        "correct+%22horse%22+%5C+st%C3%A4ple%2Fbattery",
        "correct &quot;horse&quot; \\ stäple/battery",
        VALUE[:4] + "\u200d\ufe0f" + VALUE[4:],
    ],
)
def test_a_value_is_found_however_it_is_written(written: str):
    shown = Redactor([VALUE]).redact(f"before {written} after")
    assert REDACTED in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    # Quotes around it stay, escaped ones too.
    assert len(shown) <= len("before  after") + len(REDACTED) + 6


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
def test_a_value_is_found_within_longer_base64(before: str):
    encoded = base64.b64encode(f"{before}0123-secret-value-9876 and more".encode()).decode()
    shown = Redactor(["0123-secret-value-9876"]).redact(f"x {encoded} y")
    before_it, mark, after_it = shown.removeprefix("x ").partition(REDACTED)
    assert mark
    # At either edge one character may tell bits of its neighbour's byte.
    assert len(before_it) <= len(before) * 4 / 3 + 2
    assert len(after_it) <= len(" and more") * 4 / 3 + 6


def test_each_line_of_a_value_counts_and_short_words_do_not():
    redactor = Redactor(["first line\n  second line\nok", "short"])
    assert redactor.redact("ok: second line, short") == f"ok: {REDACTED}, short"


@pytest.mark.parametrize("escaped", ["\\u0067hp_", "gh\\u0070_", "\\ngh" + "p_", "gh\\u001b[0mp_", "gh\\u200bp_"])
def test_a_key_hidden_by_escapes_of_json_is_found(escaped: str):
    line = '{"text": "' + escaped + "A1b2" * 9 + '", "n": 1}'
    shown = redact(line)
    assert "A1b2" not in shown
    assert json.loads(shown)["n"] == 1


def test_a_block_that_does_not_end_goes_as_far_as_it_looks_like_one():
    begin = "-----BEGIN PRIVATE " + "KEY-----"
    assert redact(f"{begin}\nAAAA\nBBBB\n** words **") == f"{REDACTED}** words **"
    assert redact(f'grep "{begin}" file') == f'grep "{REDACTED}" file'


def test_words_that_only_begin_like_keys_stay():
    text = "task-list, risk-free, sk-short, Bearer of news, http://host:80/"
    assert redact(text) == text


def test_values_that_begin_alike_or_hold_one_another_are_taken_out_whole():
    redactor = Redactor(["it's a key", "value-of", "value-of-one", "value-of-one-and-two", "one-and-two!"])
    shown = redactor.redact("a value-of-one-and-two b value-of-one c value-of-one-and-two! d 'it'\\''s a key'")
    assert shown == f"a {REDACTED} b {REDACTED} c {REDACTED} d '{REDACTED}'"


@pytest.mark.parametrize("broken", ["\x1b[", "\x1b[ ", "\x9b", "\x1b[1;", "\x1b", "\x1b("])
def test_a_sequence_that_is_broken_off_hides_no_beginning_of_a_key(broken: str):
    key = "gh" + "p_" + "A1b2" * 9
    assert "A1b2" not in KNOWN_FORMS.shown(f"a {broken}{key} b")
    for size in (4, 30, 100):
        renderer, data, at, end, shown = LinesRenderer(KNOWN_FORMS), f"a {broken}{key} b\n".encode(), 0, 0, ""
        while at < len(data):
            end = min(len(data), end + size)
            rendered = renderer.take(data[at:end], is_last=end == len(data), is_due=True)
            shown += rendered.text
            at += rendered.length
        assert "A1b2" not in shown
        assert shown.endswith(" b\n")
