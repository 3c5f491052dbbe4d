from __future__ import annotations

import io
import sys

import pytest

from ringmaster.cli.inputs import keyed, read_text, split_words
from ringmaster.model.errors import ErrorKind, RingmasterError


@pytest.fixture
def stdin(monkeypatch):
    """What stdin holds."""

    def hold(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return hold


def test_text_comes_from_the_argument():
    assert read_text("words", None) == "words"
    assert read_text(None, None) == ""


def test_a_dash_is_stdin(stdin):
    stdin("größer\n".encode())
    assert read_text("-", None) == "größer\n"


def test_a_dash_for_the_file_is_stdin_too(stdin):
    stdin(b"x")
    assert read_text(None, "-") == "x"


def test_text_comes_from_a_file(tmp_path):
    (tmp_path / "f").write_text("from a file\n")
    assert read_text(None, str(tmp_path / "f")) == "from a file\n"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RingmasterError, match=r"cannot read .*missing: No such file") as caught:
        read_text(None, str(tmp_path / "missing"))
    assert caught.value.kind is ErrorKind.USAGE


def test_bytes_that_are_no_text_are_refused(stdin):
    stdin(b"ab\xff")
    with pytest.raises(RingmasterError, match="no UTF-8 text \\(byte 2\\)"):
        read_text("-", None)


def test_words_repeat_and_split():
    assert split_words(("a, b", "", "c")) == ("a", "b", "c")


def test_a_repeated_key_gathers():
    assert keyed(("setup=a", "setup=b=c", "max-running=3")) == {"setup": ["a", "b=c"], "max_running": ["3"]}


def test_what_is_no_pair_is_refused():
    with pytest.raises(RingmasterError, match="'gate' is no key=value"):
        keyed(("gate",))
