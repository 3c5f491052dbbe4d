"""`rmctl man` on a terminal, in a pipe and into a file."""

from __future__ import annotations

import os
from pathlib import Path

from tests.fakes.rmctl import Rmctl

MAN = '#!/bin/sh\n[ "$*" = "-l -" ] || exit 9\nprintf "shown: "; head -n 1\nexit "${FAILS:-0}"\n'


def make_rmctl(tmp_path: Path) -> Rmctl:
    (tmp_path / "man").write_text(MAN)
    (tmp_path / "man").chmod(0o755)
    return Rmctl(None, {"PATH": f"{tmp_path}:{os.environ['PATH']}"})


def test_on_a_terminal_man_shows_it(tmp_path):
    rmctl = make_rmctl(tmp_path)
    assert rmctl.on_terminal("man").out.startswith('shown: .TH "RMCTL" 1')
    # Where man cannot, as in a slimmed-down system, the text is shown all the same.
    rmctl.environ["FAILS"] = "3"
    assert "EXIT STATUS" in rmctl.on_terminal("man").out


def test_in_a_pipe_it_is_plain_text(tmp_path):
    ended = make_rmctl(tmp_path)("man")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("NAME\n       rmctl - run coding agents")
    assert "\\" not in ended.out


def test_it_is_written_where_asked_for(tmp_path):
    rmctl = make_rmctl(tmp_path)
    target = tmp_path / "rmctl.1"
    ended = rmctl("man", "--to", str(target))
    assert ended.code == 0
    assert target.read_text() == rmctl("man", "--to", "-").out
    assert f"man -l {target}" in ended.err
    refused = rmctl("man", "--to", str(tmp_path / "no" / "where"))
    assert (refused.code, refused.err.count("\n")) == (2, 1)
