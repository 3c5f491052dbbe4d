"""How tasks look: rows, the page of `task show`, a diff."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ringmaster.cli import clock, terminal
from ringmaster.cli.attempt_layout import ATTEMPTS_OF_TASK
from ringmaster.cli.output import Column, Output, Row
from ringmaster.cli.page import Page
from ringmaster.cli.session import Session
from ringmaster.model.dependency import OTHERS

F = TypeVar("F", bound=Callable[..., Any])


def flat(view: Row) -> Row:
    """A TaskView as one row: the task's fields, then what is derived."""
    return {**view["task"], **{key: value for key, value in view.items() if key != "task"}}


def shown(row: Row) -> str:
    """The derived state; landed work that waits for its checkout says so, and work on its way that asks a person."""
    if row.get("is_parked"):
        return f"{row['shown']} (parked)"
    is_asking = row.get("is_asking") and row["shown"] in ("running", "validating")
    return f"{row['shown']} (asks you)" if is_asking else str(row["shown"])


def _children(row: Row) -> str:
    """How many of its children are done, of how many; nothing without children."""
    return f"{row['done_children']}/{row['children']} done" if row["children"] else ""


def _at(value: float | None) -> str:
    return "" if value is None else clock.local_time(value, time.time())


TASKS = (
    Column("ID", "id"),
    Column("STATE", shown),
    Column("PRI", "priority"),
    Column("TYPE", "type", is_wide=True),
    Column("PROJECT", "project_id"),
    Column("TRIES", lambda row: f"{row['counted_attempts']}/{row['max_attempts']}"),
    Column("TITLE", "title", is_flexible=True),
    Column("CHILDREN", _children, is_wide=True),
    Column("DEADLINE", lambda row: _at(row["deadline_at"]), is_wide=True),
    Column("HELD", lambda row: "held" if row["held_at"] is not None else "", is_wide=True),
    Column("LABELS", "labels", is_wide=True),
    Column("AGENT", "agent", is_wide=True),
    Column("COMMIT", lambda row: row["landed_commit"][:12], is_wide=True),
)
CHANGED = (Column("ID", "id"), Column("STATE", shown), Column("TITLE", "title", is_flexible=True))


def layout(session: Session, row: Row) -> str:
    """The page of one task: what it is, what is in its way, what was tried, what comes next."""
    page = Page(session.output)
    page.title(row["id"], shown(row), row["title"])
    page.fact("project", row["project_id"])
    page.fact("type", row["type"])
    page.fact("priority", row["priority"])
    page.fact("labels", row["labels"])
    page.fact("agent", " ".join(word for word in (row["agent"], row["model"]) if word))
    page.fact("needs", row["capabilities"])
    page.fact("limits", _limits(row["limits"]))
    page.fact("attempts", f"{row['counted_attempts']} of {row['max_attempts']} counted, {row['attempt_number']} in all")
    if not row["is_diff_needed"]:
        page.fact("change", "not needed")
    page.fact("children", _family(row))
    page.fact("deadline", page.at(row["deadline_at"]))
    page.fact("held since", page.at(row["held_at"]))
    page.fact("not before", page.at(row["not_before_at"]))
    page.fact("created", page.at(row["created_at"]))
    if row["imported"]:
        known = ", ".join(f"{name} {value}" for name, value in row["imported"]["fields"].items())
        words = f"from {row['imported']['source']}" + (f": {known}" if known else "")
        page.fact("imported", terminal.one_line(words))
    left = row["left_out"].get("dependents", 0)
    page.fact("waited for by", row["dependents"] + ([f"and {left:,} more"] if left else []))
    if row["done_by"]:
        page.fact("done by", " ".join(word for word in (row["done_by"], row["landed_commit"][:12]) if word))
    page.text("description", row["description"])
    page.bullets("accept when", row["acceptance"])
    for said in row["comments"]:
        page.text(terminal.one_line(f"{said['author']}, {page.at(said['at'])}"), said["text"])
    page.table("depends on", row["depends"], DEPENDS)
    _add_left_out(session, page, row, "depends")
    page.table("in the way", row["blockers"], (Column("", "kind"), Column("", "id"), Column("", "words")))
    _add_left_out(session, page, row, "blockers")
    page.table("attempts", row["attempts"], ATTEMPTS_OF_TASK)
    page.table("gate", row["receipts"], RECEIPTS)
    page.table("decisions", row["decisions"], DECISIONS)
    page.gap()
    page.fact("next", session.with_instance(row["next_step"]))
    tries = row["attempts"]
    if tries and max(tries, key=lambda one: int(one["number"]))["outcome"] == "gate_failed":
        page.fact("gate output", session.command(f"logs {row['id']} -S gate"))
    return page.done()


def _add_left_out(session: Session, page: Page, row: Row, name: str) -> None:
    left = row["left_out"].get(name, 0)
    if left:
        page.lines.append(f"  and {left:,} more: {session.command('task show ' + row['id'] + ' -n 10000')}")


def limited(function: F) -> F:
    """The option that says how many other tasks are named in a list; of very many a page shows the first."""
    text = f"Of other tasks name so many in a list. [{OTHERS}]"
    return click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=None, help=text)(function)


def limit_of(given: dict[str, Any]) -> dict[str, Any]:
    """What `limited` adds, as parameters of the call."""
    return {} if given["limit"] is None else {"limit": given["limit"]}


def _family(row: Row) -> str:
    """Its children in counts: an epic can have very many."""
    if not row["children"]:
        return ""
    gone = row["children"] - row["open_children"] - row["done_children"]
    cancelled = f", {gone} cancelled" if gone else ""
    return f"{row['children']}: {row['done_children']} done, {row['open_children']} not ended{cancelled}"


DEPENDS = (
    Column("", "words"),
    Column("", lambda row: f"({row['state']})"),
    Column("", lambda row: "in the way" if row["is_open"] else ""),
    Column("", "title", is_flexible=True),
)
RECEIPTS = (
    Column("RESULT", lambda row: row["result"] + (" (flaky)" if row["is_flaky"] else "")),
    Column("COMMIT", lambda row: row["commit"][:12]),
    Column("TOOK", lambda row: clock.duration(row["wall_s"])),
    Column("TESTS", "tests"),
    Column("GATE", "gate", is_flexible=True),
)
DECISIONS = (
    Column("ID", "id"),
    Column("STATE", "state"),
    Column("KIND", "kind"),
    Column("ANSWER", "answer"),
    Column("QUESTION", "question", is_flexible=True),
)


def _limits(limits: Row) -> str:
    words = []
    for name, value in limits.items():
        if value is None:
            continue
        if name == "budget_usd":
            words.append(f"budget ${value:.2f}")
            continue
        label = name.removesuffix("_s").replace("_", " ")
        words.append(f"{label} {clock.duration(value) if name.endswith('_s') else value}")
    return ", ".join(words)


def diff(output: Output, text: str) -> str:
    """A diff: coloured on a terminal; in a pipe as it is but for what would act on the terminal behind it."""
    if not output.is_terminal:
        return terminal.harmless(text, keep="\r")
    lines = []
    for line in terminal.harmless(text).split("\n"):
        colour = ""
        if line.startswith(("+++", "---", "diff ", "index ")):
            colour = "bold"
        elif line.startswith("+"):
            colour = "green"
        elif line.startswith("-"):
            colour = "red"
        elif line.startswith("@@"):
            colour = "cyan"
        lines.append(output.paint(line, colour))
    return "\n".join(lines)
