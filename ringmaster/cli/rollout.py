"""`rmctl rollout …`: the generations of the daemon's own code."""

from __future__ import annotations

import click

from ringmaster.cli.clock import duration
from ringmaster.cli.command import Group, verb
from ringmaster.cli.gc import size
from ringmaster.cli.output import Column, Row
from ringmaster.cli.page import Page
from ringmaster.cli.reload import follow
from ringmaster.cli.reload import layout as answer_layout
from ringmaster.cli.session import Session
from ringmaster.cli.status import last_words

rollout = Group("rollout", help="Generations of the daemon's own code: what runs, what was, and going back.")


def source(row: Row) -> str:
    """Where its code came from."""
    return f"{row['source']} {row['commit'][:10]}".rstrip()


def gate(row: Row) -> str:
    """Its receipts in a few words: how many stages passed, and those that did not."""
    passed = sum(receipt["result"] == "passed" for receipt in row["receipts"])
    others = [f"{receipt['stage']} {receipt['result']}" for receipt in row["receipts"] if receipt["result"] != "passed"]
    return ", ".join(([f"{passed} passed"] if passed else []) + others)


def success(view: Row) -> str:
    """Attempts that succeeded of those that ended."""
    measures, rate = view["generation"]["measures"], view["success_rate"]
    return "" if rate is None else f"{measures['succeeded']}/{measures['attempts']} {rate:.0%}"


def _dollars(value: float | None) -> str:
    return "" if value is None else f"${value:.4f}"


def _seconds(value: float | None) -> str:
    return "" if value is None else duration(value)


def _latency(value: float | None) -> str:
    return "" if value is None else f"{value * 1000:.1f}ms"


def role(view: Row) -> str:
    """What it is now."""
    return ",".join(name for name, is_it in (("runs", view["is_running"]), ("boots", view["is_good"])) if is_it)


def shape(session: Session) -> tuple[Column, ...]:
    """The columns of the history."""

    def when(view: Row) -> str:
        generation = view["generation"]
        return session.output.at(generation["tried_at"] or generation["settled_at"] or generation["created_at"])

    def memory(view: Row) -> str:
        count = view["generation"]["measures"]["rss_bytes"]
        return "" if count is None else size(count)

    return (
        Column("GEN", "generation.id"),
        Column("STATE", "generation.state"),
        Column("NOW", role),
        Column("PARENT", lambda view: view["generation"]["parent"] or ""),
        Column("SOURCE", lambda view: source(view["generation"])),
        Column("GATE", lambda view: gate(view["generation"])),
        Column("SUCCESS", success),
        Column("COST/OK", lambda view: _dollars(view["cost_per_success_usd"])),
        Column("TIME/OK", lambda view: _seconds(view["work_per_success_s"])),
        Column("P99", lambda view: _latency(view["generation"]["measures"]["rpc_p99_s"])),
        Column("MEMORY", memory),
        Column("WHEN", when),
        Column("REASON", "generation.reason", is_flexible=True),
        Column("RELEASE", "generation.release", is_wide=True),
    )


@verb(rollout, help="Which generation runs, what is on its way, what is watched, and how the last reload went.")
def status(session: Session) -> None:
    """Show where reloading stands."""
    found = session.call("rollout.status")

    def layout() -> str:
        page = Page(session.output)
        state = "good" if found["running"] == found["good"] else "trial"
        page.title(
            f"generation {found['running']}" if found["running"] else "no release",
            state if found["running"] else "",
            session.output.shown(found["step"]),
        )
        page.fact("release", found["release"])
        page.fact("commit", found["commit"])
        page.fact("starts with", f"generation {found['good']}" if found["good"] else "")
        page.fact("falls back to", f"generation {found['before']}" if found["before"] else "")
        page.fact("on its way", found["candidate"] or "")
        if found["decision_id"]:
            page.fact("needs you", session.command(f"decision show {found['decision_id']}"))
        # Absent in the answer of an older release.
        if asked := found.get("bad_release"):
            page.fact("asks", session.output.shown(asked["question"]))
            page.fact("needs you", session.command(f"decision answer {asked['id']} {'|'.join(asked['options'])}"))
        words = found["words"].removeprefix("watching ").removeprefix("paused: ")
        page.fact("watches" if found["is_watching"] else "not watching", session.with_instance(words))
        page.fact("last reload", last_words(session, found["last"]))
        return page.done()

    session.output.item(found, layout, id_of="running")


@verb(rollout, help="The generations side by side, the newest first: their gates, and what they did while they ran.")
@click.option("-n", "--limit", type=click.IntRange(1, 10_000), default=20, help="At most so many. [20]")
def history(session: Session, limit: int) -> None:
    """Show the archive."""
    from ringmaster.protocol.rollout import RolloutHistoryParams

    found = session.call("rollout.history", RolloutHistoryParams(limit=limit))
    session.output.rows(
        found["generations"],
        shape(session),
        id_of=lambda view: view["generation"]["id"],
        empty="the daemon runs from no release",
    )


@verb(rollout, help="Go back to generation GEN, or to the good one before the one that runs. Exit codes as of reload.")
@click.argument("generation", type=click.IntRange(1), required=False, metavar="[GEN]")
@click.option("-w", "--wait", "is_waiting", is_flag=True, help="Until it is live; --timeout bounds it.")
def undo(session: Session, generation: int | None, is_waiting: bool) -> None:
    """Go back; with --wait follow it over the switch itself."""
    from ringmaster.protocol.rollout import RolloutUndoParams

    answer = session.call("rollout.undo", RolloutUndoParams(generation=generation, idempotency_key=session.new_key()))
    if is_waiting and answer["state"] in ("requested", "under_way"):
        answer |= {"words": follow(session, answer), "state": "over"}
    session.output.item(answer, lambda: answer_layout(session, answer), id_of="generation")
