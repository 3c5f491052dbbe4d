"""What receipts and the end of the job show together, what a candidate's program is told, and receipts on disk."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from ringmaster.model.generation import Receipt, StageResult
from ringmaster.model.project import Project, ProjectConfig
from ringmaster.model.receipt import GateResult
from ringmaster.model.receipt import Receipt as GateReceipt
from ringmaster.model.states import ProjectState
from ringmaster.proc.job_files import ExitReason, JobExit, JobLost
from ringmaster.reload.behaviour import find_python, is_held
from ringmaster.reload.candidate import find_reused, gate_environment, judge, make_candidate_spec
from ringmaster.reload.candidate_spec import RECEIPTS, STAGES, CandidateSpec, append_receipt, read_receipts
from ringmaster.reload.source import Source
from ringmaster.settings import Paths
from ringmaster.store import receipts
from ringmaster.store.connection import Connection
from tests.fakes.empty_store import open_empty_store

R = StageResult
PROJECT = Project(
    id="own",
    path="/repo",
    common_dir="/repo/.git",
    target="main",
    state=ProjectState.ACTIVE,
    paused_reason="",
    parked_commit="",
    parked_at=None,
    config=ProjectConfig(gate="make gate", cache=(".venv",), gate_limit_s=7.0, protected=("bin/",), env=("MINE",)),
    version=1,
    created_at=0.0,
)


def receipts_of(*results: StageResult) -> list[Receipt]:
    return [Receipt(stage, result, 0.1, f"{stage} words") for stage, result in zip(STAGES, results, strict=False)]


def ended(code: int | None = 0, reason: ExitReason = ExitReason.EXITED) -> JobExit:
    return JobExit(format=1, reason=reason, code=code)


@pytest.mark.parametrize(
    ("results", "end", "said", "verdict", "words"),
    [
        ([R.PASSED] * 5, ended(), "", R.PASSED, "every stage passed"),
        ([R.PASSED, R.PASSED, R.SKIPPED, R.SKIPPED, R.PASSED], None, "", R.PASSED, "every stage passed"),
        ([R.PASSED, R.FAILED], ended(), "", R.FAILED, "import: import words"),
        ([R.ASKS], ended(), "", R.ASKS, "policy: policy words"),
        ([R.PASSED, R.RETRY], ended(), "", R.RETRY, "import: import words"),
        ([R.PASSED] * 2, ended(1), "Traceback\nOSError: no", R.RETRY, "gate: its gate broke off: OSError: no"),
        ([R.PASSED] * 3, ended(None, ExitReason.ESTOP), "", R.RETRY, "behaviour: its gate was ended (estop)"),
        ([], JobLost(), "", R.RETRY, "policy: its gate was killed"),
        ([R.UNKNOWN], ended(), "", R.UNKNOWN, "policy: policy words"),
    ],
)
def test_receipts_and_the_end_of_the_job_make_a_verdict(
    results: list[StageResult], end: JobExit | JobLost | None, said: str, verdict: StageResult, words: str
):
    found = judge(receipts_of(*results), end, said)
    assert (found.result, found.words) == (verdict, words)
    assert found.is_passed == (verdict is R.PASSED)


def test_the_newest_receipt_of_a_stage_counts():
    first = receipts_of(R.PASSED, R.RETRY)
    found = judge([*first, *receipts_of(*[R.PASSED] * 5)[1:]], ended(), "")
    assert found.result is R.PASSED
    assert [receipt.stage for receipt in found.receipts] == list(STAGES)


def test_receipts_are_read_as_they_were_written_and_half_a_line_is_left(tmp_path: Path):
    assert read_receipts(tmp_path) == ()
    wanted = receipts_of(R.PASSED, R.FAILED)
    for receipt in wanted:
        append_receipt(tmp_path, receipt)
    with (tmp_path / RECEIPTS).open("ab") as file:
        file.write(b'{"stage": "ga')
    assert read_receipts(tmp_path) == tuple(wanted)


def test_a_candidate_is_told_what_its_project_says(tmp_path: Path):
    paths = Paths(name="x", state=tmp_path, socket=tmp_path / "s", config=tmp_path / "c.toml")
    source = Source("target", "c1", "t1", "words", "/trees", True, True)
    spec = make_candidate_spec(
        paths, 4, Path("/r"), "/py", source, PROJECT, running_root=Path("/old"), running_tree="t0", reused="why"
    )
    assert (spec.gate, spec.cache, spec.gate_limit_s, spec.answered) == ("make gate", (".venv",), 7.0, ("bin/",))
    assert (spec.tree, spec.running_tree, spec.is_landed, spec.has_agent) == ("t1", "t0", True, True)
    assert (spec.reused, spec.checkout) == ("why", str(tmp_path / "candidates" / "checkout"))
    package = make_candidate_spec(
        paths, 4, Path("/r"), "/py", Source("package", "", "", ""), None, running_root=Path("/old"), running_tree=""
    )
    assert (package.gate, package.tree, package.database) == ("", "", str(tmp_path / "ringmaster.db"))


def test_the_gates_environment_is_allow_listed(tmp_path: Path):
    paths = Paths(name="x", state=tmp_path, socket=tmp_path / "s", config=tmp_path / "c.toml")
    inherited = {"PATH": "/bin", "HOME": "/home/me", "MINE": "1", "RMCTL_SOCKET": "x", "API_TOKEN": "x", "OTHER": "x"}
    found = gate_environment(paths, PROJECT, inherited)
    assert found["HOME"] == str(tmp_path / "candidates" / "home")
    assert found["MINE"] == "1"
    assert not {"RMCTL_SOCKET", "API_TOKEN", "OTHER"} & set(found)


@pytest.mark.parametrize(
    ("commit", "tree", "gate", "result", "words"),
    [
        ("c1", "t1", "make gate", GateResult.GREEN, "reused: `make gate` passed on c1"),
        ("c2", "t1", "make gate", GateResult.GREEN, "reused: `make gate` passed on the same tree (c1)"),
        ("c1", "t2", "make gate", GateResult.GREEN, ""),
        ("c1", "t1", "make test", GateResult.GREEN, ""),
        ("c1", "t1", "make gate", GateResult.RED, ""),
        ("", "", "make gate", GateResult.GREEN, ""),
    ],
)
async def test_only_a_green_receipt_of_this_gate_on_this_tree_is_reused(
    commit: str, tree: str, gate: str, result: GateResult, words: str
):
    def store(conn: Connection) -> str:
        receipts.insert_receipt(
            conn,
            GateReceipt(
                id=0,
                project_id="own",
                attempt_id="",
                gate=gate,
                commit="c1",
                tree="t1",
                result=result,
                tests_total=None,
                tests_failed=(),
                is_flaky=False,
                job="",
                started_at=0.0,
                ended_at=0.0,
            ),
        )
        return find_reused(conn, PROJECT, commit, tree)

    async with open_empty_store(clock=lambda: 0.0) as opened:
        assert await opened.write(store) == words


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("tests/e2e/test_a.py", True),
        ("tests/e2e/a_test.py", True),
        ("tests/e2e/conftest.py", False),
        ("tests/e2e/test_a.json", False),
    ],
)
def test_only_files_of_tests_are_run_in_their_old_version(path: str, is_test: bool):
    assert is_held(path) == is_test


def make_interpreter(path: Path, status: int) -> str:
    """A program that answers `import pytest` with this exit status."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\nexit {status}\n")
    path.chmod(0o755)
    return str(path)


def test_old_tests_are_run_by_the_first_interpreter_that_has_pytest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    without, last = make_interpreter(tmp_path / "without", 1), make_interpreter(tmp_path / "last", 0)
    monkeypatch.setattr("sys.executable", without)
    spec = CandidateSpec(
        generation=1, root="", python=without, running_root="", state="", database="", environment={"PATH": "/bin"}
    )
    checkout = tmp_path / "checkout"
    assert find_python(spec, checkout, tmp_path) == ""
    spec = msgspec.structs.replace(spec, test_pythons=(str(tmp_path / "gone"), without, last))
    assert find_python(spec, checkout, tmp_path) == last
    made = make_interpreter(checkout / ".venv" / "bin" / "python", 0)
    assert find_python(spec, checkout, tmp_path) == made
