"""`rmctl why TASK`: everything in its way, what is done for it now, or why it ended."""

from __future__ import annotations

from typing import Any

import click

from ringmaster.cli.command import top
from ringmaster.cli.output import Row
from ringmaster.cli.page import Page
from ringmaster.cli.session import Session
from ringmaster.cli.task_layout import RECEIPTS, limit_of, limited


@top("why", help="Why a task is not worked on, what is done for it now, or why it ended.")
@click.argument("id")
@limited
def why(session: Session, id: str, **given: Any) -> None:
    """Say why a task is as it is."""
    from ringmaster.protocol.task import TaskShowParams

    row = session.call("task.why", TaskShowParams(id=id, **limit_of(given)))
    session.output.item(row, lambda: layout(session, row))


def layout(session: Session, row: Row) -> str:
    """The page: the first thing to know, and then everything in order."""
    page = Page(session.output)
    page.title(row["id"], row["shown"], row["title"])
    if row["doing"] is not None:
        _add_doing(page, row["doing"])
    if row["ending"] is not None:
        _add_ending(page, row["ending"])
    if row["ahead"]:
        words = "task is ready and goes" if row["ahead"] == 1 else "tasks are ready and go"
        page.fact("before it", f"{row['ahead']} {words} first")
    page.numbered("in the way", [_lines(session, page, obstacle) for obstacle in row["obstacles"]])
    if row["left_out"]:
        more = session.command(f"why {row['id']} -n 10000")
        page.lines.append(f"  and {row['left_out']:,} more dependencies: {more}")
    page.gap()
    page.fact("next", session.with_instance(row["first"]))
    return page.done()


def _add_doing(page: Page, doing: Row) -> None:
    page.fact("now", doing["words"])
    page.fact("since", _since(page, doing["since_at"], doing["seq"]))
    page.fact("agent", doing["agent"])
    page.fact("worker", doing["worker_id"])
    page.fact("job", doing["job"])
    page.fact("in the lane", f"place {doing['place']}" if doing["place"] else "")


def _add_ending(page: Page, ending: Row) -> None:
    page.fact("ended", _since(page, ending["ended_at"], ending["seq"]))
    page.fact("attempt", " ".join(word for word in (ending["attempt_id"], ending["outcome"]) if word))
    page.fact("reason", ending["reason"])
    page.table("gate", ending["receipts"], RECEIPTS)


def _lines(session: Session, page: Page, obstacle: Row) -> list[str]:
    """An obstacle, since when, what it comes down to, and the command for that."""
    since = _since(page, obstacle["since_at"], obstacle["seq"])
    lines = [obstacle["words"], *([f"since {since}"] if since else [])]
    lines += [f"<- {link['words']}" for link in obstacle["chain"]]
    command = obstacle["chain"][-1]["command"] if obstacle["chain"] else obstacle["command"]
    return lines + ([session.with_instance(command)] if command else [])


def _since(page: Page, at: float | None, seq: int | None) -> str:
    words = [page.at(at)] if at is not None else []
    return ", ".join(words + ([f"event {seq}"] if seq is not None else []))
