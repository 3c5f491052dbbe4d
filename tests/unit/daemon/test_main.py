"""The program's start, as far as it comes without an instance."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from ringmaster.daemon.main import main


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_without_a_home_it_goes_by_the_one_the_system_knows_or_says_what_is_missing(
    home: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    assert main(["--check", "-s", str(tmp_path)]) == 0
    # What it starts and looks for goes by the variable.
    assert os.environ["HOME"] == pwd.getpwuid(os.getuid()).pw_dir
    capsys.readouterr()
    os.environ["HOME"] = home or ""
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)
    assert main(["--check", "-s", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "ringmasterd: HOME is not set and the system knows no home of user 2147483641;"
        " set HOME to a directory of yours\n"
    )
