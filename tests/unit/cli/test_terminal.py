from __future__ import annotations

import io

import pytest

from ringmaster.cli import terminal


@pytest.mark.parametrize(
    "text",
    [
        *("\x1b[2J", "\x9b31m", "\x07", "\x00", "\x7f", "\r", "\x1b]0;title\x07", "\b"),
        *("\u202e", "\u2066", "\u200b", "\u200f", "\u061c", "\u2028", "\u2060", "\ufeff", "\U000e0041"),
    ],
)
def test_no_control_character_gets_through(text):
    shown = terminal.harmless(f"a{text}b")
    assert shown.startswith("a")
    assert shown.endswith("b")
    assert all(char.isprintable() for char in shown)


def test_text_keeps_its_lines_and_a_cell_does_not():
    assert terminal.harmless("a\n\tb") == "a\n\tb"
    assert terminal.one_line("a\n\tb") == "a  b"


def test_letters_of_any_script_stay():
    assert terminal.harmless("größer 日本 \N{GRINNING FACE}") == "größer 日本 \N{GRINNING FACE}"


def test_columns_line_up_by_cells_and_not_by_characters():
    lines = terminal.columns(None, [("日本", "x"), ("abcd", "y")], limit=None, flexible=None, is_coloured=False)
    assert lines == "日本  x\nabcd  y\n"


def test_the_flexible_column_gives_way_on_a_narrow_terminal():
    rows = [("id", "a" * 80, "end")]
    text = terminal.columns(None, rows, limit=40, flexible=1, is_coloured=False)
    assert len(text.rstrip("\n")) == 40
    assert "…  end" in text


def test_without_a_limit_nothing_is_cut():
    assert "a" * 300 in terminal.columns(None, [("a" * 300,)], limit=None, flexible=0, is_coloured=False)


def test_colour_does_not_move_a_column():
    rows = [("failed", "x"), ("ready", "y")]
    plain = terminal.columns(("A", "B"), rows, limit=None, flexible=None, is_coloured=False)
    coloured = terminal.columns(("A", "B"), rows, limit=None, flexible=None, is_coloured=True)
    for code in terminal.CODES.values():
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured.replace(terminal.RESET, "") == plain


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("environ", "is_wanted"),
    [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False), ({}, False)],
)
def test_colour_only_where_it_is_wanted(environ, is_wanted):
    assert terminal.is_colour_wanted(Terminal(), environ) is is_wanted


def test_no_colour_in_a_pipe():
    assert not terminal.is_colour_wanted(io.StringIO(), {"TERM": "xterm"})
