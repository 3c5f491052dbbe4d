"""Faults planted on purpose: each changes one function or statement, in memory, and a simulation must find it."""

from __future__ import annotations

import importlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Mutant(NamedTuple):
    """A fault. where: `module:function` of the package, or `module:queries.name`. It must hold `old` exactly once."""

    name: str
    where: str
    old: str
    new: str


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "a token is not checked",
        "store.attempts:check_token",
        "if not is_token(attempt, token) or attempt.outcome is not None:",
        "if attempt.outcome is not None:",
    ),
    Mutant(
        "an attempt that has ended may still write",
        "store.attempts:check_token",
        "or attempt.outcome is not None:",
        "or False:",
    ),
    Mutant(
        "a claim has no guard and takes what is blocked",
        "store.tasks:queries.next_place",
        "n.open_blockers = 0 AND n.not_before_at IS NULL",
        "n.not_before_at IS NULL",
    ),
    Mutant(
        "a task that waits for its time is given out at once",
        "store.tasks:queries.release_due",
        "AND not_before_at <= :now",
        "AND :now > 0",
    ),
    Mutant(
        "the first to arrive goes first, whatever its rank",
        "store.tasks:queries.next_place",
        "SELECT n.rank << 31 | n.seq FROM tasks AS n",
        "SELECT n.seq FROM tasks AS n",
    ),
    Mutant(
        "the limit of a project is passed by one",
        "store.tasks:queries.next_place",
        "< p.max_running",
        "<= p.max_running",
    ),
    Mutant(
        "the limit of a label is passed by one",
        "queue.limits:Allowance.full_labels",
        "if self.running_labels()[label] >= most",
        "if self.running_labels()[label] > most",
    ),
    Mutant(
        "the limit of an agent is not asked",
        "queue.limits:Allowance.keeps_agent",
        "if agent not in self.bounds.agents:",
        "if True:",
    ),
    Mutant(
        "a pause of a project is passed over",
        "store.tasks:queries.next_place",
        "p.state = 'active' AND ",
        "",
    ),
    Mutant(
        "what a task needs is not asked of a seat",
        "store.tasks:queries.next_place",
        "d.capabilities = '[]' OR",
        "1 OR",
    ),
    Mutant(
        "a blocker is counted twice",
        "queue.dependents:add_dependency",
        "standings.shift_blockers(conn, task_id, 1)",
        "standings.shift_blockers(conn, task_id, 2)",
    ),
    Mutant(
        "an answered question still blocks",
        "queue.decide:withdraw",
        "            unblock(conn, decision.task_id)",
        "            pass",
    ),
    Mutant(
        "a dependency stays open when its task is done",
        "queue.blockers:complete_task",
        "return list(_count_move(conn, task_id, ties, old, TaskState.DONE, actor=actor).freed)",
        "return []",
    ),
    Mutant(
        "a child that ends is not counted",
        "queue.blockers:_count_child",
        "open_children=opened,",
        "open_children=max(opened, 0),",
    ),
    Mutant(
        "an attempt counts twice",
        "model.outcomes:consequence_of",
        "counted = counted_attempts + (1 if",
        "counted = counted_attempts + (2 if",
    ),
    Mutant(
        "a retry has no back-off",
        "model.outcomes:consequence_of",
        "not_before_at = now + backoff_s(max(counted, new_streak, 1), rng)",
        "not_before_at = None",
    ),
    Mutant(
        "the seat of work that is handed over stays taken",
        "queue.report:hand_over",
        "    release_seat(",
        "    (lambda *a, **k: None)(",
    ),
    Mutant(
        "work comes in and wakes nobody",
        "workers.dispatcher:Vacancy.wakes",
        "return self.is_open and event.type in WORK_EVENTS",
        'return self.is_open and event.type in WORK_EVENTS - {"task.created"}',
    ),
    Mutant(
        "a seat that becomes free after all were taken is forgotten",
        "workers.dispatcher:Vacancy.reopen",
        "self.is_open = True",
        "pass",
    ),
    Mutant(
        "an account that rests is used",
        "queue.obstacles:resting_agents",
        "    known = accounts.resting_agents(conn)\n",
        "    return {}\n",
    ),
    Mutant(
        "a lease runs out during an exec",
        "workers.pulled:wait_for_end",
        "max(left_s, 0.001)",
        "0.001",
    ),
    Mutant(
        "a lease that ran while no daemon did gets no grace",
        "queue.lease:left_after_start",
        "return max(left_s, START_GRACE_S) if left_s > 0 else 0.0",
        "return left_s",
    ),
    Mutant(
        "a question about what is done stays open",
        "queue.blockers:complete_task",
        "withdraw_open(conn, standings.standing_of(conn, task_id))",
        "pass",
    ),
    Mutant(
        "a landing is told before it is known to have its intent",
        "queue.report:store_intent",
        "    attempts.to_landing(conn, attempt, intent)\n",
        "",
    ),
    Mutant(
        "a target is moved before its intent is stored",
        "workers.landing:land_commit",
        "    if not await sur.store.write(_store_intent, bench, intent):\n        return None\n"
        "    is_done = await _move_and_report(sur, bench, intent)\n",
        "    is_done = await _move_and_report(sur, bench, intent)\n"
        "    await sur.store.write(_store_intent, bench, intent)\n",
    ),
    Mutant(
        "a landing is told before its target is moved",
        "workers.landing:_move_and_report",
        "        done = done or await land(",
        "        await _report(sur, bench, Landed(target, intent.new))\n        done = done or await land(",
    ),
)


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The fault is in the package inside of the block. Raises LookupError for one that the package has outgrown."""
    module_name, _, path = mutant.where.partition(":")
    found: Any = importlib.import_module(f"ringmaster.{module_name}")
    owner, name = found, path
    for name in path.split("."):
        owner, found = found, getattr(found, name)
    if isinstance(found, str):
        vars(owner)[name] = _changed(mutant, found)
        try:
            yield
        finally:
            vars(owner)[name] = found
        return
    # Its code is changed in place: others may have imported the function by its name.
    code = found.__code__
    found.__code__ = _code_of(mutant, found)
    try:
        yield
    finally:
        found.__code__ = code


def _changed(mutant: Mutant, text: str) -> str:
    if text.count(mutant.old) != 1:
        raise LookupError(f"{mutant.where} holds {text.count(mutant.old)} times what {mutant.name!r} changes")
    return text.replace(mutant.old, mutant.new)


def _code_of(mutant: Mutant, function: Callable[..., Any]) -> Any:
    source = textwrap.dedent(inspect.getsource(function))
    scope: dict[str, Any] = dict(function.__globals__)
    exec(compile("from __future__ import annotations\n" + _changed(mutant, source), mutant.where, "exec"), scope)
    return scope[function.__name__].__code__
