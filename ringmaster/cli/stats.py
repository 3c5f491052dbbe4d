"""`rmctl trend`: figures over time. As `stats` it would be what a slip in `status` is taken for."""

from __future__ import annotations

import time

import click

from ringmaster.cli import clock
from ringmaster.cli.command import top
from ringmaster.cli.cost import UNKNOWN, is_unpriced
from ringmaster.cli.output import Column, Row
from ringmaster.cli.session import Session


def share(row: Row) -> str:
    """Of the attempts that tell something, how many succeeded."""
    return "" if row["success_rate"] is None else f"{row['success_rate']:.0%}"


def took(row: Row) -> str:
    """From a task's arrival to its landing."""
    return "" if row["landed_after_s"] is None else clock.duration(row["landed_after_s"])


POINTS = (
    Column("TIME", "time"),
    Column("LANDED", "landed"),
    Column("FAILED", "failed"),
    Column("CANCELLED", "cancelled"),
    Column("ATTEMPTS", lambda row: str(sum(row["attempts"].values()))),
    Column("SUCCESS", share),
    Column("COST", lambda row: UNKNOWN if is_unpriced(row) else f"${row['cost_usd']:.2f}"),
    Column("IN", lambda row: f"{row['tokens_in']:,}"),
    Column("OUT", lambda row: f"{row['tokens_out']:,}"),
    Column("TOOK", took),
    Column("GATES", lambda row: f"{row['gates']} ({clock.duration(row['gate_s'])})" if row["gates"] else ""),
)


@top("trend", help="Figures over time, the newest first: what landed, what failed, what it cost.")
@click.option("--by", type=click.Choice(("hour", "day")), default="day", help="One line for each. [day]")
@click.option("--since", default="", metavar="TIME", help="From then on: 12h, 7d, a time. [30 lines]")
@click.option("-P", "--project", "project_id", default="", help="Of one project.")
@click.option("--utc", "is_utc", is_flag=True, help="By the clock of UTC, not of this terminal.")
def trend(session: Session, by: str, since: str, project_id: str, is_utc: bool) -> None:
    """Show figures. Where the clock was changed within the time, all of it is by the clock of now."""
    from ringmaster.cli.clock import parse_since
    from ringmaster.protocol.stats import StatsSeriesParams

    now = time.time()
    # By quarters of an hour, as every zone has it; zones of long ago had seconds.
    offset_s = 0 if is_utc else round(time.localtime(now).tm_gmtoff / 900) * 900
    params = StatsSeriesParams(
        by="hour" if by == "hour" else "day",
        since_at=parse_since(since, now) if since else 0.0,
        offset_s=offset_s,
        project_id=project_id,
    )
    found = session.call("stats.series", params)
    form = "%Y-%m-%d %H:%M" if by == "hour" else "%Y-%m-%d"
    points = [
        {"time": time.strftime(form, time.gmtime(point["begin_at"] + offset_s)), **point}
        for point in reversed(found["points"])
    ]
    session.output.rows(points, POINTS, id_of="time")
