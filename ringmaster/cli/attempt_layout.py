"""How attempts look: rows and the page of `attempt show`."""

from __future__ import annotations

import time

from ringmaster.cli import clock
from ringmaster.cli.cost import dollars
from ringmaster.cli.output import Column, Row
from ringmaster.cli.page import Page
from ringmaster.cli.session import Session


def stands(row: Row) -> str:
    """The outcome once it has one, the state before."""
    return str(row["outcome"] or row["state"])


def took(row: Row) -> str:
    """How long it ran, or runs so far."""
    end = row["ended_at"] if row["ended_at"] is not None else time.time()
    return clock.duration(end - row["started_at"])


def cost(row: Row) -> str:
    """Dollars, '' where the agent says nothing of what it spent."""
    if not row["tokens_in"] and not row["tokens_out"]:
        return ""
    return dollars(row)


ATTEMPTS = (
    Column("ID", "id"),
    Column("STATE", stands),
    Column("AGENT", "agent"),
    Column("WORKER", "worker_id"),
    Column("TOOK", took),
    Column("COST", cost, is_wide=True),
    Column("REASON", "reason", is_flexible=True),
    Column("PROJECT", "project_id", is_wide=True),
    Column("BRANCH", "branch", is_wide=True),
    Column("HEAD", lambda row: row["head_commit"][:12], is_wide=True),
    Column("LANDED", lambda row: row["landed_commit"][:12], is_wide=True),
)
ATTEMPTS_OF_TASK = tuple(column for column in ATTEMPTS if not column.is_wide)


def layout(session: Session, row: Row) -> str:
    """The page of one attempt, with where its work and its logs lie."""
    page = Page(session.output)
    page.title(row["id"], stands(row), row["reason"])
    page.fact("task", row["task_id"])
    page.fact("project", row["project_id"])
    page.fact("agent", row["agent"])
    page.fact("worker", row["worker_id"])
    page.fact("started", page.at(row["started_at"]))
    page.fact("ended", page.at(row["ended_at"]))
    page.fact("took", took(row))
    page.fact("branch", row["branch"])
    page.fact("base", row["base_commit"])
    page.fact("head", row["head_commit"])
    page.fact("landed", " ".join(word for word in (row["landed_ref"], row["landed_commit"]) if word))
    page.fact("model", row["model"])
    page.fact("account", row["account"])
    page.fact("session", row["session_id"])
    tokens = f"{cost(row)}, {row['tokens_in']:,} tokens in, {row['tokens_out']:,} out" if cost(row) else ""
    page.fact("cost", tokens)
    page.fact("workspace", row["workspace"])
    page.fact("files", row["files"])
    report = [{"key": key, "value": value} for key, value in row["report"].items() if value not in ("", None, [])]
    page.table("report", report, (Column("", "key"), Column("", "value", is_flexible=True)))
    page.gap()
    follow = " -f" if row["ended_at"] is None else ""
    page.fact("next", session.command(f"logs {row['id']}{follow}"))
    page.fact("", session.command(f"show {row['task_id']}"))
    return page.done()
