"""What of its own measurements is worth a task: pure rules from figures to proposals.

A proposal says what was seen and where the figure comes from, what must hold when it is done, and the measure that
must be better then. Its key names the finding for as long as it is the same one, whatever the figures are by then.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import msgspec

LABELS = ("selfhost", "proposed")
KEY_LABEL = "finding:"
MOST_OPEN = 5
"""Proposals of a project that may be open at once, where nobody says otherwise."""
SLOW_METHOD_S = 0.05
"""Nobody notices what is faster."""
SLOW_STATEMENT_S = 0.005
"""A batch of writes has 50 ms for all of its members."""
FEWEST_CALLS = 20
FEWEST_FAILURES = 3
FEWEST_LINES = 10
FINE_OUTCOMES = frozenset({"succeeded", "cancelled", "rate_limited", "no_changes", "needs_decision"})
"""Ends of an attempt that say nothing of how well Ringmaster did: a person's, the model's or the task's own."""
FAILURE_EVENTS = ("attempt.ended", "generation.bad", "project.paused", "settings.refused")
STATUS = "rmctl selfhost status"


class Timed(NamedTuple):
    """Calls of a method or runs of a statement, in seconds. internal_errors: failures that nobody expected."""

    name: str
    calls: int
    p50_s: float
    p99_s: float
    sum_s: float
    internal_errors: int = 0


class Failure(NamedTuple):
    """What went wrong in the same way several times. kind: the event, with an attempt's outcome. example: an id."""

    kind: str
    words: str
    times: int
    example: str


class Uncovered(NamedTuple):
    """What of a file no test runs. lines: of `statements`. names: functions that no test names, where nothing ran."""

    path: str
    lines: tuple[int, ...] = ()
    statements: int = 0
    names: tuple[str, ...] = ()


class Facts(NamedTuple):
    """All that proposals are made from. measured: since when and by which version; events: how many were read.

    uncovered_from: where those figures come from, in words.
    """

    measured: str = ""
    methods: tuple[Timed, ...] = ()
    statements: tuple[Timed, ...] = ()
    timed_share: float = 0.0
    failures: tuple[Failure, ...] = ()
    events: int = 0
    uncovered: tuple[Uncovered, ...] = ()
    uncovered_from: str = ""


