"""What is drawn while somebody waits, on a screen and a clock of the test's own."""

from __future__ import annotations

import io

import pytest

from ringmaster.cli import terminal
from ringmaster.cli.progress import ASCII_FRAMES, FRAMES, Progress, columns_of, frames_of, is_drawn_on, seconds
from tests.fakes.glass import Glass


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def make(columns=60, **options):
    glass, clock = Glass(columns), Clock()
    progress = Progress(glass, is_drawn=True, frames="*", columns=lambda: glass.columns, clock=clock, **options)
    return progress, glass, clock


def go(progress, clock, seconds):
    """Let time pass as whoever waits lets it: it comes back when it was told to, and not in between."""
    end = clock.now + seconds
    while (again_s := progress.tick()) is not None and clock.now + again_s <= end:
        assert again_s > 0, "it would never rest"
        clock.now += again_s
    clock.now = end


def test_what_is_over_at_once_is_never_drawn():
    progress, glass, clock = make()
    progress.step("a short step")
    go(progress, clock, 0.2)
    progress.close()
    assert glass.drawn == []


def test_a_line_says_the_step_and_how_long_it_takes():
    progress, glass, clock = make()
    progress.step("importing x.db")
    go(progress, clock, 7.0)
    assert glass.rows == ["* importing x.db  6s"]
    go(progress, clock, 65.0)
    assert glass.rows == ["* importing x.db  1m 11s"]
    progress.close()
    assert glass.rows == []


def test_it_is_drawn_ten_times_a_second_at_most_however_much_happens():
    progress, glass, clock = make()
    for number in range(1000):
        progress.step("one", count=(number, 1000))
        clock.now += 0.001
    assert len(glass.drawn) <= 8


def test_no_moment_shows_an_empty_line():
    progress, glass, clock = make()
    for words in ("a long step that is under way", "short", "a long step again"):
        progress.step(words)
        go(progress, clock, 3.0)
    assert len(glass.drawn) > 80
    assert all(seen.startswith("* ") and "\n" not in seen for seen in glass.drawn)


def test_another_step_begins_its_time_anew_and_more_of_the_same_does_not():
    progress, glass, clock = make()
    progress.step("gate", count=(0, 4))
    go(progress, clock, 5.0)
    progress.step("gate", count=(1, 4))
    go(progress, clock, 5.0)
    assert glass.rows == ["* gate  1 of 4, 25 %  9s"]
    progress.step("landing", ago_s=60.0)
    go(progress, clock, 1.0)
    assert glass.rows == ["* landing  1m 00s"]


def test_what_ends_at_a_known_time_is_counted_down():
    progress, glass, clock = make()
    progress.step("on trial", left_s=30.0)
    go(progress, clock, 12.95)
    assert glass.rows == ["* on trial  17s left"]
    go(progress, clock, 60.0)
    assert glass.rows == ["* on trial  0s left"]


def test_a_line_that_stays_goes_above():
    progress, glass, clock = make()
    progress.step("its gate")
    go(progress, clock, 2.0)
    progress.say("tests passed")
    progress.step("its gate: boot")
    go(progress, clock, 1.0)
    assert glass.rows == ["tests passed", "* its gate: boot  0s"]
    progress.close()
    assert glass.rows == ["tests passed"]


@pytest.mark.parametrize("columns", range(1, 60))
def test_no_window_is_too_narrow(columns):
    progress, glass, clock = make(columns)
    progress.step("what is under way for a while now", count=(1234, 5678))
    go(progress, clock, 3.0)
    assert len(glass.rows) <= 1, "it would scroll at each turn"
    progress.close()
    assert glass.rows == []


def test_wide_characters_take_two_cells():
    progress, glass, clock = make(20)
    progress.step("你好你好你好你好你好你好")
    go(progress, clock, 1.0)
    assert glass.rows == ["* 你好你好你好…  0s"]
    assert terminal.width(glass.rows[0]) == 19, "the last cell is left empty"


def test_a_window_that_gets_narrower_keeps_nothing_of_the_line():
    progress, glass, clock = make(60)
    progress.say("above")
    progress.step("a step with so many words that it fills the window")
    go(progress, clock, 1.0)
    for columns in (40, 17, 9, 60):
        glass.resize(columns)
        go(progress, clock, 0.5)
        assert glass.rows[0] == "above"
        assert len(glass.rows) == 2, glass.rows
    progress.close()
    assert glass.rows == ["above"]


def test_what_others_wrote_cannot_steer_the_terminal():
    progress, glass, clock = make()
    progress.step("\x1b[2Jgone\r\n")
    progress.say("\x1b]0;title\x07")
    go(progress, clock, 1.0)
    assert glass.rows == ["\\x1b]0;title\\x07", "* \\x1b[2Jgone\\x0d   0s"]


def make_plain(**options):
    out, clock = io.StringIO(), Clock()
    return Progress(out, is_drawn=False, clock=clock, **options), out, clock


def test_in_a_pipe_a_step_is_one_line_and_none_comes_twice():
    progress, out, clock = make_plain()
    for words in ("queued", "queued", "at work", "at work", "gate"):
        progress.step(words)
        go(progress, clock, 5.0)
    progress.close()
    assert out.getvalue() == "queued\nat work\ngate\n"


def test_in_a_pipe_a_step_of_less_than_a_second_is_not_told():
    progress, out, clock = make_plain()
    progress.step("reading")
    go(progress, clock, 0.9)
    progress.step("writing")
    go(progress, clock, 0.5)
    progress.close()
    assert out.getvalue() == ""
    assert progress.tick() is None, "nothing is left to come back for"


def test_silence_is_kept():
    progress, out, clock = make_plain(is_silent=True)
    progress.step("reading")
    progress.say("a line")
    go(progress, clock, 5.0)
    assert (out.getvalue(), progress.is_drawn) == ("", False)


def test_a_reader_that_is_gone_stops_nobody():
    class Gone(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    clock = Clock()
    progress = Progress(Gone(), is_drawn=True, clock=clock)
    progress.step("on and on")
    go(progress, clock, 5.0)
    progress.say("still")
    progress.close()


def test_a_terminal_without_a_language_of_its_own_gets_plain_lines():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert is_drawn_on(Terminal(), {"TERM": "xterm"})
    assert not is_drawn_on(Terminal(), {"TERM": "dumb"})
    assert not is_drawn_on(Terminal(), {})
    assert not is_drawn_on(io.StringIO(), {"TERM": "xterm"})


def test_columns_are_what_the_person_said_or_a_guess():
    assert columns_of(io.StringIO(), {"COLUMNS": "33"}) == 33
    assert columns_of(io.StringIO(), {"COLUMNS": "wide"}) == 80


@pytest.mark.parametrize(
    ("encoding", "frames"), [("utf-8", FRAMES), ("ascii", ASCII_FRAMES), ("latin-1", ASCII_FRAMES)]
)
def test_the_spinner_is_what_the_encoding_has(encoding, frames):
    assert frames_of(io.TextIOWrapper(io.BytesIO(), encoding=encoding)) == frames


@pytest.mark.parametrize(("value", "words"), [(-1, "0s"), (59.9, "59s"), (60, "1m 00s"), (3725, "1h 02m")])
def test_times_are_short(value, words):
    assert seconds(value) == words
