"""Which state, which words: what is settled before anything is started."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.selfhost.main import main, make_screen
from ringmaster.selfhost.preparing import find_site, wanted_config


@pytest.mark.parametrize(("argv", "agent"), [(["bogus"], ""), ([], "bogus")])
def test_an_unknown_word_is_refused(
    argv: list[str], agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("AGENT", agent)
    assert main(argv, tmp_path) == 2
    assert "bogus" in capsys.readouterr().err


def test_a_target_makes_this_checkout_the_project_and_never_moves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    clone, own = find_site(Path("/checkout"), ""), find_site(Path("/checkout"), "main")
    assert (clone.branch, own.branch) == ("selfhost", "main")
    assert clone.repository == tmp_path / "ringmaster" / "selfhost" / "clones" / "ringmaster"
    assert own.repository == Path("/checkout")
    assert clone.project_id != own.project_id
    assert wanted_config(own)["update_checkout"] == "never"
    assert wanted_config(clone)["update_checkout"] == "clean"
    assert wanted_config(clone)["gate"] == wanted_config(own)["gate"] == "make gate"


def test_commands_of_the_daemon_are_told_so_that_they_work_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    site = find_site(Path("/checkout"), "")
    assert site.rmctl == "/checkout/bin/rmctl -s selfhost"
    assert site.in_place("see: rmctl show x") == "see: /checkout/bin/rmctl -s selfhost show x"
    assert site.in_place("see: rmctl -s selfhost show x") == "see: /checkout/bin/rmctl -s selfhost show x"
    assert site.in_place(f"see: {site.rmctl} show x") == f"see: {site.rmctl} show x"
    assert site.in_place("what this rmctl expects") == "what this rmctl expects", "words about it are no command"


def test_a_state_whose_socket_would_not_fit_is_refused_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/" + "x" * 120)
    with pytest.raises(RingmasterError, match="socket path") as caught:
        find_site(Path("/checkout"), "")
    assert caught.value.kind is ErrorKind.USAGE


def test_a_title_in_letters_that_the_terminal_lacks_is_spelled_out(monkeypatch: pytest.MonkeyPatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1", errors="strict"))
    make_screen().words("Café …")
    assert raw.getvalue() == b"Caf\xe9 \\u2026\n"
