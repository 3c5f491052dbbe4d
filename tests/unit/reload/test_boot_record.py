"""The boot record: its moves, its file, and that the stub and the package mean the same by it."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from ringmaster.reload.boot_record import (
    BootRecord,
    Failure,
    Image,
    begin_trial,
    drop_trial,
    exec_command,
    fail_trial,
    forget_failed,
    go_back,
    read_record,
    settle_good,
    write_record,
)
from ringmaster.settings import resolve_paths

STUB = Path(__file__).resolve().parents[3] / "bin" / "ringmasterd"
FIRST, SECOND, THIRD = (Image(n, f"{n:016x}", f"{n:064x}", f"/s/envs/{n}/bin/python") for n in (1, 2, 3))
GOOD = BootRecord(good=SECOND, before=FIRST)
ON_TRIAL = begin_trial(GOOD, THIRD, "a-boot", 15.0)


def load_stub() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("stub_under_test", str(STUB))
    spec = importlib.util.spec_from_file_location("stub_under_test", STUB, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    code = compile(STUB.read_text(), str(STUB), "exec")
    exec(code, module.__dict__)
    return module


def test_a_trial_becomes_good_and_the_good_one_the_one_before():
    assert ON_TRIAL.good == SECOND
    assert ON_TRIAL.trial is not None
    assert ON_TRIAL.trial.image == THIRD
    assert settle_good(ON_TRIAL) == BootRecord(good=THIRD, before=SECOND)
    assert settle_good(GOOD) == GOOD


def test_a_trial_that_failed_leaves_its_reason_and_the_good_one():
    failed = fail_trial(ON_TRIAL, "too slow", 7.0)
    assert failed == BootRecord(good=SECOND, before=FIRST, failed=(Failure(3, THIRD.release, "too slow", 7.0),))
    assert forget_failed(failed) == GOOD
    assert fail_trial(GOOD, "too slow", 7.0) == GOOD
    assert drop_trial(ON_TRIAL) == GOOD


def test_failures_that_nobody_takes_over_are_bounded():
    record = GOOD
    for now in range(50):
        record = fail_trial(begin_trial(record, THIRD, "b", 1.0), "again", float(now))
    assert [failure.at for failure in record.failed] == [float(now) for now in range(30, 50)]


def test_going_back_keeps_a_way_back_from_there():
    assert go_back(ON_TRIAL, FIRST) == BootRecord(good=FIRST, before=SECOND)
    assert go_back(GOOD, SECOND) == GOOD


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = fail_trial(ON_TRIAL, "why", 1.5)
    for written in (GOOD, ON_TRIAL, record, BootRecord(good=FIRST)):
        write_record(tmp_path, written)
        assert read_record(tmp_path) == written
    assert os.listdir(tmp_path) == ["boot.json"]
    assert (tmp_path / "boot.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff", b'{"format": 1}', None])
def test_an_unreadable_record_is_none(tmp_path, text):
    if text is None:
        write_record(tmp_path, msgspec.structs.replace(GOOD, format=2))
    else:
        (tmp_path / "boot.json").write_bytes(text)
    assert read_record(tmp_path) is None
    assert load_stub().read_record(tmp_path) is None


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path):
    write_record(tmp_path, GOOD)
    (tmp_path / "boot.json.tmp").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_record(tmp_path, ON_TRIAL)
    assert read_record(tmp_path) == GOOD


def test_the_stub_reads_and_writes_the_same_record(tmp_path):
    stub = load_stub()
    write_record(tmp_path, ON_TRIAL)
    found = stub.read_record(tmp_path)
    assert found == json.loads(msgspec.json.encode(ON_TRIAL))
    stub.try_write(tmp_path, stub.fail(found, "why"))
    written = read_record(tmp_path)
    assert written is not None
    assert written == fail_trial(ON_TRIAL, "why", written.failed[0].at)
    stub.try_write(tmp_path, stub.go_back(stub.read_record(tmp_path), "damaged"))
    written = read_record(tmp_path)
    assert written is not None
    assert (written.good, written.before) == (FIRST, None)
    assert [(failure.generation, failure.reason) for failure in written.failed] == [(3, "why"), (2, "damaged")]


def test_a_command_names_the_image_by_the_good_ones_stub(tmp_path):
    stub = f"{tmp_path}/releases/{SECOND.release}/bin/ringmasterd"
    assert exec_command(tmp_path, ON_TRIAL, THIRD, ["-s", "x"]) == [
        *(THIRD.python, "-I", stub, "--boot", "3", "--in", str(tmp_path), "--", "-s", "x")
    ]
    handed = exec_command(tmp_path, GOOD, SECOND, [], handoff_fd=7, kept_fds=[8, 9])
    assert handed == [
        *(SECOND.python, "-I", stub, "--boot", "2", "--in", str(tmp_path)),
        *("--handoff", "7", "--fds", "8,9", "--"),
    ]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["-s", "x"],
        ["-sx"],
        ["--state", "x.y-z_1"],
        ["--state=x"],
        ["--st", "x"],
        ["-s", "a", "-s", "b"],
        ["-s", ""],
        ["-s", "~/there"],
        ["-s", "./there/../here"],
        ["-s", "/there/"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("environ", [{}, {"RINGMASTER_STATE": "named"}, {"XDG_STATE_HOME": "/xdg"}, {"HOME": ""}])
def test_the_stub_looks_where_the_daemon_looks(words, environ, monkeypatch):
    for name in ("RINGMASTER_STATE", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/h")
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    stub = load_stub()
    name, asks = stub.read_words(words)
    found = stub.find_state(name)
    assert not asks
    # As ringmaster.daemon.main does after it has found the home.
    assert found == str(resolve_paths(_by_argparse(words), os.environ).state)


def _by_argparse(words: list[str]) -> str | None:
    from ringmaster.daemon.main import _parse

    state = _parse(words).state
    assert state is None or isinstance(state, str)
    return state


@pytest.mark.parametrize("name", [".hidden", "a b", "ü/"])
def test_the_stub_leaves_what_is_no_name_to_the_daemon(name, monkeypatch):
    monkeypatch.setenv("HOME", "/h")
    assert (load_stub().find_state(name) == "") is ("/" not in name)


@pytest.mark.parametrize("word", ["-h", "--help", "--he", "--check", "--c", "--version", "--v"])
def test_the_stub_knows_a_word_about_itself(word):
    assert load_stub().read_words(["-s", "x", word]) == ("x", True)
