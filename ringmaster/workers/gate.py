"""Running a project's gate on one commit, and what the run shows."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import trio

from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.receipt import GateResult, Receipt
from ringmaster.output.secrets import find_redactor
from ringmaster.proc.job_files import ExitReason, JobExit, JobSpec, read_exit, write_durably
from ringmaster.store import receipts
from ringmaster.store.connection import Connection
from ringmaster.workers.agent_step import child_environment, run_setup
from ringmaster.workers.checkout import (
    CheckoutUse,
    inode_of,
    is_standing,
    note_use,
    read_standing_use,
    take_checkout,
)
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.jobs import LOST, make_spec, run_job, set_aside
from ringmaster.workers.preparing import Bench
from ringmaster.workers.room import refuse_without_room
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.environment import CacheKind, gate_variables, secret_names
from ringmaster.workspace.git import run_git
from ringmaster.workspace.junit import MalformedReport, TestReport, read_report
from ringmaster.workspace.merge import changed_by_gate, prepare_gate_checkout

COMMAND_NOT_FOUND = 127
LOST_LIMIT = 3
CHANGED = "changed.json"
"""In a gate's job directory: the tracked files that the gate changed."""


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


class CheckoutGone(RingmasterError):
    """The gate's checkout was removed while something ran in it: what that showed says nothing of the commit."""


FAILED_KEPT = 100
"""Of the tests that failed, how many are named."""


class _Run(msgspec.Struct, frozen=True):
    """One execution of the set-up or the gate. is_stopped: it was told to end, and shows nothing.

    words, failed: as they may be shown; failed: the first hundred tests that did.
    """

    result: GateResult
    words: str
    directory: Path
    report: TestReport | None
    is_stopped: bool = False
    failed: tuple[str, ...] = ()


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


def next_number(directory: Path, prefix: str) -> int:
    """The number of an attempt's next run under this prefix: a name is used for one preparation only. Blocking."""
    names = os.listdir(directory) if directory.is_dir() else ()
    found = [re.fullmatch(rf"{re.escape(prefix)}-(\d+)(-.*|\..*)?", name) for name in names]
    return max((int(match.group(1)) for match in found if match), default=0) + 1


async def note_gate(bench: Bench, checkout: Path, commit: str, *, prefix: str, work: str) -> CheckoutUse:
    """Say that the checkout, which stands on `commit` as git left it, is this attempt's from now on."""
    number = await trio.to_thread.run_sync(next_number, bench.directory, prefix)
    use = CheckoutUse(
        attempt_id=bench.attempt.id,
        prefix=prefix,
        number=number,
        digest=gate_digest(bench, commit),
        commit=commit,
        work=work,
        inode=inode_of(checkout),
    )
    await note_use(checkout, use)
    return use


async def _ready_checkout(
    sur: Surroundings, bench: Bench, checkout: Path, commit: str, prefix: str, work: str
) -> CheckoutUse:
    """The use under which `commit` is gated: the one that was noted, or a new one on a fresh preparation."""
    use = await read_standing_use(checkout)
    wanted = (bench.attempt.id, prefix, gate_digest(bench, commit))
    if use is not None and (use.attempt_id, use.prefix, use.digest) == wanted:
        return use
    await take_checkout(sur, checkout)
    await prepare_gate_checkout(bench.bare, checkout, commit, bench.project.config.cache)
    return await note_gate(bench, checkout, commit, prefix=prefix, work=work)


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
    sur: Surroundings,
    bench: Bench,
    control: AttemptControl,
    checkout: Path,
    commit: str,
    *,
    prefix: str = "gate",
    work: str = "",
    known_failures: Sequence[str] = (),
) -> GateRun | None:
    """Run set-up and gate on `commit`; store and return the receipt.

    work: the landing commit on whose behalf it runs. known_failures: the tests that failed there; a run that fails
    in exactly these is no flake and is not repeated. Any other red run is repeated once, for pytest only what failed;
    a different result is green and noted as flaky.
    None when the attempt was asked to end, or the machine to stop (nothing is stored then).
    Re-enterable: what an earlier daemon started for the same commit is adopted. Raises CheckoutGone when the checkout
    was removed meanwhile, GitError, and DISK_FULL while there is no room to run it: a red run then shows nothing.
    """
    started_at = sur.now()
    use = await _ready_checkout(sur, bench, checkout, commit, prefix, work)
    directory = bench.directory / use.job_name
    if not (directory / "run.json").exists():
        refuse_without_room(sur.paths)
    broken = await _run_setup(sur, bench, control, checkout, directory)
    if control.wanted is not None or (broken is not None and broken.is_stopped):
        return None
    _refuse_gone(checkout, use)
    if broken is not None:
        refuse_without_room(sur.paths)
        receipt = await _store_receipt(sur, bench, commit, broken, is_flaky=False, started_at=started_at)
        return GateRun(receipt, broken.words, output=str(broken.directory / "stdout"), is_setup=True)
    run = await _run_once(sur, bench, control, checkout, commit, directory, is_rerun=False)
    _refuse_gone(checkout, use)
    is_flaky = False
    if run is not None and run.result is GateResult.RED:
        refuse_without_room(sur.paths, directory)
        if not _is_failing_alike(run, known_failures):
            again = directory.with_name(f"{directory.name}-rerun")
            second = await _run_once(sur, bench, control, checkout, commit, again, is_rerun=True)
            if second is None:
                return None
            _refuse_gone(checkout, use)
            if second.result is GateResult.RED:
                refuse_without_room(sur.paths, again)
            elif second.result is GateResult.GREEN:
                run = msgspec.structs.replace(second, report=run.report, failed=run.failed, directory=directory)
                is_flaky = True
    if run is None:
        return None
    # Before the receipt, with which the run is over: who is killed in between finds both or neither.
    changed = await changed_by_gate(bench.bare, checkout, commit)
    if changed:
        await trio.to_thread.run_sync(write_durably, run.directory / CHANGED, msgspec.json.encode(changed))
    receipt = await _store_receipt(sur, bench, commit, run, is_flaky=is_flaky, started_at=started_at)
    return GateRun(receipt, run.words, output=str(run.directory / "stdout"), changed_files=changed)


