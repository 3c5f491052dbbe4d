"""What about a piece of work only a person may let through: changes to what judges it, tests that hold less."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio

from ringmaster.model.decisions import LANDING_KINDS, DecisionKind
from ringmaster.store import decisions
from ringmaster.store.connection import Connection
from ringmaster.workers.gate import GateRun, read_job_report
from ringmaster.workers.preparing import Bench
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.diff import ChangedFile, changed_files, read_files
from ringmaster.workspace.junit import compare_reports
from ringmaster.workspace.protected import is_makefile, protected_changes
from ringmaster.workspace.weakened import is_test_file, weakened_tests


class Concern(msgspec.Struct, frozen=True):
    """One reason to ask a person, in words."""

    kind: DecisionKind
    words: str


async def find_concerns(
    sur: Surroundings, bench: Bench, *, tip: str, commit: str, run: GateRun | None, base_job: Path | None
) -> list[Concern]:
    """Everything a person must see before `commit` lands on `tip`.

    run: the gate's run, None when the project has no gate. base_job: the gate job of the tip, whose test
    report the new one is held against; without one nothing can have vanished.
    """
    attempt, config = bench.attempt, bench.project.config
    concerns: list[Concern] = []
    files = await changed_files(bench.bare, tip, commit)
    if not config.gate:
        concerns.append(Concern(DecisionKind.NO_GATE, "the project has no gate, so nothing shows that this works"))
    concerns += await _protected(bench, tip, commit, files)
    concerns += await _tests(bench, tip, commit, files)
    if run is not None:
        concerns += await trio.to_thread.run_sync(_compare_tests, sur, run, base_job)
        concerns += [
            Concern(DecisionKind.PROTECTED, f"the gate changed {path}, a tracked file, while it ran")
            for path in run.changed_files
        ]
    for problem in attempt.report.get("problems") or ():
        if problem.get("is_blocking"):
            concerns.append(Concern(DecisionKind.ACCEPT, str(problem.get("detail", problem.get("kind")))))
    if config.approve == "ask":
        concerns.append(Concern(DecisionKind.ACCEPT, "the project asks a person before each landing"))
    return concerns


async def _protected(bench: Bench, tip: str, commit: str, files: tuple[ChangedFile, ...]) -> list[Concern]:
    config = bench.project.config
    makefiles = ["Makefile", "makefile", "GNUmakefile"]
    makefiles += [file.path for file in files if is_makefile(file.path) and file.path not in makefiles]
    texts: dict[str, str] = {}
    for at in (tip, commit):
        for path, content in (await read_files(bench.bare, at, makefiles)).items():
            if content is not None:
                texts[path] = texts.get(path, "") + "\n" + content.decode("utf-8", "replace")
    found = protected_changes(files, config.protected, (config.gate, *config.setup), texts)
    return [Concern(DecisionKind.PROTECTED, f"{change.path}: {change.why}") for change in found]


async def _tests(bench: Bench, tip: str, commit: str, files: tuple[ChangedFile, ...]) -> list[Concern]:
    paths = [file.path for file in files if is_test_file(file.path)]
    if not paths:
        return []
    before, after = await read_files(bench.bare, tip, paths), await read_files(bench.bare, commit, paths)
    # In a thread: a large test file takes the parser longer than the loop can be spared.
    weakened = await trio.to_thread.run_sync(weakened_tests, before, after)
    concerns = [
        Concern(DecisionKind.TESTS_CHANGED, f"{test.path} {test.test}: {test.why}".replace(" :", ":"))
        for test in weakened
    ]
    if bench.project.config.test_changes == "ask":
        concerns += [Concern(DecisionKind.TESTS_CHANGED, f"{path}: a test file changed") for path in paths]
    return concerns


def _compare_tests(sur: Surroundings, run: GateRun, base_job: Path | None) -> list[Concern]:
    report = read_job_report(sur.paths.state / run.receipt.job)
    base = read_job_report(base_job) if base_job is not None else None
    if report is None:
        if base is None:
            return []
        return [Concern(DecisionKind.TESTS_CHANGED, "the gate wrote no test report, although it did on the tip")]
    compared = compare_reports(base, report)
    return [
        *(Concern(DecisionKind.TESTS_CHANGED, f"{name}: ran on the tip and is gone") for name in compared.vanished),
        *(
            Concern(DecisionKind.TESTS_CHANGED, f"{name}: ran on the tip and is skipped now")
            for name in compared.newly_skipped
        ),
    ]


def accepted_lines(conn: Connection, task_id: str, attempt_id: str) -> set[str]:
    """What a person has let through of an attempt's work, line by line as `question_about` put it.

    A person accepts what was shown. What only arises on a newer tip, or under other settings, is asked about anew.
    """
    lines: set[str] = set()
    for decision in decisions.salvaged_of_task(conn, task_id):
        if decision.attempt_id == attempt_id and decision.kind in LANDING_KINDS and decision.answer == "accept":
            lines.update(decision.detail.splitlines())
    return lines


def question_about(task_id: str, concerns: list[Concern]) -> tuple[DecisionKind, str, str]:
    """The one decision for several concerns: its kind is the gravest, its detail lists them all."""
    order = (DecisionKind.PROTECTED, DecisionKind.TESTS_CHANGED, DecisionKind.NO_GATE, DecisionKind.ACCEPT)
    first = min(concerns, key=lambda concern: order.index(concern.kind))
    more = f" (and {len(concerns) - 1} more)" if len(concerns) > 1 else ""
    question = f"may {task_id} land? {first.words}{more}"
    return first.kind, question, "\n".join(f"- {concern.words}" for concern in concerns)
