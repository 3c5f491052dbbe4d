"""What is shown of output, however its bytes come in pieces."""

from __future__ import annotations

import base64
import json
import random
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringmaster.agents.registry import BUILT_IN
from ringmaster.output.rendering import (
    LINE_BYTES,
    LINE_PIECE_BYTES,
    LOOK_BACK,
    STEP_TEXT,
    LinesRenderer,
    Rendered,
    StepsRenderer,
)
from ringmaster.redaction.lines import LineRedactor
from ringmaster.redaction.redactor import REDACTED, Redactor

VALUE = 'vault "p4ss" wörd'
KEYS = ("gh" + "p_" + "A1b2" * 9, "sk-" + "ant-" + "Zz9" * 12, "AK" + "IA" + "QWERTYUIOPASDFGH", VALUE)
BLOCK = "-----BEGIN RSA PRIVATE " + "KEY-----\n" + "q7Qq7Q\n" * 3 + "q7Qq7Q==\n" + "-----END RSA PRIVATE " + "KEY-----"
REDACTOR = Redactor([VALUE])
COMMAND = BUILT_IN["command"]


def render(data: bytes, cuts: list[int], dues: int = 0, before: bytes = b"") -> str:
    """All of the data, given up to each of the cuts in turn; a bit of `dues` says that a line has waited."""
    renderer = LinesRenderer(REDACTOR, before)
    text, at = "", 0
    ends = [*sorted({min(cut, len(data)) for cut in cuts}), len(data)]
    for number, end in enumerate(ends):
        is_last = number == len(ends) - 1
        found = renderer.take(data[at:end], is_last=is_last, is_due=bool(dues >> number & 1))
        assert 0 <= found.length <= end - at
        assert found.is_partial == (found.length > 0 and not is_last and data[at + found.length - 1 :][:1] != b"\n")
        at, text = at + found.length, text + found.text
    assert at == len(data)
    return text


def hide(key: str, how: int) -> str:
    """The key as an output might hold it."""
    middle = len(key) // 2
    return (
        key,
        key[:middle] + "\x1b[1m" + key[middle:],
        json.dumps({"a": ["\n" + key]}),
        json.dumps(key[:middle] + "\x1b[1m" + key[middle:]),
        '"' + "".join(f"\\u{ord(letter):04x}" for letter in key) + '"',
        key[:middle] + "\x9b0m\u200b" + key[middle:],
        "\x1b]8;;http://x\x07" + key + "\x1b]8;;\x07",
        base64.b64encode(VALUE.encode()).decode(),
    )[how]


PLAIN = st.text('ab g\n\r-:/\\"{é日', max_size=30)
PLANTED = st.builds(hide, st.sampled_from(KEYS), st.integers(0, 7)) | st.just(BLOCK)
CUTS = st.lists(st.integers(0, 700), max_size=12)


@given(st.lists(st.tuples(PLAIN, PLANTED), min_size=1, max_size=4), PLAIN, CUTS, st.integers(0, 4095))
def test_no_key_comes_through_however_the_output_is_cut(parts, last, cuts, dues):
    data = "".join(f"{plain} {key} " for plain, key in parts).encode() + last.encode()
    text = render(data, cuts, dues)
    assert REDACTED in text
    for key in KEYS:
        assert key not in text
        assert key[6:-6] not in text
        assert json.dumps(key)[5:-5] not in text
    assert "q7Qq7Q" not in text
    assert "\\u0041\\u0031" not in text
    assert base64.b64encode(VALUE.encode()).decode()[3:-3] not in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b]", text)


@given(
    st.binary(max_size=300) | st.text("ab\n\x1b[]0m;\x07é日\x9b gs-", max_size=300).map(str.encode), CUTS, st.integers()
)
def test_texts_joined_are_the_text_of_the_whole(data, cuts, dues):
    data = data.replace(b"\r", b"")
    assert render(data, cuts, dues & 4095) == render(data, [])


