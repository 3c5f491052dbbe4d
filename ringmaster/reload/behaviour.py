"""The stage that holds a candidate to the tests of the running release that it changed or removed.

Whoever changes code and its tests together changes what the daemon does, and its gate is green all the same. So the
contract, integration and end-to-end tests that differ are run in their old version, with the helpers of that time,
against the new code. What is red then is a change of behaviour, and a person says whether it is meant.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import trio

from ringmaster.model.generation import StageResult
from ringmaster.reload.candidate_spec import CandidateSpec
from ringmaster.reload.children import run_child, tail
from ringmaster.reload.gate_run import prepare_checkout
from ringmaster.reload.policy import Judgement, show_both
from ringmaster.reload.snapshot import ChangedBlob, changed_blobs, has_tree, read_files
from ringmaster.workspace.git_directory import remove_tree
from ringmaster.workspace.junit import MalformedReport, TestReport, read_report

HELD = ("tests/contract", "tests/integration", "tests/e2e")
TESTS = "tests"
SHOWN = 5
LOOK_LIMIT_S = 60.0


def check_behaviour(spec: CandidateSpec, scratch: Path) -> Judgement:
    """Run the old versions of what the candidate changed or removed among the held tests. Blocking.

    Passed; skipped where no tree of the running release is known; asks, with the old and the new text and what failed;
    retry when they take too long. The checkout has the old tests in it afterwards. Raises GitError, OSError.
    """
    if not (spec.trees and spec.tree and spec.running_tree):
        return Judgement(StageResult.SKIPPED, "the running release has no tests to hold it to")
    changed = trio.run(_changed_tests, spec)
    if changed is None:
        return Judgement(StageResult.SKIPPED, "the running release's tests are gone from the repository")
    if not changed:
        return Judgement(StageResult.PASSED, "no such test was changed or removed")
    checkout = prepare_checkout(spec)
    trio.run(_put_old_tests, spec, checkout)
    junit, output = scratch / "behaviour.xml", scratch / "behaviour.out"
    junit.unlink(missing_ok=True)
    python = find_python(spec, checkout, scratch)
    if not python:
        return Judgement(
            StageResult.ASKS, _question(changed, None, "they cannot be run: no interpreter here has pytest")
        )
    argv = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={junit}"]
    argv += [file.path for file in changed]
    environment = {**spec.environment, "CI": "1"}
    ended = run_child(argv, cwd=checkout, env=environment, output=output, limit_s=spec.behaviour_limit_s)
    count = f"{len(changed)} changed or removed test file{'' if len(changed) == 1 else 's'} in the old version"
    if ended.code is None:
        return Judgement(StageResult.RETRY, f"{count} took more than {spec.behaviour_limit_s:g} s\n{tail(output)}")
    if ended.code == 0:
        return Judgement(StageResult.PASSED, f"{count}: green")
    try:
        report = read_report(junit)
    except MalformedReport:
        report = None
    return Judgement(StageResult.ASKS, _question(changed, report, f"{ended.words}\n{tail(output)}"))


async def _changed_tests(spec: CandidateSpec) -> list[ChangedBlob] | None:
    trees = Path(spec.trees)
    if not await has_tree(trees, spec.running_tree):
        return None
    found = await changed_blobs(trees, spec.running_tree, spec.tree, HELD)
    return [file for file in found if file.old is not None and is_held(file.path)]


def is_held(path: str) -> bool:
    """Whether pytest collects tests from a file of this name. Pure."""
    name = path.rpartition("/")[2]
    return name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py"))


async def _put_old_tests(spec: CandidateSpec, checkout: Path) -> None:
    """All of `tests` as the running release had it: an old test calls the helpers of its own time."""
    files = await read_files(Path(spec.trees), spec.running_tree, (TESTS,))

    def write() -> None:
        remove_tree(checkout / TESTS)
        for file in files:
            path = checkout / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
            if file.is_executable:
                path.chmod(0o755)

    await trio.to_thread.run_sync(write)


def find_python(spec: CandidateSpec, checkout: Path, scratch: Path) -> str:
    """An interpreter that has pytest: what a gate made in this checkout or in the lane's, the candidate's, ours."""
    made = checkout / ".venv" / "bin" / "python"
    for python in dict.fromkeys((str(made), *spec.test_pythons, spec.python, sys.executable)):
        if not os.access(python, os.X_OK):
            continue
        look = [python, "-P", "-c", "import pytest"]
        ended = run_child(look, cwd=scratch, env=spec.environment, output=scratch / "look.out", limit_s=LOOK_LIMIT_S)
        if ended.code == 0:
            return python
    return ""


def _question(changed: Sequence[ChangedBlob], report: TestReport | None, said: str) -> str:
    """What a person is shown: per failed test the old and the new text, then what pytest said. Pure."""
    by_module = {file.path.removesuffix(".py").replace("/", "."): file for file in changed}
    shown = []
    for name in report.failed[:SHOWN] if report is not None else ():
        owner, _, test = name.partition("::")
        module = next((module for module in by_module if owner == module or owner.startswith(f"{module}.")), "")
        if not module:
            continue
        file = by_module[module]
        within = f"{owner.removeprefix(module).lstrip('.')}.{test.partition('[')[0]}".lstrip(".")
        shown.append(f"behaviour changed: {file.path}::{within}\n{show_both(file.old, file.new, within)}")
    if not shown:
        shown = [f"behaviour changed: {file.path}\n{show_both(file.old, file.new)}" for file in changed[:SHOWN]]
    return "\n\n".join([*shown, said])
