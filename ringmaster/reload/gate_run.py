"""The stage that runs the project's gate on a candidate's tree, in a checkout at one fixed path."""

from __future__ import annotations

import re
from pathlib import Path

import trio

from ringmaster.model.generation import StageResult
from ringmaster.reload.candidate_spec import CandidateSpec
from ringmaster.reload.children import Ended, run_child, tail
from ringmaster.reload.policy import Judgement
from ringmaster.reload.snapshot import commit_of_tree
from ringmaster.workspace.environment import gate_variables
from ringmaster.workspace.junit import MalformedReport, TestReport, read_report
from ringmaster.workspace.merge import prepare_gate_checkout

COMMAND_NOT_FOUND = 127
READ_BYTES = 1 << 20
SAID_LIMIT = 300
_FAILED_TEST = re.compile(r"(FAILED|ERROR|FAIL:|ERROR:|--- FAIL:|not ok)\s+\S")
"""How pytest, unittest, go test and TAP begin the line that names a failed test."""
_FOUND_AT = re.compile(r"[^\s:]+:\d+(:\d+)?: \S")
"""How checkers and compilers begin the line that names what they found."""
_OF_MAKE = re.compile(r"g?make(\[\d+\])?: ")
"""What make says of a failure is that there was one."""


def prepare_checkout(spec: CandidateSpec) -> Path:
    """Make the checkout exactly the candidate's tree, but for the directories that the project keeps. Blocking.

    Raises GitError, RingmasterError, OSError.
    """
    checkout, trees = Path(spec.checkout), Path(spec.trees)

    async def prepare() -> None:
        commit = await commit_of_tree(trees, spec.tree)
        await prepare_gate_checkout(trees, checkout, commit, spec.cache)

    trio.run(prepare)
    return checkout


def run_gate(spec: CandidateSpec, scratch: Path) -> Judgement:
    """Run set-up and gate on the candidate's tree; red is run once more, for pytest only what failed. Blocking.

    Passed; skipped without a gate or a tree; failed with the end of what it said; retry for a set-up that fails and
    for a run that takes too long or whose command is not there: those say nothing of the candidate.
    Raises GitError, RingmasterError, OSError.
    """
    if spec.reused:
        return Judgement(StageResult.PASSED, spec.reused)
    if not spec.gate:
        return Judgement(StageResult.SKIPPED, "the project has no gate")
    if not (spec.tree and spec.trees):
        return Judgement(StageResult.SKIPPED, "a package has no tests of its own")
    checkout = prepare_checkout(spec)
    for command in spec.setup:
        ended = _run(spec, command, checkout, scratch / "setup.out", spec.setup_limit_s, {})
        if ended.code != 0:
            said = tail(scratch / "setup.out")
            return Judgement(StageResult.RETRY, f"set-up `{command}`: {ended.words}\n{said}".strip())
    first = _run_once(spec, checkout, scratch, "gate", is_rerun=False)
    if first.result is not StageResult.FAILED:
        return first
    second = _run_once(spec, checkout, scratch, "gate-rerun", is_rerun=True)
    if second.result is StageResult.PASSED:
        return Judgement(StageResult.PASSED, f"flaky: red, and green when run again ({first.words.splitlines()[0]})")
    return first


def _run_once(spec: CandidateSpec, checkout: Path, scratch: Path, name: str, *, is_rerun: bool) -> Judgement:
    junit, output = scratch / f"{name}.xml", scratch / f"{name}.out"
    junit.unlink(missing_ok=True)
    variables = {"CI": "1", **gate_variables(junit, is_rerun=is_rerun)}
    ended = _run(spec, spec.gate, checkout, output, spec.gate_limit_s, variables)
    if ended.code is None:
        return Judgement(StageResult.RETRY, f"`{spec.gate}` took more than {spec.gate_limit_s:g} s\n{tail(output)}")
    if ended.code == COMMAND_NOT_FOUND:
        return Judgement(StageResult.RETRY, f"`{spec.gate}` was not found (exit status 127)\n{tail(output)}")
    try:
        report = read_report(junit)
    except MalformedReport as error:
        return Judgement(StageResult.FAILED, f"`{spec.gate}` left a report that cannot be believed: {error}")
    if ended.code != 0:
        words = f"`{spec.gate}`: {ended.words}{_failed(report) or first_failed(tail(output, READ_BYTES))}"
        return Judgement(StageResult.FAILED, f"{words}\n{tail(output)}".strip())
    if report is not None and all(result == "skipped" for result in report.tests.values()):
        return Judgement(StageResult.FAILED, f"`{spec.gate}` passed but ran no test at all")
    count = "" if report is None else f", {len(report.tests)} tests"
    return Judgement(StageResult.PASSED, f"`{spec.gate}`{count}")


def _failed(report: TestReport | None) -> str:
    return f", {len(report.failed)} failed: {', '.join(report.failed[:3])}" if report and report.failed else ""


def first_failed(said: str) -> str:
    """': ' and the first line that names a failed test, else a finding, else the last; '' of silence. Pure.

    It goes into the only line that most places show.
    """
    lines = [stripped for line in said.splitlines() if (stripped := line.strip())]
    lines = [line for line in lines if not _OF_MAKE.match(line)] or lines[-1:]
    names = (line for pattern in (_FAILED_TEST, _FOUND_AT) for line in lines if pattern.match(line))
    found = next(names, lines[-1] if lines else "")
    return f": {found[:SAID_LIMIT]}" if found else ""


def _run(
    spec: CandidateSpec, command: str, checkout: Path, output: Path, limit_s: float, variables: dict[str, str]
) -> Ended:
    environment = {**spec.environment, **variables}
    return run_child(["/bin/sh", "-c", command], cwd=checkout, env=environment, output=output, limit_s=limit_s)
