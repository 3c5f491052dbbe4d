"""What `make selfhost` shows: lines that stay, and on a terminal one below them about what is under way."""

from __future__ import annotations

import io
import threading

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.selfhost.screen import Screen
from tests.fakes.glass import Glass


class Watched(Glass):
    """Says when some words are on it."""

    def __init__(self, words: str) -> None:
        super().__init__(70)
        self.is_seen = threading.Event()
        self._words = words

    def write(self, text: str, /) -> int:
        size = super().write(text)
        if self._words in "\n".join(self.rows):
            self.is_seen.set()
        return size


def test_what_takes_long_is_named_while_it_goes_on_and_gone_afterwards():
    glass = Watched("starting the daemon  0s")
    screen = Screen(glass, is_terminal=True, columns=lambda: glass.columns)
    screen.fact("rmctl", "rmctl -s selfhost")
    assert screen.during("starting the daemon", lambda: glass.is_seen.wait(30))
    assert glass.rows == ["rmctl      rmctl -s selfhost"]


def test_what_it_raises_is_raised():
    def fail() -> None:
        raise RingmasterError(ErrorKind.UNREACHABLE, "no daemon")

    for is_terminal in (True, False):
        glass = Glass(70)
        with pytest.raises(RingmasterError, match="no daemon"):
            Screen(glass, is_terminal=is_terminal).during("starting the daemon", fail)
        assert glass.rows == []


def test_a_line_that_stays_takes_the_place_of_the_one_that_passes():
    glass = Glass(70)
    screen = Screen(glass, is_terminal=True, columns=lambda: glass.columns)
    screen.passing("agent at work", 61.0)
    assert glass.rows[0].endswith("agent at work  1m 01s")
    screen.detail("edit a.py")
    assert glass.rows == ["                     edit a.py"]


def test_in_a_pipe_only_what_stays_is_told():
    out = io.StringIO()
    screen = Screen(out, is_terminal=False)
    screen.passing("agent at work", 61.0)
    assert screen.during("measuring", lambda: 7) == 7
    screen.words("done")
    assert (out.getvalue(), screen.tick()) == ("done\n", None)
