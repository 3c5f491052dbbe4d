"""Budgets of a day: setting and showing them, and what an attempt that leaves its seat has spent."""

from __future__ import annotations

from typing import TypeVar

from ringmaster.model.budget import Budget, Spent, is_cost, used_up
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.protocol.budget import BudgetList, BudgetSetParams, BudgetView
from ringmaster.queue.limits import Books, read_books
from ringmaster.queue.lookup import resolve_project
from ringmaster.store import attempts, budgets, spending
from ringmaster.store.connection import Connection

N = TypeVar("N", int, float)


def settle(conn: Connection, attempt_id: str) -> None:
    """Count what a metered attempt has spent, in the transaction in which it leaves its seat.

    One that did not tell counts as what it might have spent, and where it had no limit the day is used up. One that
    never got to its agent has spent nothing. Nothing for an attempt that is not metered, or was counted before.
    """
    held = spending.release(conn, attempt_id)
    if held is None:
        return
    if held.told_usd is not None:
        usd, has_unknown = held.told_usd, False
    elif not held.is_begun or attempts.salvaged_by_id(conn, attempt_id).outcome is Outcome.SPAWN_FAILED:
        usd, has_unknown = 0.0, False
    else:
        # What it told of a part of it is in the row, and may be more than the limit that was held.
        part = attempts.salvaged_by_id(conn, attempt_id).cost_usd
        usd, has_unknown = max(part, held.limit_usd or 0.0), held.limit_usd is None
    if usd or has_unknown:
        spending.add_dollars(conn, held.project_id, usd, has_unknown=has_unknown)


def set_budget(conn: Connection, params: BudgetSetParams, *, actor: str) -> BudgetView:
    """Change what a project may have in a day; a member that is not given stays.

    Raises:
        RingmasterError: NOT_FOUND; USAGE when neither a project nor all of them are meant, or a number is none.
    """
    if bool(params.project_id) == params.is_all:
        raise RingmasterError(
            ErrorKind.USAGE, "name one project or all of them together", "rmctl budget set PROJECT | --all --usd 20"
        )
    project_id = resolve_project(conn, params.project_id) if params.project_id else ""
    before = budgets.all_budgets(conn).get(project_id, Budget(project_id))
    # There is a zero below nothing, which prints as such; one more nothing makes it zero.
    max_usd = None if params.max_usd is None else params.max_usd + 0.0
    budget = Budget(
        project_id,
        None if params.is_attempts_removed else _given(params.max_attempts, before.max_attempts),
        None if params.is_usd_removed else _given(max_usd, before.max_usd),
    )
    if budget.max_usd is not None and not is_cost(budget.max_usd):
        raise RingmasterError(ErrorKind.USAGE, "a budget is a number of dollars, 0 or more", "rmctl budget show")
    if budget != before:
        budgets.set_budget(conn, budget)
        conn.emit("budget.changed", project_id=project_id, actor=actor, data={"before": before, "after": budget})
    return _view(budget, read_books(conn))


def _given(wanted: N | None, before: N | None) -> N | None:
    return before if wanted is None else wanted


def list_budgets(conn: Connection, project_id: str = "") -> BudgetList:
    """Every budget, and what was spent today also where nothing limits it; of one project with that of all of them.

    Raises:
        RingmasterError: NOT_FOUND.
    """
    books = read_books(conn)
    if project_id:
        wanted = {resolve_project(conn, project_id), ""}
    else:
        wanted = {"", *books.budgets, *books.spent}
    return BudgetList(
        day=books.day,
        budgets=tuple(_view(books.budgets.get(scope, Budget(scope)), books) for scope in sorted(wanted)),
    )


def used_up_budgets(conn: Connection) -> tuple[BudgetView, ...]:
    """Those that let nothing begin any more today, for the one screen."""
    if not budgets.all_budgets(conn):
        return ()
    books = read_books(conn)
    return tuple(view for budget in books.budgets.values() if (view := _view(budget, books)).words)


def _view(budget: Budget, books: Books) -> BudgetView:
    scope = budget.project_id
    spent: Spent = books.spent_of(scope)
    reserved = books.reserved_of(scope)
    return BudgetView(
        project_id=scope,
        day=books.day,
        max_attempts=budget.max_attempts,
        attempts=spent.attempts,
        max_usd=budget.max_usd,
        usd=spent.usd,
        has_unknown=spent.has_unknown,
        reserved_usd=sum(limit for limit in reserved if limit is not None),
        unlimited_running=reserved.count(None),
        # What runs ends by itself; a person is told only of what is over for today.
        words=used_up(budget, spent, (), is_metered=True, limit_usd=0.0),
    )
