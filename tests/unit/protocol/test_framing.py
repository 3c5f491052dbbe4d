"""Cutting bytes into lines, whatever way they were split on the road."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from ringmaster.protocol.framing import LineReader, Overlong


def read_all(reader: LineReader, pieces: list[bytes]) -> list[bytes | str]:
    lines = [line for piece in pieces for line in reader.feed(piece)]
    return ["overlong" if isinstance(line, Overlong) else line for line in lines]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8), st.integers(1, 20))
def test_how_bytes_are_split_changes_nothing(data, cuts, max_line):
    data = data.replace(b"\x07", b"\n") + b"\n"
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(edges)]
    expected = [
        "overlong" if len(line) > max_line else line
        for line in data.split(b"\n")[:-1]
        if len(line) > max_line or line.strip()
    ]
    reader = LineReader(max_line)
    assert read_all(reader, pieces) == expected
    assert not reader.has_partial


def test_an_overlong_line_is_reported_before_it_ends_and_held_no_longer():
    reader = LineReader(10)
    assert read_all(reader, [b"12345", b"678901"]) == ["overlong"]
    assert not reader.has_partial
    assert read_all(reader, [b"more of it", b" and its end\nnext\n"]) == [b"next"]


def test_a_line_of_exactly_the_bound_passes():
    assert read_all(LineReader(4), [b"1234\n", b"12345\n"]) == [b"1234", "overlong"]


def test_half_a_line_is_kept():
    reader = LineReader()
    assert reader.feed(b'{"a":') == []
    assert reader.has_partial
    assert reader.feed(b"1}\n") == [b'{"a":1}']


def test_blank_lines_are_no_documents():
    assert LineReader().feed(b"\n \r\n\t\n1\n") == [b"1"]
    assert LineReader().feed(b"\r\n") == []
