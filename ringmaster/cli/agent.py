"""`rmctl agent …`: the programs that do the work."""

from __future__ import annotations

import time

import click

from ringmaster.cli.clock import duration
from ringmaster.cli.command import Group, verb
from ringmaster.cli.cost import dollars
from ringmaster.cli.output import Column, Row
from ringmaster.cli.session import Session

agent = Group("agent", help="Programs that do the work.", aliases={"ls": "list"})


def stands(row: Row) -> str:
    """Whether it can work, in a word or two."""
    if row.get("paused_at") is not None:
        return "paused"
    if row["kind"] in ("scripted", "command", "hand"):
        return "ready" if row["program"] or row["kind"] in ("command", "hand") else "not installed"
    if not row["program"]:
        return "not installed"
    if not row["account"]:
        return "no login"
    if row["paused_until_at"] is not None:
        return f"resting {duration(max(0.0, row['paused_until_at'] - time.time()))}"
    return "ready"


AGENTS = (
    Column("NAME", "name"),
    Column("STATE", stands),
    Column("VERSION", "version"),
    Column("PAYS", "account_label"),
    Column("SEATS", "workers"),
    Column("WHY", "paused_reason", is_flexible=True),
    Column("PROGRAM", "program", is_wide=True),
    Column("ACCOUNT", "account", is_wide=True),
)


@verb(agent, "list", help="Agents there are: installed, version, who pays, whose limit holds.")
def list_(session: Session) -> None:
    """List agents."""
    from ringmaster.protocol.daemon import EmptyParams

    session.output.rows(session.call("agent.list", EmptyParams())["agents"], AGENTS, empty="no agents")


@verb(agent, help="One tiny real run, which costs a few words; when it works, a pause of its account is over.")
@click.argument("name")
def test(session: Session, name: str) -> None:
    """Try an agent. Fails when it does not work."""
    from ringmaster.model.errors import ErrorKind, RingmasterError
    from ringmaster.protocol.agent import AgentTestParams

    done = session.call("agent.test", AgentTestParams(name=name, idempotency_key=session.new_key()), is_unbounded=True)
    if not done["is_working"]:
        words = " ".join(done["words"].split())
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"agent {name} does not work: {words[:300]}",
            done["mend"] or session.command("agent list"),
        )
    session.output.item(done, lambda: _words(done))


def _words(done: Row) -> str:
    pays = done["account"] or "nobody known"
    return (
        f"{done['name']} works: answered in {done['took_s']:.1f} s with {done['model'] or 'its model'},"
        f" {dollars(done)}, paid by {pays}"
    )