def _refuse_gone(checkout: Path, use: CheckoutUse) -> None:
    if not is_standing(checkout, use):
        raise CheckoutGone(
            ErrorKind.NOT_FOUND,
            f"the gate's checkout {checkout} was removed while its gate ran",
            "find out what removes it (the gate itself, a cleaning job), then resume the project",
        )


def _is_failing_alike(run: _Run, known_failures: Sequence[str]) -> bool:
    return bool(known_failures) and run.failed == tuple(known_failures)


async def earlier_run(sur: Surroundings, receipt: Receipt) -> GateRun:
    """What a stored run showed, from the files of its job."""
    return await trio.to_thread.run_sync(_read_run, receipt, sur.paths.state / receipt.job)


def _read_run(receipt: Receipt, directory: Path) -> GateRun:
    try:
        changed = msgspec.json.decode((directory / CHANGED).read_bytes(), type=tuple[str, ...])
    except (OSError, msgspec.MsgspecError):
        changed = ()
    words = ""
    if receipt.result is not GateResult.GREEN:
        ended = read_exit(directory)
        words = judge_run(ended, directory).words if ended is not None else f"the gate was {receipt.result}"
    return GateRun(receipt, words, output=str(directory / "stdout"), changed_files=changed)


async def _run_setup(
    sur: Surroundings, bench: Bench, control: AttemptControl, checkout: Path, directory: Path
) -> _Run | None:
    """Run the project's set-up in the checkout; None when it succeeded or there is none."""
    setup = directory.with_name(f"{directory.name}-setup")
    while True:
        ended = await run_setup(sur, bench, control, setup, checkout, CacheKind.GATE)
        if ended is None or (isinstance(ended, JobExit) and ended.reason is ExitReason.EXITED and ended.code == 0):
            return None
        if control.wanted is not None:
            return _Run(GateResult.INTERRUPTED, control.reason, setup, None, is_stopped=True)
        count = set_aside(setup)
        aside = setup.with_name(f"{setup.name}{LOST}{count}")
        if isinstance(ended, JobExit) and ended.reason is ExitReason.ESTOP:
            return _Run(GateResult.INTERRUPTED, "stopped by estop", aside, None, is_stopped=True)
        if isinstance(ended, JobExit) and ended.reason is not ExitReason.CANCELLED:
            words = f"set-up in the gate's checkout failed: {ended.error or f'exit status {ended.code}'}"
            return _Run(GateResult.INTERRUPTED, words, aside, None)
        if count >= LOST_LIMIT:
            words = f"set-up in the gate's checkout was ended from outside {count} times"
            return _Run(GateResult.INTERRUPTED, words, aside, None)


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

    async def make() -> JobSpec:  # noqa: ASYNC124 (run_job awaits what makes a spec; others have to)
        variables = {"CI": "1", **gate_variables(directory / "junit.xml", is_rerun=is_rerun)}
        env = child_environment(sur, bench, CacheKind.GATE, bench.directory / "gate-home", variables)
        return make_spec(
            sur,
            kind=directory.name,
            label=gate_digest(bench, commit),
            # One stream, in the order in which it was said: that is what a person reads.
            argv=("/bin/sh", "-c", f"exec 2>&1\n{bench.project.config.gate}"),
            cwd=checkout,
            env=env,
            secret_names=secret_names(env, allowed=bench.project.config.env),
            wall_s=bench.project.config.gate_limit_s,
        )

    while True:
        ended = await run_job(sur, bench.attempt, control, directory, make)
        if control.wanted is not None:
            return None
        if isinstance(ended, JobExit) and ended.reason is not ExitReason.CANCELLED:
            break
        # Its shim died, or was told to end by somebody who is not the daemon: that shows nothing of the commit.
        count = set_aside(directory)
        if count >= LOST_LIMIT:
            lost = directory.with_name(f"{directory.name}{LOST}{count}")
            return _Run(GateResult.RED, f"the gate was ended from outside {count} times", lost, None)
    if ended.reason is ExitReason.ESTOP:
        set_aside(directory)
        return None
    return await trio.to_thread.run_sync(judge_run, ended, directory)


def judge_run(ended: JobExit, directory: Path) -> _Run:
    """What one execution shows, without keys and what the attempt's jobs were handed. Blocking."""
    run = _judge_run(ended, directory)
    redactor = find_redactor(directory.parent)
    failed = run.report.failed[:FAILED_KEPT] if run.report is not None else ()
    return msgspec.structs.replace(
        run, words=redactor.shown(run.words), failed=tuple(redactor.shown(name) for name in failed)
    )


def _judge_run(ended: JobExit, directory: Path) -> _Run:
    """Zero tests in a report is red; a report that cannot be believed is red."""
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
        tests_failed=run.failed,
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
