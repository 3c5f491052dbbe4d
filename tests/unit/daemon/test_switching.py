"""What a switch writes before it executes, and what is left where that is impossible."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from ringmaster.daemon.boot import Boot
from ringmaster.daemon.handoff import Document
from ringmaster.daemon.switching import Switch, execute
from ringmaster.proc.identity import ProcessIdentity, own_identity
from ringmaster.reload.boot_record import BootRecord, Image, begin_trial, read_record, write_record
from ringmaster.reload.release import STUB
from ringmaster.settings import DaemonSettings, Paths, Settings

GOOD, OTHER = (Image(number, f"r{number}", f"d{number}", "/no/such/python") for number in (1, 2))
RECORD = BootRecord(good=GOOD)


@pytest.fixture
def boot(tmp_path: Path) -> Iterator[Boot]:
    paths = Paths(name="test", state=tmp_path, socket=tmp_path / "s.sock", config=tmp_path / "config.toml")
    for image in (GOOD, OTHER):
        stub = image.release_in(tmp_path).root / STUB
        stub.parent.mkdir(parents=True)
        stub.touch()
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    with socket.socket(socket.AF_UNIX) as listener:
        yield Boot(
            paths, Settings(), lock, listener, None, ("/usr/bin/ringmasterd",), ("-s", "x"), environ={"LISTEN_FDS": "1"}
        )
    os.close(lock)


def make_switch(image: Image = OTHER, *, keeper: ProcessIdentity | None = None, why_bad: str = "") -> Switch:
    settings = Settings(daemon=DaemonSettings(drain_s=3.0))
    document = Document(settings=msgspec.to_builtins(settings))
    return Switch(image, not why_bad, 10.0, document, (), keeper, why_bad, 5.0)


class Seen:
    """What an `execve` that fails found."""

    def __init__(self, state: Path, boot: Boot) -> None:
        self.record: BootRecord | None = None
        self.environ: dict[str, str] = {}
        self.inheritable: list[bool] = []
        self.stub = ""
        self._state, self._boot = state, boot

    def execve(self, program: str, argv: list[str], environ: dict[str, str]) -> None:
        self.record, self.environ, self.stub = read_record(self._state), environ, argv[2]
        self.inheritable = [os.get_inheritable(fd) for fd in (self._boot.lock_fd, self._boot.listener.fileno())]
        raise PermissionError(13, "Permission denied", program)


def run(boot: Boot, switch: Switch, monkeypatch: pytest.MonkeyPatch) -> tuple[Seen, str]:
    seen = Seen(boot.paths.state, boot)
    monkeypatch.setattr(os, "execve", seen.execve)
    return seen, execute(boot, switch)


def test_a_trial_is_in_the_record_uncounted_while_it_is_executed_and_not_where_that_failed(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(boot.paths.state, RECORD)
    open_before = set(os.listdir("/proc/self/fd"))
    seen, refused = run(boot, make_switch(), monkeypatch)
    assert "Permission denied" in refused
    assert seen.record is not None
    assert seen.record.trial is not None
    assert (seen.record.trial.image, seen.record.trial.boots) == (OTHER, 0)
    assert seen.inheritable == [True, True]
    assert read_record(boot.paths.state) == RECORD
    assert not os.get_inheritable(boot.lock_fd)
    assert not boot.listener.get_inheritable()
    assert set(os.listdir("/proc/self/fd")) == open_before


def test_the_next_image_gets_what_this_one_was_given_and_what_it_holds(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(boot.paths.state, RECORD)
    keeper = own_identity()
    seen, _ = run(replace(boot, owns_socket=True), make_switch(keeper=keeper), monkeypatch)
    assert seen.environ == {
        "RINGMASTER_LOCK_FD": str(boot.lock_fd),
        "RINGMASTER_LISTENER_FD": str(boot.listener.fileno()),
        "RINGMASTER_PROGRAM": '["/usr/bin/ringmasterd"]',
        "RINGMASTER_CONTINUED": str(os.getpid()),
        "RINGMASTER_OWNS_SOCKET": "1",
        "RINGMASTER_KEEPER": f"{keeper.pid}:{keeper.start_time}",
    }


def test_a_trial_that_is_left_for_the_good_one_is_in_the_record_as_failed(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_trial = begin_trial(RECORD, OTHER, "boot", 10.0)
    write_record(boot.paths.state, on_trial)
    seen, _ = run(boot, make_switch(GOOD, why_bad="too slow"), monkeypatch)
    assert seen.record is not None
    assert [(one.generation, one.reason, one.at) for one in seen.record.failed] == [(2, "too slow", 5.0)]
    assert (seen.record.good, seen.record.trial) == (GOOD, None)
    assert read_record(boot.paths.state) == on_trial


def test_who_goes_back_does_so_by_the_stub_of_what_is_gone_back_to(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is left may be damaged, and that the reason."""
    write_record(boot.paths.state, RECORD)
    (GOOD.release_in(boot.paths.state).root / STUB).unlink()
    seen, _ = run(boot, replace(make_switch(), is_trial=False), monkeypatch)
    assert seen.stub == str(OTHER.release_in(boot.paths.state).root / STUB)


def test_without_the_good_ones_stub_nothing_is_executed(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    write_record(boot.paths.state, RECORD)
    (GOOD.release_in(boot.paths.state).root / STUB).unlink()
    seen, refused = run(boot, make_switch(), monkeypatch)
    assert (seen.stub, read_record(boot.paths.state)) == ("", RECORD)
    assert "No such file or directory" in refused


def test_without_a_record_nothing_is_executed(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, refused = run(boot, make_switch(), monkeypatch)
    assert (seen.environ, refused) == ({}, "the boot record cannot be read")


def test_the_image_that_goes_on_has_all_that_it_has_become(boot: Boot) -> None:
    switch = make_switch(keeper=own_identity())
    taken = switch.take_up(boot, "no")
    assert (taken.settings.daemon.drain_s, taken.keeper, taken.is_continued) == (3.0, own_identity(), True)
    assert taken.document is not None
    assert taken.document.refused == "no"
