"""`rmctl db …` with and without a daemon."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from ringmaster.protocol.database import DatabaseCopy, DatabaseFacts
from ringmaster.store.migrate import load_migrations, open_database
from ringmaster.store.queries import find_sql_dir
from tests.fakes.rmctl import Rmctl
from tests.fakes.rpc_results import make_health
from tests.fakes.rpc_server import RpcServer


@pytest.fixture
def state(tmp_path: Path) -> Path:
    open_database(tmp_path / "ringmaster.db", load_migrations(find_sql_dir())).close()
    return tmp_path


def test_without_a_daemon_it_is_copied_and_checked_directly(state: Path):
    rmctl = Rmctl(None)
    where = ("-s", str(state))
    assert rmctl(*where, "db", "path").out == f"{state}/ringmaster.db\n"
    ended = rmctl(*where, "db", "check")
    assert ended.code == 0, ended
    assert "whole" in ended.out
    target = state / "copy.db"
    ended = rmctl(*where, "db", "backup", str(target), "-q")
    assert (ended.code, ended.out) == (0, f"{target}\n")
    again = rmctl(*where, "db", "backup", str(target))
    assert (again.code, again.out) == (5, "")
    assert "is there already" in again.err
    # Into a directory, under a name of its own.
    (state / "copies").mkdir()
    assert rmctl(*where, "db", "backup", str(state / "copies")).code == 0
    assert len(list((state / "copies").glob("ringmaster-*.db"))) == 1


@pytest.mark.parametrize("file", ["", "-"])
def test_what_names_no_file_is_not_copied_to(state: Path, file: str):
    ended = Rmctl(None).at(state, "-s", str(state), "db", "backup", file)
    assert ended.code == 2
    assert "is no file to copy to" in ended.err
    assert not [path for path in state.iterdir() if path.name == "-" or path.name.startswith("ringmaster-")]


def test_without_a_database_it_says_so(tmp_path: Path):
    for words in (("check",), ("backup", str(tmp_path / "copy.db"))):
        ended = Rmctl(None)("-s", str(tmp_path / "none"), "db", *words)
        assert (ended.code, ended.out) == (4, "")
        assert "there is no database" in ended.err


def test_an_emptied_one_is_said_to_be_that(state: Path):
    (state / "ringmaster.db").write_bytes(b"")
    for words in (("check",), ("backup", str(state / "copy.db"))):
        ended = Rmctl(None)("-s", str(state), "db", *words)
        assert (ended.code, ended.out) == (6, "")
        assert "ringmaster.db is empty (put a backup in its place" in ended.err


def test_a_damaged_one_is_shown_and_ends_with_1(state: Path):
    path = state / "ringmaster.db"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\xff" * 8192)
    ended = Rmctl(None)("-s", str(state), "db", "check", "-o", "json")
    assert ended.code == 1
    found = json.loads(ended.out)
    assert found["problems"]
    assert found["is_whole"] is False
    assert "damaged" in json.loads(ended.err)["error"]["message"]


def test_a_daemon_that_runs_does_it_itself(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with RpcServer(tmp_path / "rm.sock") as daemon:
        daemon.answers["daemon.health"] = make_health()
        daemon.answers["database.backup"] = DatabaseCopy(path=f"{tmp_path}/copy.db", bytes=2048, schema=3)
        daemon.answers["database.check"] = DatabaseFacts(
            path="/x.db", bytes=1, schema=3, known_schema=3, min_code_schema=0, sqlite="3", problems=()
        )
        rmctl = Rmctl(daemon.path)
        assert rmctl("db", "backup", "copy.db").out == f"{tmp_path}/copy.db\t2.0 KiB\n"
        assert rmctl("db", "check").out.startswith("/x.db\nwhole")
        [params] = daemon.called("database.backup")
        assert params.path == f"{tmp_path}/copy.db", "relative to whom it is asked by, not to the daemon"


def test_a_daemon_that_hangs_is_not_waited_for(state: Path):
    """As one does that dies at every start for what is wrong with its database: its keeper listens on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(state / "ringmaster.sock"))
        silent.listen()
        rmctl = Rmctl(None)
        where = ("-s", str(state), "--timeout", "0.3s")
        assert "whole" in rmctl(*where, "db", "check").out
        assert rmctl(*where, "db", "backup", str(state / "copy.db")).code == 0