@given(st.lists(PLANTED, min_size=1, max_size=3), st.integers(0, 600))
def test_whoever_begins_within_a_key_shows_nothing_of_its_rest(keys, start):
    data = ("x\n" + " ".join(keys) + " end\n").encode()
    start = min(start, len(data))
    text = render(data[start:], [], before=data[:start])
    for key in KEYS:
        assert key[6:-6] not in text
    assert "q7Qq7Q" not in text


def test_a_key_block_goes_line_by_line_and_ends_after_a_hundred():
    text = render(f"a\n{BLOCK} b\nc\n".encode(), [])
    assert text.split("\n") == ["a", *[REDACTED] * 5, f"{REDACTED} b", "c", ""]
    begin = BLOCK.split("\n")[0]
    lines = render((begin + "\n" + "line\n" * 150).encode(), []).split("\n")
    assert lines == [REDACTED] * 100 + ["line"] * 51 + [""]


def test_a_long_line_goes_out_in_pieces_and_a_key_at_their_edge_is_found():
    key = KEYS[0]
    data = b"y " * (LINE_PIECE_BYTES - 8) + key.encode() + b" " + b"z" * 2 * LINE_BYTES
    renderer = LinesRenderer(REDACTOR)
    assert renderer.take(data[:LINE_BYTES], is_last=False) == Rendered(0)
    first = renderer.take(data[: LINE_BYTES + 2], is_last=False)
    assert (first.length, first.is_partial) == (LINE_PIECE_BYTES, True)
    # Once begun it goes on by as much as is looked at at once, up to the key, which the edge would cut in two.
    second = renderer.take(data[first.length : LINE_BYTES], is_last=False)
    assert LINE_PIECE_BYTES - 20 < second.length < LINE_PIECE_BYTES
    done = first.length + second.length
    rest = renderer.take(data[done:], is_last=True)
    assert (rest.length, rest.is_partial) == (len(data) - done, False)
    assert first.text + second.text + rest.text == data.decode().replace(key, REDACTED)


@pytest.mark.parametrize("letter", ["\r", "\\", "\x1b", "ey", "-", "\x1b]x", "\u200d", "://"])
def test_however_long_a_line_is_no_turn_looks_at_much_of_it(letter: str):
    data = (letter * (4 * LINE_BYTES)).encode()[: 4 * LINE_BYTES]
    renderer, at = LinesRenderer(REDACTOR), 0
    while at + LINE_BYTES + LINE_PIECE_BYTES < len(data):
        rendered = renderer.take(data[at : at + LINE_BYTES + LINE_PIECE_BYTES], is_last=False)
        assert 0 < rendered.length <= LINE_PIECE_BYTES
        at += rendered.length


def test_what_has_waited_goes_out_but_for_what_may_become_a_key():
    renderer = LinesRenderer(REDACTOR)
    assert renderer.take(b"Password: ", is_last=False) == Rendered(0)
    assert renderer.take(b"Password: ", is_last=False, is_due=True) == Rendered(10, "Password: ", is_partial=True)
    assert renderer.take(b"gh", is_last=False, is_due=True) == Rendered(0)
    assert renderer.take(b"ghost\nx", is_last=False) == Rendered(6, "ghost\n")


def test_a_line_that_is_rewritten_in_pieces_goes_on_below():
    renderer = LinesRenderer(REDACTOR)
    assert renderer.take(b"10%", is_last=False, is_due=True).text == "10%"
    assert renderer.take(b"\r50%\r100%\n", is_last=True).text == "\n100%\n"


def test_bytes_that_are_no_text_are_shown_as_such():
    assert (
        render(b"\xff\xe2\x82 \x00ok\xe2\x82\xac\n\xf0\x9f", [1, 2, 3, 8, 9]) == "\ufffd\ufffd\ufffd ok€\n\ufffd\ufffd"
    )


