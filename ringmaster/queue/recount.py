"""What older code left: it counts no children and knows one kind of dependency, no budgets, no rank. See docs/queue.md.

Its events carry schema 0. At the start, before anything is given out, the tasks that they name are counted anew with
their parents, children and dependents, a piece in each transaction.
"""

from __future__ import annotations

from collections.abc import Iterable

from ringmaster.model.budget import Spent, next_day_at
from ringmaster.model.dependency import DependencyKind, is_in_the_way
from ringmaster.model.order import OrderRules, base_rank
from ringmaster.model.outcomes import Outcome
from ringmaster.queue.blockers import give_up_unneeded, reopen_epic, spread
from ringmaster.queue.budget import settle
from ringmaster.queue.facts import facts_of
from ringmaster.queue.limits import Bounds
from ringmaster.store import attempts, dependencies, recounts, spending, standings, tasks
from ringmaster.store.connection import Connection

PIECE = 200
"""Events that are followed up in one transaction: some tens of milliseconds."""
DAY_S = 86_400.0


def follow_older_code(conn: Connection, rules: OrderRules, bounds: Bounds) -> bool:
    """Count anew what the next events of older code changed; False when there are no more. To be called until then."""
    left = recounts.left_by_older_code(conn, PIECE)
    # What was held is counted first: rows of attempts say the same once more, and the greater of the two stands.
    recount_reserved(conn, bounds)
    if not left:
        if spending.last_day(conn) != spending.today(conn):
            recount_today(conn, bounds)
        return False
    named = [id for id in dict.fromkeys(event.task_id for event in left) if id and tasks.is_known(conn, id)]
    recount_tasks(conn, named)
    for id in dict.fromkeys(event.task_id for event in left if event.type == "task.edited"):
        if id in named:
            _rank_anew(conn, id, rules)
    recount_today(conn, bounds)
    recounts.advance(conn, left[-1].seq)
    return True


def recount_tasks(conn: Connection, task_ids: Iterable[str]) -> None:
    """Make counts, dependencies and ends of these tasks, and of those around them, what the rows say."""
    named = list(task_ids)
    parents = dict.fromkeys(
        parent_id for task_id in named if (parent_id := dependencies.parent_of(conn, task_id)) is not None
    )
    around = [*dict.fromkeys((*named, *parents))]
    counted = {task_id: standings.standing_of(conn, task_id).open_children for task_id in around}
    for task_id in around:
        recounts.recount_children(conn, task_id)
    for task_id in around:
        if standings.standing_of(conn, task_id).open_children > counted[task_id]:
            reopen_epic(conn, task_id)
    for task_id in around:
        for gate in dependencies.gates_of(conn, task_id):
            facts = facts_of(conn, standings.standing_of(conn, gate.blocker_id))
            is_open = is_in_the_way(gate.kind, gate.mode, facts)
            dependencies.set_open(conn, task_id, gate.blocker_id, gate.kind, is_open=is_open)
        recounts.recount_blockers(conn, task_id)
    spread(conn, around, is_thorough=True)
    for task_id in around:
        give_up_unneeded(conn, task_id)
    # It knows only its own end of `blocks`: who was for the case of a failure is told here.
    for task_id in around:
        for gated in dependencies.gated_by(conn, task_id):
            if gated.kind == DependencyKind.CONDITIONAL_BLOCKS:
                give_up_unneeded(conn, gated.task_id)


def _rank_anew(conn: Connection, task_id: str, rules: OrderRules) -> None:
    """An edit of older code leaves the rank as it was. What the graph adds comes with its next computation."""
    by = recounts.ranked_by(conn, task_id)
    recounts.set_rank(conn, task_id, base_rank(by.priority, by.arrived_at, deadline_at=by.deadline_at, rules=rules))


def recount_reserved(conn: Connection, bounds: Bounds) -> None:
    """Hold something aside for each metered attempt that runs, and for no other: older code does neither."""
    running = {row.id: row for row in spending.running_attempts(conn)}
    for held in spending.all_reserved(conn):
        if held.attempt_id not in running:
            told_usd = attempts.salvaged_by_id(conn, held.attempt_id).cost_usd
            if told_usd:
                spending.tell(conn, held.attempt_id, told_usd)
            settle(conn, held.attempt_id)
    for row in running.values():
        if row.agent in bounds.metered:
            spending.reserve(conn, row.id, row.project_id, bounds.metered[row.agent])
            if row.session_id:
                spending.begin(conn, row.id)


def recount_today(conn: Connection, bounds: Bounds) -> None:
    """Take what attempts of today came to from their own rows where it is more than was counted.

    One that did not tell counts as its agent's limit, and without one uses the day up, as when it is counted at once.
    """
    day = spending.today(conn)
    began_at = next_day_at(day) - DAY_S
    found = {project_id: Spent(attempts) for project_id, attempts in spending.attempts_since(conn, began_at)}
    for row in spending.ended_since(conn, began_at):
        usd, has_unknown = row.cost_usd, False
        is_untold = not row.cost_usd and (row.session_id or row.tokens) and row.outcome != Outcome.SPAWN_FAILED
        if row.agent in bounds.metered and is_untold:
            limit = bounds.metered[row.agent]
            usd, has_unknown = limit or 0.0, limit is None
        found[row.project_id] = found.get(row.project_id, Spent()) + Spent(0, usd, has_unknown)
    for project_id, spent in found.items():
        spending.recount_day(conn, project_id, day, spent)