class Proposal(NamedTuple):
    """A task that is worth doing. measure: what must be better, with its figure now. command: what shows it."""

    key: str
    title: str
    evidence: str
    acceptance: tuple[str, ...]
    measure: str
    command: str
    priority: int = 3

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of its task."""
        return (*LABELS, f"{KEY_LABEL}{self.key}")

    @property
    def description(self) -> str:
        """The words of its task."""
        return f"{self.evidence}\n\nMeasure: {self.measure}\nShown by: {self.command}\n"


class Filed(NamedTuple):
    """A task that was proposed earlier. is_open: it has not ended."""

    task_id: str
    key: str
    is_open: bool
    is_cancelled: bool


class Chosen(NamedTuple):
    """What is to be filed now. numbers: how often each was filed before. left_out: why some are not, in words.

    waiting: what there is no room for, in words too.
    """

    proposals: tuple[Proposal, ...]
    numbers: tuple[int, ...]
    left_out: tuple[str, ...]
    waiting: tuple[str, ...]


def propose(facts: Facts) -> tuple[Proposal, ...]:
    """Every proposal the figures give, the most useful first: failures, then the worst of each kind by turns."""
    turns = zip_longest(_of_failures(facts), _of_methods(facts), _of_statements(facts), _of_coverage(facts))
    return (*_of_internal_errors(facts), *(proposal for turn in turns for proposal in turn if proposal is not None))


def choose(
    proposals: Iterable[Proposal], filed: Sequence[Filed], most: int = MOST_OPEN, *, is_again: bool = False
) -> Chosen:
    """Those that may be filed beside what is open: no finding twice, never more than `most` open.

    A finding whose task a person cancelled is left alone, unless is_again.
    """
    of_key: dict[str, list[Filed]] = {}
    for task in filed:
        of_key.setdefault(task.key, []).append(task)
    room = most - sum(task.is_open for task in filed)
    chosen: list[Proposal] = []
    numbers: list[int] = []
    left_out: list[str] = []
    waiting: list[str] = []
    for proposal in proposals:
        earlier = of_key.get(proposal.key, [])
        is_open = next((task for task in earlier if task.is_open), None)
        if is_open is not None:
            left_out.append(f"{proposal.key} is open already: {is_open.task_id}")
        elif earlier and earlier[-1].is_cancelled and not is_again:
            left_out.append(f"{proposal.key} was cancelled: {earlier[-1].task_id}")
        elif len(chosen) >= room:
            waiting.append(f"{proposal.key} has to wait: at most {most} may be open")
        else:
            chosen.append(proposal)
            numbers.append(len(earlier))
    return Chosen(tuple(chosen), tuple(numbers), tuple(left_out), tuple(waiting))


def key_of(labels: Iterable[str]) -> str:
    """The finding that a task with these labels is about, '' for a task that was not proposed."""
    return next((label.removeprefix(KEY_LABEL) for label in labels if label.startswith(KEY_LABEL)), "")


def _of_internal_errors(facts: Facts) -> Iterator[Proposal]:
    found = [method for method in facts.methods if method.internal_errors]
    for method in sorted(found, key=lambda method: (-method.internal_errors, method.name)):
        yield Proposal(
            key=f"errors/{method.name}",
            title=f"Mend the internal errors of {method.name}",
            evidence=f"{method.internal_errors} of {method.calls} calls of `{method.name}` ended in an internal error, "
            f"which nobody expected ({facts.measured}). The daemon's log has each under the id that its client saw.",
            acceptance=(
                f"The cause of the internal errors of {method.name} is found in the log and mended, or told in words.",
                "A test fails without the change.",
                "`make gate` passes.",
            ),
            measure=f"internal errors of {method.name}: 0 (now: {method.internal_errors} in {method.calls} calls)",
            command=STATUS,
            priority=1,
        )


def _of_failures(facts: Facts) -> Iterator[Proposal]:
    found = [failure for failure in facts.failures if failure.times >= FEWEST_FAILURES]
    for failure in sorted(found, key=lambda failure: (-failure.times, failure.kind, failure.words)):
        type = failure.kind.partition(" ")[0]
        yield Proposal(
            key=f"failure/{failure.kind}/{failure.words}"[:200],
            title=f"Make this rarer: {failure.kind}: {failure.words}"[:200],
            evidence=f"{failure.times} of the newest {facts.events} ends and failures in the event log are "
            f"`{failure.kind}`: {failure.words} (the last one: {failure.example}).",
            acceptance=(
                "It is shown, with the events and logs of one case, why this happens.",
                "What Ringmaster itself can do against it is done, with a test that fails without the change; "
                "where it can do nothing, the words of the failure say what a person should do.",
                "`make gate` passes.",
            ),
            measure=f"events of this kind: fewer than {failure.times} of the newest {facts.events} ends and failures",
            command=f"rmctl events -t {type} -n {facts.events}",
            priority=2,
        )


def _of_methods(facts: Facts) -> Iterator[Proposal]:
    for method in _slowest(facts.methods, SLOW_METHOD_S, lambda method: method.p99_s):
        yield _faster(
            method,
            key=f"method/{method.name}",
            title=f"Answer {method.name} faster",
            evidence=f"The 99th percentile of `{method.name}` is {ms(method.p99_s)}, its median {ms(method.p50_s)}, "
            f"over {method.calls} calls ({facts.measured}).",
            floor_s=SLOW_METHOD_S,
        )


def _of_statements(facts: Facts) -> Iterator[Proposal]:
    share = f"{facts.timed_share:.0%} of the work was timed; {facts.measured}"
    for statement in _slowest(facts.statements, SLOW_STATEMENT_S, lambda statement: statement.sum_s):
        yield _faster(
            statement,
            key=f"statement/{statement.name}",
            title=f"Make the statement {statement.name} cheaper",
            evidence=f"`{statement.name}` took {statement.sum_s:.3g} s in {statement.calls} runs, its 99th percentile "
            f"is {ms(statement.p99_s)}, its median {ms(statement.p50_s)} ({share}).",
            floor_s=SLOW_STATEMENT_S,
        )


def _slowest(rows: Iterable[Timed], floor_s: float, by: Callable[[Timed], float]) -> list[Timed]:
    found = [row for row in rows if row.calls >= FEWEST_CALLS and row.p99_s > floor_s]
    return sorted(found, key=lambda row: (-by(row), row.name))


def _faster(row: Timed, *, key: str, title: str, evidence: str, floor_s: float) -> Proposal:
    wanted = ms(max(row.p99_s / 2, floor_s))
    return Proposal(
        key=key,
        title=title,
        evidence=evidence,
        acceptance=(
            "A measurement on a database or load like that of the evidence shows what the time goes to.",
            f"On that load the 99th percentile of {row.name} is at most {wanted}, with the figures before and after.",
            "No answer is other than before. `make gate` passes.",
        ),
        measure=f"99th percentile of {row.name}: at most {wanted} (now: {ms(row.p99_s)})",
        command=STATUS,
    )


def _of_coverage(facts: Facts) -> Iterator[Proposal]:
    found = [file for file in facts.uncovered if len(file.lines) >= FEWEST_LINES or file.names]
    for file in sorted(found, key=lambda file: (-len(file.lines), -len(file.names), file.path)):
        if file.lines:
            now = f"{len(file.lines)} of {file.statements} statements"
            evidence = f"No test runs {now} of {file.path}: lines {spans(file.lines)} ({facts.uncovered_from})."
            measure = f"statements of {file.path} that no test runs: fewer than {len(file.lines)}"
            command = f"{STATUS} --coverage FILE, after a new `coverage json`"
        else:
            evidence = f"No test names {', '.join(file.names)} of {file.path} ({facts.uncovered_from})."
            measure = f"public functions of {file.path} that no test names: fewer than {len(file.names)}"
            command = STATUS
        yield Proposal(
            key=f"coverage/{file.path}",
            title=f"Test what no test of {file.path} holds",
            evidence=evidence,
            acceptance=(
                "Each new test fails without the behaviour it holds; none is there for the figure alone.",
                "What cannot happen is removed, not tested.",
                "`make gate` passes.",
            ),
            measure=measure,
            command=command,
        )


def ms(seconds: float) -> str:
    """A duration for people."""
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def spans(lines: Sequence[int], most: int = 12) -> str:
    """Lines as `3-7, 9`, at most so many spans."""
    found: list[list[int]] = []
    for line in sorted(set(lines)):
        if found and line == found[-1][1] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    words = [f"{first}-{last}" if last > first else f"{first}" for first, last in found]
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")


_VARYING = re.compile(r"\b[0-9a-f]{7,40}\b|(?<![\w.])/[\w./+-]+|\b(?:rm|d|w)-[0-9a-z]+(?:/\d+)?\b|\d+(?:\.\d+)?")


def normal_words(words: str) -> str:
    """Words of a failure without what differs each time: ids, commits, paths, numbers. One line, bounded."""
    return _VARYING.sub("…", " ".join(words.split()))[:120].strip()


def count_failures(events: Iterable[Mapping[str, object]]) -> tuple[Failure, ...]:
    """Failures among events, each as the wire has it, oldest first; those of the same kind and words together."""
    counts: dict[tuple[str, str], list[str]] = {}
    for event in events:
        data = event["data"]
        assert isinstance(data, Mapping), "an event's data is an object"
        outcome = str(data.get("outcome", ""))
        # What a person asked for is no failure.
        if event["type"] not in FAILURE_EVENTS or outcome in FINE_OUTCOMES or event["actor"] == "operator":
            continue
        words = normal_words(str(data.get("reason") or data.get("words") or data.get("error") or ""))
        subject = event["attempt_id"] or event["task_id"] or event["project_id"] or f"event {event['seq']}"
        counts.setdefault((f"{event['type']} {outcome}".strip(), words), []).append(str(subject))
    return tuple(Failure(kind, words, len(ids), ids[-1]) for (kind, words), ids in counts.items())


class _File(msgspec.Struct):
    missing_lines: tuple[int, ...]
    executed_lines: tuple[int, ...] = ()


class _Report(msgspec.Struct):
    files: dict[str, _File]


def read_coverage(report: bytes) -> tuple[Uncovered, ...]:
    """The files of a report that `coverage json` wrote.

    Raises:
        ValueError: it is no such report.
    """
    try:
        files = msgspec.json.decode(report, type=_Report).files
    except msgspec.DecodeError as error:
        raise ValueError(f"not a report of `coverage json`: {error}") from error
    return tuple(
        Uncovered(path, file.missing_lines, len(file.missing_lines) + len(file.executed_lines))
        for path, file in files.items()
    )


def find_unnamed(functions: Mapping[str, Collection[str]], tests: Iterable[str]) -> tuple[Uncovered, ...]:
    """Public functions that no test names, by file: what can be said without a report, and without running anything.

    functions: the names in each file. tests: the text of each test. A function may well be run by a test that does
    not name it, so a file counts only when several of its functions are so.
    """
    named = set(re.findall(r"[A-Za-z_]\w*", "\n".join(tests)))
    found = {path: tuple(sorted(set(names) - named)) for path, names in functions.items()}
    return tuple(Uncovered(path, names=names) for path, names in found.items() if len(names) >= FEWEST_FAILURES)