@pytest.mark.parametrize("size", [3, STEP_TEXT, 2 * STEP_TEXT - 20, 2 * STEP_TEXT + 5, 100_000])
def test_steps_are_redacted_each_by_its_strings_and_bounded(size):
    said = "x " * (size // 2) + KEYS[0]
    line = json.dumps({"type": "result", "status": "succeeded", "summary": said}).encode() + b"\n"
    found = StepsRenderer(REDACTOR, COMMAND).take(line + b"half", is_last=False)
    assert found.length == len(line)
    (step,) = found.steps
    assert step.text.startswith("succeeded: x")
    assert "A1b2" not in step.text
    assert len(step.text) <= STEP_TEXT + 1


def test_steps_of_a_key_block_over_several_lines_show_none_of_it():
    data = f"a\n{BLOCK}\nb".encode()
    found = StepsRenderer(REDACTOR, COMMAND).take(data, is_last=True)
    assert [step.text for step in found.steps] == ["a", *[REDACTED] * 6, "b"]
    start = data.index(b"q7Q")
    later = StepsRenderer(REDACTOR, COMMAND, data[:start]).take(data[start:], is_last=True)
    assert "q7Q" not in "".join(step.text for step in later.steps)


@pytest.mark.parametrize(
    "piece", ["x", "\r", "\x1b]", "\x9d", "://a:", "ghp_AAAA", "\\", "\\u0067", "-----BEGIN PRIVATE " + "KEY-----|"]
)
def test_long_hostile_output_is_no_trap(piece):
    """Linear patterns take milliseconds here, a quadratic one minutes."""
    data = (piece * LOOK_BACK).encode()[: 3 * LOOK_BACK]
    started = time.monotonic()
    renderer = LinesRenderer(REDACTOR)
    renderer.take(data, is_last=False, is_due=True)
    LinesRenderer(REDACTOR).take(data + b"\n", is_last=False)
    assert time.monotonic() - started < 5


def test_a_turn_that_is_to_be_brief_takes_a_piece_also_of_a_line_that_ends():
    data = b"y " * LINE_BYTES + b"\nnext\n" + b"z" * LINE_BYTES
    renderer, at, text, lengths = LinesRenderer(REDACTOR), 0, "", []
    while at < len(data):
        rendered = renderer.take(data[at:], is_last=True, is_brief=True)
        lengths.append(rendered.length)
        text += rendered.text
        at += rendered.length
    assert text == data.decode()
    # The first takes the lines that are whole with it.
    assert max(lengths[1:]) <= LINE_PIECE_BYTES


def test_lines_around_and_between_key_blocks_are_redacted_as_one_by_one():
    begin, end = BLOCK.split("\n")[0], BLOCK.split("\n")[-1]
    some = [begin, end, "", "a", f"x {KEYS[0]} y", f"{begin} and more", f"z {end} {KEYS[0]}", "PRIVATE KEY"]
    rng = random.Random(4)
    for _ in range(200):
        lines = rng.choices(some, k=rng.randint(1, 12))
        one_by_one, together = LineRedactor(REDACTOR), LineRedactor(REDACTOR)
        assert together.redact_lines("\n".join(lines)) == "\n".join(one_by_one.redact_line(line) for line in lines)


@pytest.mark.parametrize("writing", ["\\u{:04x}", "\\\\u{:04x}", "\\\\\\\\u{:04x}"])
def test_a_piece_that_ends_within_an_escape_of_json_shows_nothing_of_a_value(writing: str):
    data = ("say " + "".join(writing.format(ord(letter)) for letter in VALUE) + " on\n").encode()
    for size in range(1, 14):
        renderer, at, end, shown = LinesRenderer(REDACTOR), 0, 0, ""
        while at < len(data):
            end = min(len(data), end + size)
            rendered = renderer.take(data[at:end], is_last=end == len(data), is_due=True)
            shown += rendered.text
            at += rendered.length
        assert shown == f"say {REDACTED} on\n"
