"""Running a project's gate on one commit, and what the run shows."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec
import trio

from ringmaster.model.attempt import Attempt
from ringmaster.model.receipt import GateResult, Receipt
from ringmaster.proc.job_files import ExitReason, JobExit, JobLost, read_spec
from ringmaster.store import receipts
from ringmaster.store.connection import Connection
from ringmaster.workers.agent_step import child_environment, run_setup
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.jobs import make_spec, run_job
from ringmaster.workers.preparing import Bench
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.environment import CacheKind, gate_variables
from ringmaster.workspace.git import run_git
from ringmaster.workspace.junit import MalformedReport, TestReport, read_report
from ringmaster.workspace.merge import changed_by_gate

COMMAND_NOT_FOUND = 127
LOST_LIMIT = 3


class GateRun(msgspec.Struct, frozen=True):
    """A gate that ran, or a receipt taken over. words: why it is not green, in one line.

    output: path of what it said. is_setup: the set-up before it failed, so nothing is known of the commit.
    """

    receipt: Receipt
    words: str = ""
    output: str = ""
    is_setup: bool = False
    changed_files: tuple[str, ...] = ()

    @property
    def is_green(self) -> bool:
        """Whether the commit passed."""
        return self.receipt.result is GateResult.GREEN


class _Run(msgspec.Struct, frozen=True):
    """One execution of the gate command."""

    result: GateResult
    words: str
    directory: Path
    report: TestReport | None
    problem: str = ""


def read_job_report(directory: Path) -> TestReport | None:
    """The JUnit report that a gate job left, None where there is none that can be believed. Blocking."""
    try:
        return read_report(directory / "junit.xml")
    except (MalformedReport, OSError):
        return None


def gate_digest(bench: Bench, commit: str) -> str:
    """Names a gate run: the same commit under the same commands. Stands in the job's spec as its label."""
    config = bench.project.config
    words = "\0".join((commit, config.gate, *config.setup))
    return f"{commit}:{hashlib.sha256(words.encode()).hexdigest()[:12]}"


def commit_of_label(label: str) -> str:
    """The commit that a gate job's label names."""
    return label.partition(":")[0]


def last_gate_job(directory: Path, prefix: str = "gate") -> tuple[int, Path | None]:
    """The newest gate job in an attempt's directory and its number; (0, None) when there is none. Blocking."""
    numbers = [
        int(name.removeprefix(f"{prefix}-"))
        for name in (os.listdir(directory) if directory.is_dir() else ())
        if name.startswith(f"{prefix}-") and name.removeprefix(f"{prefix}-").isdigit()
    ]
    return (max(numbers), directory / f"{prefix}-{max(numbers)}") if numbers else (0, None)


async def find_receipt(sur: Surroundings, bench: Bench, commit: str) -> Receipt | None:
    """A receipt that makes a new run needless: of this commit, or where the project allows it of its tree.

    Only a green one is ever taken over.
    """
    tree = (await run_git("rev-parse", f"{commit}^{{tree}}", git_dir=bench.bare)).text
    return await sur.store.read(_find_green, bench.project.id, commit, tree, bench.project.config)


def _find_green(conn: Connection, project_id: str, commit: str, tree: str, config: object) -> Receipt | None:
    gate = getattr(config, "gate", "")
    found = receipts.receipt_of_commit(conn, project_id, commit, gate)
    if found is not None and found.result is GateResult.GREEN:
        return found
    if getattr(config, "gate_reuse", "commit") == "tree":
        return receipts.green_receipt_of_tree(conn, project_id, tree, gate)
    return None


async def run_gate(
    sur: Surroundings, bench: Bench, control: AttemptControl, checkout: Path, commit: str, prefix: str = "gate"
) -> GateRun | None:
    """Run set-up and gate on `commit`, on which the checkout stands; store and return the receipt.

    A red run is repeated once, for pytest only what failed; a different result is green and noted as flaky.
    None when the attempt was asked to end, or the machine to stop (nothing is stored then).
    Re-enterable: a job that an earlier daemon started for the same commit is adopted.
    """
    started_at = sur.now()
    directory = await _job_directory(bench, commit, prefix)
    ended = await run_setup(
        sur, bench, control, directory.with_name(f"{directory.name}-setup"), checkout, CacheKind.GATE
    )
    if control.wanted is not None:
        return None
    if ended is not None and (isinstance(ended, JobLost) or ended.reason is not ExitReason.EXITED or ended.code):
        return await _setup_failed(sur, bench, commit, directory, ended, started_at)
    run = await _run_once(sur, bench, control, checkout, commit, directory, is_rerun=False)
    is_flaky = False
    if run is not None and run.result is GateResult.RED:
        again = directory.with_name(f"{directory.name}-rerun")
        second = await _run_once(sur, bench, control, checkout, commit, again, is_rerun=True)
        if second is None:
            return None
        if second.result is GateResult.GREEN:
            run, is_flaky = msgspec.structs.replace(second, report=run.report, directory=directory), True
    if run is None:
        return None
    receipt = await _store_receipt(sur, bench, commit, run, is_flaky=is_flaky, started_at=started_at)
    return GateRun(
        receipt,
        run.words,
        output=str(run.directory / "stdout"),
        changed_files=await changed_by_gate(bench.bare, checkout, commit),
    )


async def _job_directory(bench: Bench, commit: str, prefix: str) -> Path:
    """The directory of the run for this commit: the newest one if it is for it and was not lost, else a new one."""
    number, newest = await trio.to_thread.run_sync(last_gate_job, bench.directory, prefix)
    if newest is not None:
        spec = await trio.to_thread.run_sync(read_spec, newest)
        if spec is None or spec.label == gate_digest(bench, commit):
            return newest
    return bench.directory / f"{prefix}-{number + 1}"


