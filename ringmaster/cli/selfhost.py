"""`rmctl selfhost …`: what the daemon's own measurements say should be improved, and the tasks for it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ringmaster.cli import clock
from ringmaster.cli.command import Group, verb
from ringmaster.cli.output import Column, Row
from ringmaster.cli.session import Session
from ringmaster.cli.terminal import one_line
from ringmaster.model.errors import ErrorKind, RingmasterError

if TYPE_CHECKING:
    from ringmaster.model.proposal import Facts, Filed, Proposal, Timed, Uncovered

selfhost = Group("selfhost", help="Improvements of Ringmaster by Ringmaster: what its measurements propose.")

EVENTS_READ = 1000
SHOWN = 5
REPORT = "coverage.json"
SCRIPTED = "scripted"
MOST_REPORT_BYTES = 256 * 1024 * 1024
PROPOSED = (
    Column("TASK", "id"),
    Column("FINDING", "finding"),
    Column("TITLE", "title", is_flexible=True),
    Column("MEASURE", "measure", is_wide=True),
)


def _options(function: Any) -> Any:
    for option in (
        click.option("--coverage", "report", metavar="FILE", help=f"A report of `coverage json`. [{REPORT} there]"),
        click.option("-P", "--project", "project_id", default="", help="Ringmaster's own source; needed if unmarked."),
    ):
        function = option(function)
    return function


@verb(selfhost, help="File tasks for what the measurements show; a finding that is open is not filed again.")
@_options
@click.option("--max", "most", type=click.IntRange(0, 100), default=None, help="At most so many open ones in all. [5]")
@click.option("-n", "--dry-run", "is_dry_run", is_flag=True, help="Say what would be filed, file nothing.")
@click.option("--draft", "is_draft", is_flag=True, help="As drafts: a person opens them.")
@click.option("--agent", default="", help="Only for this agent. [any but the scripted one]")
@click.option("--again", "is_again", is_flag=True, help="Also what was proposed and cancelled before.")
def propose(
    session: Session,
    project_id: str,
    report: str | None,
    most: int | None,
    is_dry_run: bool,
    is_draft: bool,
    agent: str,
    is_again: bool,
) -> None:
    """Measure, choose, file, and say what was left out."""
    from ringmaster.model.proposal import MOST_OPEN, choose
    from ringmaster.model.proposal import propose as rules

    project = _project(session, project_id)
    facts = _facts(session, project, report)
    chosen = choose(
        rules(facts), _filed(session, project["id"]), MOST_OPEN if most is None else most, is_again=is_again
    )
    agent, is_undoable = (agent, False) if agent or not chosen.proposals else _find_agent(session)
    rows: list[Row] = []
    for proposal, number in zip(chosen.proposals, chosen.numbers, strict=True):
        id = "-"
        if not is_dry_run:
            id = _file(session, project["id"], proposal, number, is_draft=is_draft or is_undoable, agent=agent)
        rows.append({"id": id, "finding": proposal.key, **_shown(proposal)})
    session.output.rows(rows, PROPOSED, empty="nothing to propose")
    for words in (*chosen.left_out, *chosen.waiting[:SHOWN]):
        session.output.words(words)
    if len(chosen.waiting) > SHOWN:
        session.output.words(f"{len(chosen.waiting) - SHOWN} more have to wait")
    if is_undoable:
        session.output.words("as drafts, for no worker but the scripted one is there, which does recorded steps alone")
    verb = "would be filed" if is_dry_run else "filed"
    session.output.words(f"{len(rows)} {verb} for {project['id']}; {_sources(facts)}")


def _find_agent(session: Session) -> tuple[str, bool]:
    """For whom: '' for anybody. True: the scripted agent alone is there, and fails at what holds no recorded steps."""
    agents = {view["worker"]["agent"] for view in session.call("worker.list")["workers"]}
    if SCRIPTED not in agents:
        return "", False
    others = sorted(agents - {SCRIPTED})
    return (others[0], False) if others else ("", True)


def _shown(proposal: Proposal) -> Row:
    return {
        "title": proposal.title,
        "evidence": proposal.evidence,
        "acceptance": list(proposal.acceptance),
        "measure": proposal.measure,
        "command": proposal.command,
        "priority": proposal.priority,
    }


def _file(session: Session, project_id: str, proposal: Proposal, number: int, *, is_draft: bool, agent: str) -> str:
    """The id of the task. Two that file the same finding at once file one: the number makes the key of the request."""
    from ringmaster.protocol.task import TaskAddParams

    params = TaskAddParams(
        title=proposal.title,
        project_id=project_id,
        description=session.with_instance(proposal.description),
        priority=proposal.priority,
        labels=proposal.labels,
        acceptance=proposal.acceptance,
        agent=agent,
        is_draft=is_draft,
        idempotency_key=f"selfhost-propose/{project_id}/{proposal.key}/{number}",
    )
    try:
        return str(session.call("task.add", params)["view"]["task"]["id"])
    except RingmasterError as error:
        if error.kind is not ErrorKind.CONFLICT:
            raise
        session.output.words(f"{proposal.key} has just been filed by another call")
        return "-"


@verb(selfhost, help="The slowest methods and statements, the most frequent failures, and what is proposed already.")
@_options
def status(session: Session, project_id: str, report: str | None) -> None:
    """Show the figures that proposals are made from."""
    project = _project(session, project_id)
    facts = _facts(session, project, report)
    filed = [task for task in _filed(session, project["id"]) if task.is_open]
    methods = sorted(facts.methods, key=lambda method: -method.p99_s)[:SHOWN]
    failures = sorted(facts.failures, key=lambda failure: -failure.times)[:SHOWN]
    files = sorted(facts.uncovered, key=lambda file: (-len(file.lines), -len(file.names)))[:SHOWN]
    errors = {method.name: method.internal_errors for method in facts.methods if method.internal_errors}
    row: Row = {
        "id": project["id"],
        "measured": facts.measured,
        "methods": [method._asdict() for method in methods],
        "statements": [statement._asdict() for statement in facts.statements[:SHOWN]],
        "internal_errors": errors,
        "failures": [failure._asdict() for failure in failures],
        "uncovered": [{"path": file.path, "lines": len(file.lines), "names": list(file.names)} for file in files],
        "uncovered_from": facts.uncovered_from,
        "proposed": [{"id": task.task_id, "finding": task.key} for task in filed],
    }

    def layout() -> str:
        sections = (
            ("measured", [facts.measured]),
            ("method", map(_figures, methods)),
            ("statement", map(_figures, facts.statements[:SHOWN])),
            ("internal errors", [f"{name}: {count}" for name, count in errors.items()]),
            ("failure", [f"{failure.times} times: {failure.kind}: {failure.words}" for failure in failures]),
            ("untested", [f"{file.path}: {len(file.lines) or len(file.names)}" for file in files]),
            ("proposed", [f"{task.task_id}: {task.key}" for task in filed]),
        )
        return "".join(f"{heading}\t{one_line(line)}\n" for heading, lines in sections for line in lines)

    session.output.item(row, layout)
    session.output.words(_sources(facts))


def _figures(row: Timed) -> str:
    from ringmaster.model.proposal import ms

    return f"{row.name}: p99 {ms(row.p99_s)}, p50 {ms(row.p50_s)}, {row.calls} times, {row.sum_s:.3g} s in all"


def _project(session: Session, project_id: str) -> Row:
    """The project that is Ringmaster's own source: named, marked as such, or the only one.

    Raises:
        RingmasterError: NOT_FOUND where none is named so, USAGE where it cannot be told.
    """
    projects: list[Row] = session.call("project.list")["projects"]
    found = [project for project in projects if project["id"] == project_id]
    if project_id and not found:
        names = ", ".join(project["id"] for project in projects) or "none"
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no project {project_id!r}", f"there are: {names}")
    found = found or [project for project in projects if project["config"].get("is_self")]
    found = found or (projects if len(projects) == 1 else [])
    if len(found) != 1:
        words = "no project is marked as Ringmaster's own source" if not found else "several projects are marked"
        raise RingmasterError(ErrorKind.USAGE, words, session.command("selfhost propose --project NAME"))
    return found[0]


def _filed(session: Session, project_id: str) -> list[Filed]:
    """All that was ever proposed for a project, the oldest first."""
    from ringmaster.model.proposal import LABELS, Filed, key_of
    from ringmaster.model.states import ENDED_TASK_STATES, TaskState
    from ringmaster.protocol.task import TaskListParams

    found: list[Filed] = []
    cursor: int | None = 0
    while cursor is not None:
        params = TaskListParams(project_id=project_id, label=LABELS[1], is_all=True, limit=10_000, cursor=cursor)
        page = session.call("task.list", params)
        for view in page["tasks"]:
            task = view["task"]
            if key := key_of(task["labels"]):
                is_cancelled = task["state"] == TaskState.CANCELLED
                found.append(Filed(task["id"], key, task["state"] not in ENDED_TASK_STATES, is_cancelled))
        cursor = page["next_cursor"]
    return found


def _facts(session: Session, project: Row, report: str | None) -> Facts:
    """All figures there are."""
    from ringmaster.model.proposal import FAILURE_EVENTS, Facts, count_failures
    from ringmaster.protocol.event import EventsReadParams

    measures = session.call("daemon.measures")
    events = session.call("events.read", EventsReadParams(type=FAILURE_EVENTS, limit=EVENTS_READ))["events"]
    uncovered, uncovered_from = _uncovered(Path(project["path"]), report)
    return Facts(
        measured=f"{measures['rpc']['calls']} calls since {clock.rfc3339(measures['rpc']['since_at'])}",
        methods=_timed(row for row in measures["rpc"]["methods"] if row["is_prompt"] or row["internal_errors"]),
        statements=_timed(measures["statements"]),
        timed_share=measures["timed_share"],
        failures=count_failures(events),
        events=len(events),
        uncovered=uncovered,
        uncovered_from=uncovered_from,
    )


def _timed(rows: Any) -> tuple[Timed, ...]:
    from ringmaster.model.proposal import Timed

    return tuple(Timed(*(row[name] for name in Timed._fields)) for row in rows)


def _uncovered(tree: Path, report: str | None) -> tuple[tuple[Uncovered, ...], str]:
    """What no test runs, and where that is known from: a report, else the names that tests name.

    Raises:
        RingmasterError: USAGE for a report that was named and cannot be read.
    """
    from ringmaster.model.proposal import find_unnamed, read_coverage

    path = Path(report) if report else tree / REPORT
    if report or path.is_file():
        try:
            if path.stat().st_size > MOST_REPORT_BYTES or not path.is_file():
                raise ValueError("not a report of `coverage json`")
            made_at = clock.rfc3339(path.stat().st_mtime)
            return read_coverage(path.read_bytes()), f"{path.name} of {made_at}"
        except OSError as error:
            raise RingmasterError(ErrorKind.USAGE, f"cannot read {path}: {error.strerror}") from error
        except ValueError as error:
            raise RingmasterError(ErrorKind.USAGE, f"{path}: {error}", "make it with: coverage json") from error
    tests = [_text(test) for test in sorted((tree / "tests").rglob("*.py"))]
    if not tests:
        return (), ""
    packages = [directory for directory in sorted(tree.iterdir()) if (directory / "__init__.py").is_file()]
    sources = [path for package in packages if package.name != "tests" for path in sorted(package.rglob("*.py"))]
    functions = {str(path.relative_to(tree)): _public_names(_text(path)) for path in sources}
    return find_unnamed(functions, tests), f"no {REPORT} in {tree}, so by the names that tests name; nothing was run"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _public_names(source: str) -> list[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return []
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [function.name for function in functions if not function.name.startswith("_")]


def _sources(facts: Facts) -> str:
    """What was looked at, and what was not."""
    coverage = f"untested: {facts.uncovered_from}" if facts.uncovered_from else f"no {REPORT} and no tests: skipped"
    return f"looked at {facts.measured}, {facts.events} ends and failures; {coverage}"
