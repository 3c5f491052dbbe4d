"""The gate of a candidate as one job: each stage's verdict in words, adopted after a crash, dead when superseded."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.generation import Receipt, StageResult
from ringmaster.proc.identity import own_identity
from ringmaster.proc.inotify import Watcher, open_watcher
from ringmaster.proc.job import Job, adopt_job
from ringmaster.redaction.redactor import REDACTED
from ringmaster.reload.candidate import (
    Verdict,
    candidate_directory,
    drop_candidate,
    run_candidate_gate,
    start_or_adopt,
)
from ringmaster.reload.candidate_program import migration_problem, run_stage
from ringmaster.reload.candidate_spec import CandidateSpec
from ringmaster.reload.policy import Judgement
from ringmaster.reload.release import make_release
from ringmaster.reload.snapshot import open_trees, release_files
from ringmaster.store.instance import ensure_instance_id
from ringmaster.store.thread import open_store
from tests.fakes.daemon import ROOT
from tests.fakes.house import git, make_repository

BASE = "CREATE TABLE meta_of (a);\n"
# A daemon as far as the boot check sees one; what it answers with lies beside the toy package.
MAIN = """
import json, os, socket, sys
def main(argv, handle=None):
    state = argv[argv.index("-s") + 1]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(state + "/ringmaster.sock")
    listener.listen()
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    answers = {"project.list": {"projects": []}, "worker.list": {"workers": [{"worker": {"id": "boot-check"}}]}}
    while True:
        with listener.accept()[0] as connection, connection.makefile("rwb") as stream:
            for line in stream:
                call = json.loads(line)
                result = answers.get(call["method"], {})
                stream.write(json.dumps({"jsonrpc": "2.0", "id": call["id"], "result": result}).encode() + b"\\n")
                stream.flush()
                if call["method"] == "daemon.stop":
                    return 0