def set_aside(directory: Path) -> int:
    """Rename a job that showed nothing, so that its name is free for another try; how many there are now."""
    count = 1
    while directory.with_name(f"{directory.name}.lost-{count}").exists():
        count += 1
    directory.rename(directory.with_name(f"{directory.name}.lost-{count}"))
    return count


async def _run_once(
    sur: Surroundings,
    bench: Bench,
    control: AttemptControl,
    checkout: Path,
    commit: str,
    directory: Path,
    *,
    is_rerun: bool,
) -> _Run | None:
    if control.wanted is not None:
        return None
    junit = directory / "junit.xml"
    variables = {"CI": "1", **gate_variables(junit, is_rerun=is_rerun)}
    spec = make_spec(
        sur,
        kind=directory.name,
        label=gate_digest(bench, commit),
        argv=("/bin/sh", "-c", bench.project.config.gate),
        cwd=checkout,
        env=child_environment(sur, bench, CacheKind.GATE, bench.directory / "gate-home", variables),
        wall_s=bench.project.config.gate_limit_s,
    )
    ended = await run_job(sur, bench.attempt, control, directory, spec)
    if isinstance(ended, JobLost):
        count = set_aside(directory)
        if count < LOST_LIMIT:
            return await _run_once(sur, bench, control, checkout, commit, directory, is_rerun=is_rerun)
        lost = directory.with_name(f"{directory.name}.lost-{count}")
        return _Run(GateResult.RED, f"the gate's shim died {count} times", lost, None)
    if control.wanted is not None or ended.reason in (ExitReason.CANCELLED, ExitReason.ESTOP):
        set_aside(directory)
        return None
    return await trio.to_thread.run_sync(judge_run, ended, directory)


def judge_run(ended: JobExit, directory: Path) -> _Run:
    """What one execution shows. Zero tests in a report is red; a report that cannot be believed is red. Blocking."""
    try:
        report, problem = read_report(directory / "junit.xml"), ""
    except (MalformedReport, OSError) as error:
        report, problem = None, str(error)
    if ended.reason is ExitReason.WALL_CLOCK:
        return _Run(GateResult.TIMED_OUT, "the gate took longer than its limit", directory, report)
    if ended.reason is not ExitReason.EXITED:
        return _Run(GateResult.RED, f"the gate was ended: {ended.error or ended.reason}", directory, report)
    if ended.code == COMMAND_NOT_FOUND:
        return _Run(GateResult.MISSING, "the gate's command was not found (exit status 127)", directory, report)
    if ended.code != 0 or ended.signal is not None:
        how = f"signal {ended.signal}" if ended.signal is not None else f"exit status {ended.code}"
        failed = f", {len(report.failed)} failed: {', '.join(report.failed[:3])}" if report and report.failed else ""
        return _Run(GateResult.RED, f"the gate ended with {how}{failed}", directory, report)
    if problem:
        return _Run(GateResult.RED, f"the gate passed but its report cannot be believed: {problem}", directory, None)
    if report is not None and not any(result != "skipped" for result in report.tests.values()):
        return _Run(GateResult.RED, "the gate passed but ran no test at all", directory, report)
    return _Run(GateResult.GREEN, "", directory, report)


async def _store_receipt(
    sur: Surroundings, bench: Bench, commit: str, run: _Run, *, is_flaky: bool, started_at: float
) -> Receipt:
    tree = (await run_git("rev-parse", f"{commit}^{{tree}}", git_dir=bench.bare)).text
    receipt = Receipt(
        id=0,
        project_id=bench.project.id,
        attempt_id=bench.attempt.id,
        gate=bench.project.config.gate,
        commit=commit,
        tree=tree,
        result=run.result,
        tests_total=len(run.report.tests) if run.report is not None else None,
        tests_failed=run.report.failed[:100] if run.report is not None else (),
        is_flaky=is_flaky,
        job=str(run.directory.relative_to(sur.paths.state)),
        started_at=started_at,
        ended_at=sur.now(),
    )
    await sur.store.write_essential(store_receipt, bench.attempt, receipt)
    return receipt


def store_receipt(conn: Connection, attempt: Attempt, receipt: Receipt) -> None:
    """Store what a gate run showed, with its event."""
    receipts.insert_receipt(conn, receipt)
    conn.emit(
        "gate.ended",
        project_id=receipt.project_id,
        task_id=attempt.task_id,
        attempt_id=attempt.id,
        data={
            "commit": receipt.commit,
            "result": str(receipt.result),
            "tests_total": receipt.tests_total,
            "is_flaky": receipt.is_flaky,
            "wall_s": receipt.ended_at - receipt.started_at,
        },
    )


async def _setup_failed(
    sur: Surroundings, bench: Bench, commit: str, directory: Path, ended: JobExit | JobLost, started_at: float
) -> GateRun | None:
    setup = directory.with_name(f"{directory.name}-setup")
    count = set_aside(setup)
    setup = setup.with_name(f"{setup.name}.lost-{count}")
    if isinstance(ended, JobExit):
        if ended.reason is ExitReason.ESTOP:
            return None
        words = f"set-up in the gate's checkout failed: {ended.error or f'exit status {ended.code}'}"
    elif count < LOST_LIMIT:
        return None
    else:
        words = f"the shim of set-up in the gate's checkout died {count} times"
    run = _Run(GateResult.INTERRUPTED, words, setup, None)
    receipt = await _store_receipt(sur, bench, commit, run, is_flaky=False, started_at=started_at)
    return GateRun(receipt, words, output=str(setup / "stderr"), is_setup=True)
