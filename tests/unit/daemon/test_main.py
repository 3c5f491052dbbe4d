"""The program's start, as far as it comes without an instance."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import msgspec
import pytest

from ringmaster.daemon.boot import Boot
from ringmaster.daemon.handoff import Document, put_document
from ringmaster.daemon.main import main
from ringmaster.settings import DaemonSettings, Settings
from tests.fakes.boot_handle import Handle


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


class BegunError(Exception):
    """The daemon would run now."""


@pytest.mark.parametrize("is_known", [True, False])
def test_settings_that_were_broken_since_are_those_of_the_image_before(
    is_known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text("[daemon]\ndrain_s = 'soon'\n")
    settings = Settings(daemon=DaemonSettings(drain_s=3.0))
    seen: list[Settings] = []

    def open_boot(paths: object, settings: Settings, *given: object, **more: object) -> Boot:
        seen.append(settings)
        raise BegunError

    monkeypatch.setattr("ringmaster.daemon.main.open_boot", open_boot)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    document = Document(settings=msgspec.to_builtins(settings) if is_known else {})
    handle = Handle(2, put_document(document))
    try:
        if is_known:
            with pytest.raises(BegunError):
                main(["-s", str(tmp_path)], handle)
            assert seen == [settings]
        else:
            assert main(["-s", str(tmp_path)], handle) == 2
            assert "drain_s" in capsys.readouterr().err
    finally:
        os.close(handle.take_handoff())


def test_what_cannot_run_on_trial_gives_the_stub_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.toml").write_text("[daemon]\ndrain_s = 'soon'\n")
    monkeypatch.setattr(os, "environ", os.environ.copy())
    handle = Handle(2, put_document(Document()), is_trial=True)
    try:
        with pytest.raises(SystemExit, match="drain_s"):
            main(["-s", str(tmp_path)], handle)
    finally:
        os.close(handle.take_handoff())