"""
FILES = {
    "ringmaster/__init__.py": "",
    "ringmaster/answer.py": "def answer():\n    return 42\n",
    "ringmaster/settings.py": "def load_settings(path): ...\n",
    "ringmaster/daemon/__init__.py": "",
    "ringmaster/daemon/main.py": MAIN,
    "bin/ringmasterd": (ROOT / "bin" / "ringmasterd").read_text(),
    "sql/migrations/0001_base.sql": BASE,
    "tests/integration/test_answer.py": (
        "from ringmaster.answer import answer\n\n\ndef test_answer():\n    assert answer() == 42\n"
    ),
    "README": "toy\n",
}
pytestmark = pytest.mark.timeout(60)


class Home:
    """A self project that says what a toy daemon is, a state with a database, and what runs now: the first commit."""

    def __init__(self, tmp_path: Path, watcher: Watcher) -> None:
        self.path = make_repository(tmp_path / "repo", FILES)
        self.running_root = tmp_path / "running"
        git("clone", "-q", str(self.path), str(self.running_root), cwd=tmp_path)
        self.state = tmp_path / "state"
        self.state.mkdir()
        self.watcher = watcher
        self.running = git("rev-parse", "HEAD^{tree}", cwd=self.path)
        self.told: list[Receipt] = []

    async def spec(
        self, changes: dict[str, str | None] | None = None, generation: int = 2, **fields: Any
    ) -> CandidateSpec:
        """A candidate with these changes to the files."""
        for name, text in (changes or {}).items():
            place = self.path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink() if text is None else place.write_text(text)
        git("add", "-A", cwd=self.path)
        git("commit", "-q", "--allow-empty", "-m", "Change", cwd=self.path)
        trees, tree = await open_trees(self.state, self.path / ".git"), git("rev-parse", "HEAD^{tree}", cwd=self.path)
        release = make_release(self.state, await release_files(trees, tree))
        return CandidateSpec(
            **{
                "generation": generation,
                "root": str(release.root),
                "digest": release.digest,
                "python": sys.executable,
                "running_root": str(self.running_root),
                "state": str(self.state),
                "database": str(self.state / "ringmaster.db"),
                "trees": str(trees),
                "tree": tree,
                "running_tree": self.running,
                "gate": "true",
                "environment": {"PATH": os.environ["PATH"], "HOME": str(self.state / "home")},
                "checkout": str(self.state / "candidates" / "checkout"),
                "boot_limit_s": 20.0,
                **fields,
            }
        )

    async def run(self, spec: CandidateSpec, instance: str = "me") -> Verdict:
        """Its gate, to the end."""

        async def note(receipt: Receipt) -> None:  # noqa: ASYNC124 (run_candidate_gate awaits it; others have to)
            self.told.append(receipt)

        return await run_candidate_gate(
            spec, instance=instance, roots=(own_identity(),), watcher=self.watcher, on_receipt=note
        )

    def job(self, spec: CandidateSpec) -> Path:
        return candidate_directory(self.state, spec.generation) / "job"


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with open_watcher() as watcher:
        found = Home(tmp_path, watcher)
        async with open_store(found.state / "ringmaster.db", reserve_bytes=4096) as store:
            await store.write(ensure_instance_id, "abc123")
        yield found


def stages(found: Verdict) -> dict[str, str]:
    return {receipt.stage: str(receipt.result) for receipt in found.receipts}


async def test_a_sound_candidate_passes_every_stage_in_one_niced_job(home: Home):
    spec = await home.spec(
        {"ringmaster/answer.py": "def answer():\n    return 41 + 1\n"},
        gate='test "$(nice)" -ge 10 && test -z "$SECRET" && test "$(pwd)" = "$CHECKOUT"',
        environment={"PATH": os.environ["PATH"], "CHECKOUT": str(home.state / "candidates" / "checkout")},
    )
    found = await home.run(spec)
    assert found.result is StageResult.PASSED, found.words
    assert stages(found) == dict.fromkeys(("policy", "import", "gate", "behaviour", "boot"), "passed")
    assert tuple(home.told) == found.receipts
    assert all(receipt.wall_s >= 0 and receipt.words for receipt in found.receipts)


async def test_what_fails_is_the_last_stage(home: Home):
    found = await home.run(await home.spec({"ringmaster/new.py": "def f(:\n"}))
    assert (found.result, found.words) == (
        StageResult.FAILED,
        "import: ringmaster/new.py:1: SyntaxError: invalid syntax",
    )
    assert stages(found) == {"policy": "passed", "import": "failed"}


async def test_a_red_gate_fails_with_the_end_of_what_it_said(home: Home):
    found = await home.run(await home.spec(gate="echo one test failed; exit 1"))
    assert found.result is StageResult.FAILED
    words = "gate: `echo one test failed; exit 1`: exit status 1: one test failed"
    assert (found.words, found.summary) == (f"{words}\none test failed", words)


async def test_a_gate_that_is_green_when_run_again_is_flaky(home: Home):
    found = await home.run(await home.spec(gate=f"test -f {home.state}/once || {{ touch {home.state}/once; exit 1; }}"))
    assert found.result is StageResult.PASSED
    assert found.receipts[2].words.startswith("flaky: red, and green when run again")


async def test_a_gate_over_its_limit_and_one_that_is_not_there_are_tried_again(home: Home):
    found = await home.run(await home.spec(gate="echo begun; cat; sleep 600", gate_limit_s=0.5))
    assert (found.result, found.words) == (
        StageResult.RETRY,
        "gate: `echo begun; cat; sleep 600` took more than 0.5 s\nbegun",
    )
    found = await home.run(await home.spec(gate="no-such-command"))
    assert found.result is StageResult.RETRY


async def test_a_receipt_of_the_same_commit_spares_the_gate(home: Home):
    found = await home.run(await home.spec(gate="exit 1", reused="reused: `exit 1` passed on abc"))
    assert found.result is StageResult.PASSED
    assert found.receipts[2].words == "reused: `exit 1` passed on abc"


async def test_changed_behaviour_asks_with_both_texts_and_goes_on_after_a_yes(home: Home):
    changes: dict[str, str | None] = {
        "ringmaster/answer.py": "def answer():\n    return 43\n",
        "tests/integration/test_answer.py": FILES["tests/integration/test_answer.py"].replace("42", "43"),
    }
    count = home.state / "count"
    spec = await home.spec(changes, gate=f"echo x >> {count}")
    found = await home.run(spec)
    assert found.result is StageResult.ASKS
    assert "behaviour changed: tests/integration/test_answer.py::test_answer\n--- running\n" in found.words
    assert "    assert answer() == 42\n+++ candidate\n" in found.words
    assert "    assert answer() == 43\n" in found.words
    assert "assert 43 == 42" in found.words
    found = await home.run(msgspec.structs.replace(spec, accepted=("behaviour",)))
    assert found.result is StageResult.PASSED
    assert found.receipts[3].words.startswith("accepted by a person: behaviour changed")
    assert count.read_text() == "x\n", "what had passed was not run again"


async def test_a_removed_test_whose_old_version_still_passes_asks_for_its_removal_alone(home: Home):
    spec = await home.spec({"tests/integration/test_answer.py": None}, accepted=("policy",))
    found = await home.run(spec)
    assert found.result is StageResult.PASSED
    assert found.receipts[0].words.startswith("accepted by a person: test weakened: tests/integration/test_answer.py")
    assert found.receipts[3].words == "1 changed or removed test file in the old version: green"


async def test_a_package_has_no_tree_to_compare(home: Home):
    found = await home.run(await home.spec(trees="", tree="", running_tree=""))
    assert stages(found) == {
        **dict.fromkeys(("policy", "import", "boot"), "passed"),
        **dict.fromkeys(("gate", "behaviour"), "skipped"),
    }


async def test_a_migration_that_is_not_additive_fails(home: Home):
    found = await home.run(await home.spec({"sql/migrations/0002_drop.sql": "DROP TABLE meta_of;\n"}))
    assert found.result is StageResult.FAILED
    assert found.words == (
        "policy: migration not additive: sql/migrations/0002_drop.sql: not additive: DROP TABLE meta_of;"
    )


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"0001_base.sql": BASE, "0002_more.sql": "CREATE TABLE b (x);\n"}, ""),
        ({"0001_base.sql": "CREATE TABLE other (a);\n"}, "migration 0001 base was changed"),
        (
            {"0001_base.sql": BASE, "0002_more.sql": "-- min_code_schema: 2\nCREATE TABLE b (x);\n"},
            "migration 0002 more locks out the running release",
        ),
        ({"0001_base.sql": BASE, "0003_gap.sql": "CREATE TABLE b (x);\n"}, "migration 0002 is missing or doubled"),
    ],
)
def test_migrations_of_a_package_are_compared_too(tmp_path: Path, files: dict[str, str], words: str):
    for root, texts in (("running", {"0001_base.sql": BASE}), ("next", files)):
        (tmp_path / root / "sql" / "migrations").mkdir(parents=True)
        for name, text in texts.items():
            (tmp_path / root / "sql" / "migrations" / name).write_text(text)
    found = migration_problem(tmp_path / "running", tmp_path / "next")
    assert found.startswith(words)
    assert bool(found) == bool(words)


async def begin(home: Home, spec: CandidateSpec, nursery: trio.Nursery, sign: Path) -> Callable[[], None]:
    """Run a gate that opens the pipe `sign` when it has begun; what cancels it."""
    scope = trio.CancelScope()

    async def run() -> None:
        with scope:
            await home.run(spec)

    nursery.start_soon(run)
    await trio.to_thread.run_sync(sign.read_bytes)
    return scope.cancel


async def test_a_superseded_candidate_is_dead_with_all_it_started(home: Home, tmp_path: Path):
    sign, held = tmp_path / "sign", tmp_path / "held"
    os.mkfifo(sign)
    # `held` is locked by what left the session of the gate: free again means dead.
    gate = f"setsid sh -c 'exec 9>{held}; flock 9; echo x > {sign}; exec sleep 600' & wait"
    spec = await home.spec(gate=gate)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            cancel = await begin(home, spec, nursery, sign)
            cancel()
    with held.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not isinstance(await adopt_job(home.job(spec), instance="me"), Job)


async def test_a_gate_outlives_a_crash_and_is_adopted(home: Home, tmp_path: Path):
    sign, go = tmp_path / "sign", tmp_path / "go"
    os.mkfifo(sign)
    os.mkfifo(go)
    spec = await home.spec(gate=f"echo x > {sign}; read line < {go}; test $line = on")
    # As a daemon that crashed leaves it: started, and nobody waits.
    job = await candidate_start(home, spec)
    await trio.to_thread.run_sync(sign.read_bytes)
    with pytest.raises(RingmasterError, match="belongs to instance me"):
        await home.run(spec, instance="other")
    with pytest.raises(RingmasterError, match="belongs to instance me"):
        await drop_candidate(home.state, spec.generation, instance="other", roots=())
    again = await adopt_job(home.job(spec), instance="me")
    assert isinstance(again, Job)
    assert again.shim == job.shim
    await trio.to_thread.run_sync(lambda: go.write_text("on\n"))
    found = await home.run(spec)
    assert found.result is StageResult.PASSED, found.words
    assert [receipt.stage for receipt in home.told] == [receipt.stage for receipt in found.receipts]


async def candidate_start(home: Home, spec: CandidateSpec) -> Job:
    found = await start_or_adopt(candidate_directory(home.state, spec.generation), spec, "me", ())
    assert isinstance(found, Job)
    return found


async def test_a_candidate_that_nobody_wants_is_dropped_with_its_files(home: Home, tmp_path: Path):
    sign = tmp_path / "sign"
    os.mkfifo(sign)
    spec = await home.spec(gate=f"echo x > {sign}; sleep 600")
    job = await candidate_start(home, spec)
    await trio.to_thread.run_sync(sign.read_bytes)
    await drop_candidate(home.state, spec.generation, instance="me", roots=())
    assert not candidate_directory(home.state, spec.generation).exists()
    assert not Path(f"/proc/{job.shim.pid}").exists()


async def test_a_receipt_that_cannot_be_noted_raises_just_that_and_leaves_nothing_running(home: Home, tmp_path: Path):
    sign = tmp_path / "sign"
    os.mkfifo(sign)
    spec = await home.spec(gate=f"echo x > {sign}; sleep 600")

    async def refuse(receipt: Receipt) -> None:
        # By now the stage behind it runs; a group of errors around this one would end the daemon.
        await trio.to_thread.run_sync(sign.read_bytes)
        raise RingmasterError(ErrorKind.DISK_FULL, "the disk is full")

    with trio.fail_after(30), pytest.raises(RingmasterError, match="the disk is full"):
        await run_candidate_gate(spec, instance="me", roots=(own_identity(),), watcher=home.watcher, on_receipt=refuse)
    assert not isinstance(await adopt_job(home.job(spec), instance="me"), Job)


async def test_a_candidate_whose_files_are_removed_by_hand_raises_just_that(home: Home, tmp_path: Path):
    sign, go = tmp_path / "sign", tmp_path / "go"
    os.mkfifo(sign)
    os.mkfifo(go)
    spec = await home.spec(gate=f"echo x > {sign}; read line < {go}")

    async def remove() -> None:
        await trio.to_thread.run_sync(sign.read_bytes)
        await trio.to_thread.run_sync(shutil.rmtree, candidate_directory(home.state, spec.generation))
        await trio.to_thread.run_sync(lambda: go.write_text("on\n"))

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(remove)
            with pytest.raises(FileNotFoundError):
                await home.run(spec)


async def test_a_job_that_was_killed_says_nothing_of_the_candidate(home: Home, tmp_path: Path):
    sign = tmp_path / "sign"
    os.mkfifo(sign)
    spec = await home.spec(gate=f"echo x > {sign}; sleep 600")
    job = await candidate_start(home, spec)
    await trio.to_thread.run_sync(sign.read_bytes)
    job.kill_shim()
    ended = await job.wait()
    found = await home.run(msgspec.structs.replace(spec, gate_limit_s=0.2))
    assert type(ended).__name__ == "JobLost"
    assert found.result is StageResult.RETRY


def test_a_full_disk_and_other_troubles_of_the_machine_are_tried_again(tmp_path: Path):
    def fill(spec: CandidateSpec, scratch: Path) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", "x")

    spec = CandidateSpec(generation=1, root="", python="", running_root="", state="", database="")
    receipt = run_stage("gate", fill, spec, tmp_path)
    assert (receipt.result, receipt.words) == (StageResult.RETRY, "the disk is full")


def test_what_a_stage_says_is_kept_without_keys_and_what_its_gate_was_handed(tmp_path: Path):
    key = "gh" + "p_" + "A1b2" * 9

    def leak(spec: CandidateSpec, scratch: Path) -> Any:
        return Judgement(StageResult.FAILED, f"with {key}\nand value-of-it \x1b[2J")

    spec = CandidateSpec(generation=1, root="", python="", running_root="", state="", database="")
    spec = msgspec.structs.replace(spec, environment={"DB_PASSWORD": "value-of-it"})
    assert run_stage("gate", leak, spec, tmp_path).words == f"with {REDACTED}\nand {REDACTED} "
