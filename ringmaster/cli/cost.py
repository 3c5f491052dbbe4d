"""`rmctl cost`: what was spent."""

from __future__ import annotations

import time

import click

from ringmaster.cli.command import top
from ringmaster.cli.output import Column, Row
from ringmaster.cli.session import Session

UNKNOWN = "unknown"


def is_unpriced(row: Row) -> bool:
    """Whether tokens were spent and nobody can say for how much: no price is known, or the agent was killed."""
    return not row["cost_usd"] and bool(row["tokens_in"] or row["tokens_out"])


def dollars(row: Row) -> str:
    """Dollars with the digits that small runs need."""
    return UNKNOWN if is_unpriced(row) else f"${row['cost_usd']:.4f}"


TOTALS = (
    Column("COST", dollars),
    Column("IN", lambda row: f"{row['tokens_in']:,}"),
    Column("OUT", lambda row: f"{row['tokens_out']:,}"),
    Column("ATTEMPTS", "attempts"),
)
BY_MODEL = (Column("MODEL", "model"), Column("AGENT", "agent"), *TOTALS, Column("ACCOUNT", "account", is_wide=True))
BY_AGENT = (Column("AGENT", "agent"), *TOTALS)
BY_DAY = (Column("DAY", "day"), *TOTALS)
BY_TASK = (Column("TASK", "task_id"), *TOTALS, Column("PROJECT", "project_id"))


SHAPES = {"model": BY_MODEL, "agent": BY_AGENT, "day": BY_DAY, "task": BY_TASK}
KEYS = {"model": "model", "agent": "agent", "day": "day", "task": "task_id"}


@top("cost", help="What attempts cost, as their agents say it; the dearest first, days the newest first.")
@click.option("--by", type=click.Choice(tuple(SHAPES)), default="model", help="What to add up by. [model]")
@click.option("--since", default="", metavar="TIME", help="Only attempts that began since then: 12h, 7d, a time.")
@click.option("-P", "--project", "project_id", default="", help="Of one project.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=100, help="At most so many tasks or days. [100]")
def cost(session: Session, by: str, since: str, project_id: str, limit: int) -> None:
    """Show costs, and their sum on stderr. A day is one of the daemon's time zone."""
    from ringmaster.cli.clock import parse_since
    from ringmaster.protocol.cost import CostListParams

    since_at = parse_since(since, time.time()) if since else 0.0
    found = session.call("cost.list", CostListParams(since_at=since_at, project_id=project_id, limit=limit))
    spent = [row for row in found[f"by_{by}"] if row["tokens_in"] or row["tokens_out"]]
    session.output.rows(spent, SHAPES[by], id_of=KEYS[by], empty="nothing was spent")
    if not spent:
        return
    bound = "at least " if found["cost_usd"] and any(map(is_unpriced, found["by_model"])) else ""
    session.output.words(
        f"{bound}{dollars(found)} in all, {found['tokens_in']:,} tokens in, {found['tokens_out']:,} out"
    )
