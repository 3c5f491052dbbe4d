"""`rmctl budget …`: what projects may have in attempts and dollars on one day of UTC."""

from __future__ import annotations

import click

from ringmaster.cli.command import Group, verb
from ringmaster.cli.output import Column, Row
from ringmaster.cli.session import Session

NONE = "none"
MOST_ATTEMPTS, MOST_DOLLARS = 10**9, 10**12
"""As the protocol has them, which is not loaded for a word on the command line."""
budget = Group("budget", help="What projects may have in attempts and dollars on one day of UTC.")


def whose(row: Row) -> str:
    """The project, or all of them."""
    return str(row["project_id"] or "(all)")


def of_attempts(row: Row) -> str:
    """Attempts begun today, and of how many."""
    most = row["max_attempts"]
    return f"{row['attempts']}" if most is None else f"{row['attempts']}/{most}"


def of_dollars(row: Row) -> str:
    """Dollars spent today, and of how many."""
    spent = f"${row['usd']:.2f}" + ("+?" if row["has_unknown"] else "")
    return spent if row["max_usd"] is None else f"{spent}/${row['max_usd']:.2f}"


def held(row: Row) -> str:
    """What is held for metered attempts that run."""
    parts = [f"${row['reserved_usd']:.2f}"] if row["reserved_usd"] else []
    parts += [f"{row['unlimited_running']} without a limit"] if row["unlimited_running"] else []
    return ", ".join(parts)


BUDGETS = (
    Column("PROJECT", whose),
    Column("DAY", "day"),
    Column("ATTEMPTS", of_attempts),
    Column("COST", of_dollars),
    Column("HELD", held),
    Column("WHY", "words", is_flexible=True),
)


@verb(budget, help="Budgets, and what was spent of them today.")
@click.argument("project_id", required=False, default="", metavar="[PROJECT]")
def show(session: Session, project_id: str) -> None:
    """Show budgets."""
    from ringmaster.protocol.budget import BudgetShowParams

    found = session.call("budget.show", BudgetShowParams(project_id=project_id))
    session.output.rows(found["budgets"], BUDGETS, id_of="project_id", empty="no budget is set and nothing was spent")


class Amount(click.ParamType[float | str]):
    """A number that is not less than 0, or `none`."""

    name = "number"

    def __init__(self, *, is_whole: bool) -> None:
        self._is_whole = is_whole

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The number, or `none` itself."""
        if value == NONE:
            return NONE
        try:
            number: float = int(str(value)) if self._is_whole else float(str(value).removeprefix("$"))
        except ValueError:
            number = -1
        most = MOST_ATTEMPTS if self._is_whole else MOST_DOLLARS
        # Not a number is not below the most either.
        if not 0 <= number <= most:
            what = "a whole number" if self._is_whole else "a number of dollars"
            self.fail(f"{str(value)[:40]!r} is not {what} from 0 to {most:,}, or {NONE}", param, ctx)
        # There is a zero below nothing too.
        return abs(number)


@verb(budget, "set", help="Change what a project may have in a day; what is not named stays.")
@click.argument("project_id", required=False, default="", metavar="[PROJECT]")
@click.option("--all", "is_all", is_flag=True, help="That of all projects together.")
@click.option("--attempts", type=Amount(is_whole=True), metavar="N", help="So many begun in a day; none: no limit.")
@click.option("--usd", type=Amount(is_whole=False), metavar="X", help="So many dollars in a day; none: no limit.")
def set_(session: Session, project_id: str, is_all: bool, attempts: int | str | None, usd: float | str | None) -> None:
    """Set a budget."""
    from ringmaster.model.errors import ErrorKind, RingmasterError
    from ringmaster.protocol.budget import BudgetSetParams

    if attempts is None and usd is None:
        raise RingmasterError(
            ErrorKind.USAGE, "say what the budget is", session.command("budget set PROJECT --attempts N --usd X")
        )
    params = BudgetSetParams(
        project_id=project_id,
        is_all=is_all,
        max_attempts=attempts if isinstance(attempts, int) else None,
        max_usd=usd if isinstance(usd, float) else None,
        is_attempts_removed=attempts == NONE,
        is_usd_removed=usd == NONE,
        idempotency_key=session.new_key(),
    )
    session.output.changed(session.call("budget.set", params), BUDGETS, id_of="project_id")
