"""A candidate's daemon on a copy of the database: what it must do, and that live attempts never notice."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from ringmaster.model.generation import StageResult
from ringmaster.proc.job_files import read_run
from ringmaster.reload.boot_check import check_boot
from ringmaster.reload.candidate_spec import CandidateSpec
from ringmaster.reload.policy import Judgement
from ringmaster.reload.release import SourceFile, make_release, package_files
from ringmaster.store import attempts, projects, tasks, workers
from ringmaster.store.connection import Connection
from ringmaster.store.copying import copy_database
from ringmaster.store.inline import open_inline_store
from ringmaster.store.instance import ensure_instance_id
from ringmaster.store.isolated import isolate_copy
from ringmaster.store.thread import open_store
from tests.fakes.daemon import LiveDaemon, open_daemon
from tests.fakes.house import make_repository

ROOT = Path(__file__).resolve().parents[2]
LIVE = 8
SETTINGS = "def load_settings(path): ...\n"
STUB = (ROOT / "bin" / "ringmasterd").read_text()
# It listens and says so, then does as the case says: `answers` by method, and how it ends.
TOY = """
import json, os, socket, sys, threading
def main(argv, handle=None):
    state = argv[argv.index("-s") + 1]
    assert os.environ["RINGMASTER_BOOT_CHECK"] == "1" and os.environ["HOME"].startswith(state)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(state + "/ringmaster.sock")
    listener.listen()
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    {before}
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    while True:
        with listener.accept()[0] as connection, connection.makefile("rwb") as stream:
            for line in stream:
                call = json.loads(line)
                workers = [{{"worker": {{"id": "boot-check"}}}}]
                answer = {{"jsonrpc": "2.0", "id": call["id"], "result": {{"projects": [], "workers": workers}}}}
                {during}
                stream.write(json.dumps(answer).encode() + b"\\n")
                stream.flush()
                if call["method"] == "daemon.stop":
                    {end}
"""
ERROR = {"code": -32000, "message": "no such table: x", "data": {"kind": "internal", "retryable": False, "hint": ""}}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database without projects."""

    async def make() -> None:
        async with open_store(tmp_path / "ringmaster.db", reserve_bytes=4096) as store:
            await store.write(ensure_instance_id, "abc123")

    trio.run(make)
    return tmp_path / "ringmaster.db"


def make_spec(tmp_path: Path, database: Path, files: Iterable[SourceFile] = (), **fields: Any) -> CandidateSpec:
    """files: of the candidate, by default this very source."""
    release = make_release(tmp_path, files or package_files())
    return CandidateSpec(
        **{
            "generation": 2,
            "root": str(release.root),
            "digest": release.digest,
            "python": sys.executable,
            "running_root": str(ROOT),
            "state": str(tmp_path),
            "database": str(database),
            **fields,
        }
    )


def boot_toy(
    tmp_path: Path,
    database: Path,
    how: dict[str, str] | None = None,
    *,
    scratch: Path | None = None,
    limits: tuple[float, float] = (30.0, 30.0),
) -> Judgement:
    """limits: until it listens, and of each answer. how: `before` it listens, `during` a call, at the `end`, by which
    `settings` and which `stub`."""
    parts = {"before": "pass", "during": "pass", "end": "return 0", "settings": SETTINGS, "stub": STUB, **(how or {})}
    texts = {
        "ringmaster/__init__.py": "",
        "ringmaster/daemon/__init__.py": "",
        "ringmaster/settings.py": parts["settings"],
        "ringmaster/daemon/main.py": TOY.format(**parts),
        "bin/ringmasterd": parts["stub"],
    }
    files = [
        SourceFile(path, False, text.encode()) for path, text in texts.items() if text or path != "bin/ringmasterd"
    ]
    config = tmp_path / "config.toml"
    config.write_text("")
    spec = make_spec(tmp_path, database, files, config=str(config), boot_limit_s=limits[0], answer_limit_s=limits[1])
    return check_boot(spec, scratch or tmp_path)


