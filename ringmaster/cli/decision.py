"""`rmctl decision …`: the questions only a person may answer."""

from __future__ import annotations

import time

import click

from ringmaster.cli import clock
from ringmaster.cli.command import Group, verb
from ringmaster.cli.inputs import read_text
from ringmaster.cli.output import Column, Row
from ringmaster.cli.page import Page
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError

decision = Group("decision", help="Questions only a person may answer.", aliases={"ls": "list"})


def about(row: Row) -> str:
    """What a decision is about: its task, else its project, else the attempt whose agent it is."""
    return str(row["task_id"] or row["project_id"] or row["attempt_id"])


def answer_command(session: Session, row: Row) -> str:
    """The one command that answers it."""
    choices = "|".join(row["options"]) or "WORDS"
    return session.command(f"decision answer {row['id']} {choices}")


def urgency(row: Row) -> str:
    """How urgent it is, where that is said."""
    said = str(row.get("urgency", "normal"))
    return "" if said == "normal" else said


def default(row: Row) -> str:
    """What holds if nobody answers, and in what time."""
    if row.get("default_at") is None or row["state"] != "open":
        return ""
    left_s = row["default_at"] - time.time()
    return f"{row['default_answer']} {f'in {clock.duration(left_s)}' if left_s > 0 else 'soon'}"


DECISIONS = (
    Column("ID", "id"),
    Column("KIND", "kind"),
    Column("ABOUT", about),
    Column("STATE", "state", is_wide=True),
    Column("ANSWERS", lambda row: "|".join(row["options"]) or "any words"),
    Column("QUESTION", "question", is_flexible=True),
    Column("URGENCY", urgency),
    Column("ADVICE", lambda row: row.get("recommendation", "")),
    Column("DEFAULT", default),
    Column("ANSWER", "answer", is_wide=True),
)
LOOKS = {"question": "logs", "no_changes": "logs", "attempts_spent": "show", "interrupted": "show", "poisoned": "show"}
"""What tells more about it where there is no diff to judge."""


@verb(decision, "list", help="The open ones, the most urgent first, then the oldest.")
@click.argument("task_id", required=False, default="", metavar="[TASK]")
@click.option("-a", "--all", "is_all", is_flag=True, help="Answered and withdrawn ones too.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=200, help="At most so many. [200]")
def list_(session: Session, task_id: str, is_all: bool, limit: int) -> None:
    """List decisions."""
    from ringmaster.protocol.decision import DecisionListParams

    found = session.call("decision.list", DecisionListParams(is_all=is_all, task_id=task_id, limit=limit))
    session.output.rows(found["decisions"], DECISIONS, empty="no decision is open")


@verb(decision, help="The whole question with its evidence.")
@click.argument("id")
def show(session: Session, id: str) -> None:
    """Show a decision."""
    show_decision(session, id)


def show_decision(session: Session, id: str) -> None:
    """Show a decision; also what `rmctl show d-…` does."""
    from ringmaster.protocol.decision import DecisionIdParams

    row = session.call("decision.show", DecisionIdParams(id=id))
    session.output.item(row, lambda: layout(session, row))


def layout(session: Session, row: Row) -> str:
    """The page of one decision."""
    page = Page(session.output)
    page.title(row["id"], row["state"], row["question"])
    page.fact("kind", row["kind"])
    page.fact("project", row["project_id"])
    page.fact("task", row["task_id"])
    page.fact("attempt", row["attempt_id"])
    page.fact("asked", page.at(row["created_at"]))
    page.fact("urgency", urgency(row))
    page.fact("recommended", row.get("recommendation", ""))
    page.fact("by default", f"{default(row)}, at {page.at(row['default_at'])}" if default(row) else "")
    if row["answered_at"] is not None:
        page.fact("answer", row["answer"])
        page.fact("message", row["message"])
        page.fact("answered", f"{page.at(row['answered_at'])} by {row['answered_by'] or 'unknown'}")
    page.text("detail", row["detail"])
    if row["state"] == "open":
        page.gap()
        page.fact("next", answer_command(session, row))
        if row["attempt_id"] and not row["task_id"]:
            page.fact("look", session.command(f"attempt show {row['attempt_id']}"))
        elif row["attempt_id"]:
            page.fact("look", session.command(f"{LOOKS.get(row['kind'], 'task diff')} {row['task_id']}"))
    return page.done()


@verb(decision, help="Answer: one of its options, or any words for a question; - is stdin.")
@click.argument("id")
@click.argument("answer_words", metavar="ANSWER…", nargs=-1, required=True)
@click.option("-m", "--message", default="", help="Words for the next prompt.")
def answer(session: Session, id: str, answer_words: tuple[str, ...], message: str) -> None:
    """Answer a decision and say what that did."""
    from ringmaster.protocol.decision import DecisionAnswerParams

    words = read_text(" ".join(answer_words), None).strip()
    if not words:
        hint = session.command(f"decision answer {id} WORDS")
        raise RingmasterError(ErrorKind.USAGE, "the answer is empty", hint)
    params = DecisionAnswerParams(id=id, answer=words, message=message, idempotency_key=session.new_key())
    found = session.call("decision.answer", params)
    shape = (Column("ID", "id"), Column("STATE", "state"), Column("ANSWER", "answer", is_flexible=True))
    session.output.changed(found["decision"] | {"note": found["note"]}, shape, note=found["note"])