def test_this_very_release_boots_on_a_database_without_projects(tmp_path: Path, database: Path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    judged = check_boot(make_spec(tmp_path, database), scratch)
    assert judged.result is StageResult.PASSED, judged.words
    assert judged.words.startswith("listened after ")
    assert os.listdir(scratch) == ["boot.log"]


def test_a_release_that_was_changed_on_disk_is_no_fault_of_the_candidate(tmp_path: Path, database: Path):
    spec = make_spec(tmp_path, database)
    with Path(spec.root, "ringmaster", "__init__.py").open("a") as file:
        file.write("# by hand\n")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = check_boot(spec, scratch)
    assert found.result is StageResult.RETRY
    assert "was changed on disk while it was judged" in found.words


def test_a_state_with_a_long_path_is_no_hindrance(tmp_path: Path, database: Path):
    scratch = tmp_path / ("x" * 120)
    scratch.mkdir()
    judged = boot_toy(tmp_path, database, scratch=scratch)
    assert judged.result is StageResult.PASSED, judged.words


@pytest.mark.parametrize(
    ("how", "result", "words"),
    [
        (
            {"before": "raise ValueError('boom')"},
            "failed",
            "the daemon ended before it listened (exit status 1): ValueError: boom\n",
        ),
        ({"before": "os.kill(os.getpid(), 11)"}, "failed", "the daemon ended before it listened (signal SIGSEGV)"),
        ({"during": "os._exit(5)"}, "failed", "the daemon ended while it was asked (exit status 5)"),
        (
            {"during": f"answer.pop('result'); answer['error'] = {ERROR}"},
            "failed",
            "a request was answered with an error:",
        ),
        (
            {"during": "answer['result'] = {}"},
            "failed",
            "a request was answered with something else: KeyError('projects')",
        ),
        ({"end": "return 3"}, "failed", "the daemon stopped with exit status 3"),
        (
            {"stub": "nonsense\n"},
            "failed",
            "the daemon ended before it listened (exit status 1): NameError: name 'nonsense'",
        ),
        ({"stub": ""}, "failed", "the daemon ended before it listened (exit status 2): "),
        ({"stub": STUB.replace("handle.run()", "7")}, "failed", "the daemon ended before it listened (exit status 7)"),
    ],
)
def test_what_ends_or_answers_wrongly_fails(
    tmp_path: Path, database: Path, how: dict[str, str], result: str, words: str
):
    judged = boot_toy(tmp_path, database, how)
    assert (str(judged.result), judged.words[: len(words)]) == (result, words)
    assert not (tmp_path / "boot").exists()


HANG = "threading.Event().wait()"


@pytest.mark.parametrize(
    ("how", "limits", "words"),
    [
        ({"before": HANG}, (0.3, 30.0), "the daemon did not listen within 0.3 s"),
        ({"during": HANG}, (30.0, 0.3), "a request was not answered within 0.3 s"),
        ({"end": HANG}, (30.0, 0.3), "the daemon did not stop within 0.3 s"),
    ],
)
def test_what_hangs_is_tried_again(
    tmp_path: Path, database: Path, how: dict[str, str], limits: tuple[float, float], words: str
):
    judged = boot_toy(tmp_path, database, how, limits=limits)
    assert (judged.result, judged.words) == (StageResult.RETRY, words)
    assert not (tmp_path / "boot").exists()


def test_the_end_of_its_log_is_told_and_what_a_group_of_exceptions_ends_with_is_its_last_line(
    tmp_path: Path, database: Path
):
    words = boot_toy(tmp_path, database, {"before": "raise ExceptionGroup('two', [ValueError('boom')])"}).words
    assert words.startswith("the daemon ended before it listened (exit status 1): ValueError: boom\n")
    assert "ExceptionGroup: two (1 sub-exception)" in words


def test_settings_that_the_candidate_does_not_understand_fail(tmp_path: Path, database: Path):
    judged = boot_toy(tmp_path, database, {"settings": "def load_settings(path): raise ValueError('what is this')\n"})
    assert judged.result is StageResult.FAILED
    assert "what is this" in judged.words


def test_settings_that_nobody_understands_are_no_fault_of_the_candidate(tmp_path: Path, database: Path):
    config = tmp_path / "config.toml"
    config.write_text("[self]\nfollow = 'nothing of the kind'\n")
    judged = check_boot(make_spec(tmp_path, database, config=str(config)), tmp_path)
    assert judged.result is StageResult.PASSED, judged.words


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveDaemon]:
    """A real daemon with eight agents at work."""
    home = tmp_path_factory.mktemp("busy")
    repository = make_repository(home / "repo")
    with open_daemon(home / "state") as daemon:
        daemon.call("project.add", path=str(repository), id="toy")
        sign = home / "sign"
        os.mkfifo(sign)
        # Both ends: it stays open between two who write.
        with os.fdopen(os.open(sign, os.O_RDWR), "rb", buffering=0) as begun:
            daemon.call("worker.spawn", agent="command", command=("sh", "-c", f"echo > {sign}; sleep 600"), count=LIVE)
            for number in range(LIVE):
                daemon.call("task.add", title=f"Work {number}", project_id="toy")
            for _ in range(LIVE):
                assert begun.read(1)
        yield daemon
        daemon.call("daemon.stop", mode="abort")
        daemon.stop()


def files_of(state: Path) -> dict[str, str]:
    """What attempts and workspaces hold."""
    found = {}
    for place in ("attempts", "workspaces", "repositories"):
        for folder, _, names in os.walk(state / place):
            for name in names:
                path = Path(folder, name)
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def shims_of(state: Path) -> dict[str, int]:
    found = {}
    for path in sorted((state / "attempts").glob("*/*/agent")):
        run = read_run(path)
        assert run is not None
        assert Path(f"/proc/{run.shim.pid}").exists()
        found[str(path)] = run.shim.pid
    return found


def test_eight_live_attempts_never_notice(tmp_path: Path, busy: LiveDaemon):
    shims, files = shims_of(busy.state), files_of(busy.state)
    assert len(shims) == LIVE
    judged = check_boot(make_spec(busy.state, busy.state / "ringmaster.db"), tmp_path)
    assert judged.result is StageResult.PASSED, judged.words
    assert shims_of(busy.state) == shims
    assert files_of(busy.state) == files
    assert busy.call("daemon.status")["queue"]["running"] == LIVE


def test_the_copy_is_another_instance(tmp_path: Path, database: Path):
    seen = tmp_path / "seen"
    look = "import sqlite3; found = sqlite3.connect(state + '/ringmaster.db').execute(\"SELECT value FROM meta WHERE"
    look += f" key = 'instance_id'\").fetchone()[0]; open({str(seen)!r}, 'w').write(found)"
    assert boot_toy(tmp_path, database, {"before": look}).result is StageResult.PASSED
    assert seen.read_text() not in ("", "abc123")


async def test_a_copy_is_nobodys_work_any_more(tmp_path: Path, busy: LiveDaemon):
    copy = tmp_path / "copy.db"
    copy_database(busy.state / "ringmaster.db", copy)
    isolate_copy(copy, "0123456789abcdef")

    def look(conn: Connection) -> dict[str, Any]:
        return {
            "instance": ensure_instance_id(conn, "unused"),
            "live": attempts.salvaged_live(conn),
            "projects": [(p.path, str(p.state), p.parked_commit) for p in projects.salvaged_projects(conn)],
            "workers": {str(w.state) for w in workers.all_workers(conn)},
            "tasks": {str(tasks.task_by_id(conn, id).state) for (id,) in conn.rows("SELECT id FROM tasks")},
        }

    async with open_inline_store(copy, clock=lambda: 0.0) as store:
        found = await store.write(look)
    assert found == {
        "instance": "0123456789abcdef",
        "live": [],
        "projects": [("/nonexistent/toy", "paused", "")],
        "workers": {"stopped"},
        "tasks": {"open"},
    }
