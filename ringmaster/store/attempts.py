"""Rows of attempts. Every write names the token, and a wrong or ended one changes nothing."""

from __future__ import annotations

import hmac
from typing import Any

import msgspec

from ringmaster.model.attempt import Attempt, LandingIntent
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.store.connection import Connection, Row, Value
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import decoder, encode_json
from ringmaster.store.tasks import UNREADABLE

queries = load_queries("attempts")
decode_attempt = decoder(Attempt, "landing", "report")


def insert_attempt(conn: Connection, attempt: Attempt) -> None:
    """Store a new attempt in state `running`. A second live one of the same task breaks a unique index."""
    conn.execute(
        queries.insert,
        {
            "id": attempt.id,
            "task_id": attempt.task_id,
            "number": attempt.number,
            "project_id": attempt.project_id,
            "worker_id": attempt.worker_id,
            "agent": attempt.agent,
            "token": attempt.token,
            "now": conn.now,
        },
    )


def attempt_by_id(conn: Connection, attempt_id: str) -> Attempt:
    """The attempt of this id.

    Raises:
        RingmasterError: NOT_FOUND.
    """
    row = conn.row(queries.by_id, (attempt_id,))
    if row is None:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no attempt {attempt_id}", "rmctl attempt list")
    return decode_attempt(row)


def salvaged_attempt(row: Row) -> Attempt:
    """An attempt for looking at; a damaged row says so as its reason."""
    attempt, unread = decode_attempt.salvage(row)
    if not unread:
        return attempt
    return msgspec.structs.replace(attempt, reason=f"its row cannot be read ({', '.join(unread)}); {attempt.reason}")


def salvaged_by_id(conn: Connection, attempt_id: str) -> Attempt:
    """One attempt for looking at. Raises NOT_FOUND."""
    row = conn.row(queries.by_id, (attempt_id,))
    return attempt_by_id(conn, attempt_id) if row is None else salvaged_attempt(row)


def salvaged_of_task(conn: Connection, task_id: str) -> list[Attempt]:
    """A task's attempts in order, for looking at."""
    return [salvaged_attempt(row) for row in conn.rows(queries.of_task, (task_id,))]


def salvaged_newest(conn: Connection, limit: int) -> list[Attempt]:
    """The attempts that began last, newest first, for looking at."""
    return [salvaged_attempt(row) for row in conn.rows(queries.newest, (limit,))]


def last_ended(conn: Connection) -> str:
    """The attempt that ended last, '' for none."""
    return conn.value(queries.last_ended) or ""


def salvaged_live(conn: Connection) -> list[Attempt]:
    """All attempts that have not ended, oldest first, for looking at."""
    return [salvaged_attempt(row) for row in conn.rows(queries.live)]


class PoisonedAttempt(msgspec.Struct, frozen=True):
    """A live row that cannot be decoded. words: why."""

    id: str
    task_id: str
    project_id: str
    worker_id: str
    words: str


def live_attempts(conn: Connection) -> tuple[list[Attempt], list[PoisonedAttempt]]:
    """All attempts that have not ended, oldest first; those that cannot be read come apart from the others."""
    live: list[Attempt] = []
    poisoned: list[PoisonedAttempt] = []
    for row in conn.rows(queries.live):
        try:
            live.append(decode_attempt(row))
        except (*UNREADABLE, TypeError) as error:
            poisoned.append(PoisonedAttempt(row[0], row[1], row[3], row[4], str(error)))
    return live, poisoned


def count_running(conn: Connection) -> int:
    """How many attempts hold a seat."""
    return int(conn.value(queries.count_running))


def end_poisoned(conn: Connection, attempt_id: str, reason: str) -> bool:
    """End an attempt whose row cannot be read; False when it has ended."""
    return conn.execute(queries.end_poisoned, {"id": attempt_id, "reason": reason, "now": conn.now}) > 0


def next_in_lane(conn: Connection, project_id: str) -> Attempt | None:
    """The attempt the project's lane works on next: one that is landing first, then by priority and arrival."""
    found = conn.value(queries.lane, (project_id, 1))
    return None if found is None else attempt_by_id(conn, found)


def lane(conn: Connection, project_id: str, limit: int) -> list[str]:
    """The ids of the attempts that the project's lane works on, in that order."""
    return [row[0] for row in conn.rows(queries.lane, (project_id, limit))]


def check_token(conn: Connection, attempt_id: str, token: str) -> Attempt:
    """The attempt, if it lives and the token is its own.

    Raises:
        RingmasterError: NOT_FOUND, or LEASE_LOST for a wrong token or an attempt that has ended.
    """
    attempt = attempt_by_id(conn, attempt_id)
    if not is_token(attempt, token) or attempt.outcome is not None:
        raise lease_lost(attempt)
    return attempt


def is_token(attempt: Attempt, token: str) -> bool:
    """Whether the token is the attempt's, in a time that says nothing of how much of it is right."""
    return hmac.compare_digest(attempt.token.encode(), token.encode("utf-8", "surrogatepass"))


def lease_lost(attempt: Attempt) -> RingmasterError:
    """The error for a late writer. It names the branch, because that is where the late work is."""
    ended = f" ended as {attempt.outcome}" if attempt.outcome is not None else " has another token"
    branch = f"; its branch is {attempt.branch}" if attempt.branch else ""
    return RingmasterError(
        ErrorKind.LEASE_LOST,
        f"attempt {attempt.id}{ended}, nothing was changed{branch}",
        f"rmctl attempt show {attempt.id}",
    )


def _guarded(conn: Connection, query: str, attempt: Attempt, **values: Value) -> None:
    if not conn.execute(queries[query], {"id": attempt.id, "token": attempt.token, **values}):
        raise lease_lost(attempt_by_id(conn, attempt.id))


def begin_work(conn: Connection, attempt: Attempt, *, branch: str, base_commit: str) -> None:
    """Note where the attempt's branch begins. Raises LEASE_LOST when it is not `running` any more."""
    _guarded(conn, "begin_work", attempt, branch=branch, base_commit=base_commit)


def to_validating(conn: Connection, attempt: Attempt, *, head_commit: str, report: dict[str, Any]) -> None:
    """running -> validating. Raises LEASE_LOST when it is not `running` any more."""
    _guarded(conn, "to_validating", attempt, head_commit=head_commit, report=encode_json(report), now=conn.now)


def to_landing(conn: Connection, attempt: Attempt, intent: LandingIntent) -> None:
    """validating -> landing, with the intent. Raises LEASE_LOST when it is not `validating` any more."""
    _guarded(conn, "to_landing", attempt, landing=encode_json(intent))


def back_to_validating(conn: Connection, attempt: Attempt) -> None:
    """landing -> validating: the ref was elsewhere. Raises LEASE_LOST when it is not `landing`."""
    _guarded(conn, "back_to_validating", attempt)


def set_landing(conn: Connection, attempt: Attempt, landing: LandingIntent) -> None:
    """Note where a landing really went. Raises LEASE_LOST when it is not `landing`."""
    _guarded(conn, "set_landing", attempt, landing=encode_json(landing))


def set_report(conn: Connection, attempt: Attempt, report: dict[str, Any]) -> None:
    """Replace what is known of how the attempt went. Raises LEASE_LOST when it has ended."""
    _guarded(conn, "set_report", attempt, report=encode_json(report))


def set_head(conn: Connection, attempt: Attempt, head_commit: str) -> None:
    """Note where the attempt's work is kept. Raises LEASE_LOST when it has ended."""
    _guarded(conn, "set_head", attempt, head_commit=head_commit)


def end_attempt(
    conn: Connection, attempt: Attempt, outcome: Outcome, reason: str, *, report: dict[str, Any] | None = None
) -> None:
    """Any live state -> ended. Raises LEASE_LOST when it has ended already: one outcome an attempt.

    report: what takes the place of the attempt's report; None leaves it.
    """
    said = None if report is None else encode_json(report)
    _guarded(conn, "end", attempt, outcome=str(outcome), reason=reason, report=said, now=conn.now)


def accept_attempt(conn: Connection, attempt_id: str) -> bool:
    """Note that a person accepted the attempt's head; False when it is not `validating`."""
    return conn.execute(queries.accept, {"id": attempt_id}) > 0


def request_cancel(conn: Connection, attempt_id: str) -> bool:
    """Note that a person wants the attempt ended; False when it is landing or has ended."""
    return conn.execute(queries.request_cancel, {"id": attempt_id}) > 0


def begin_agent(conn: Connection, attempt: Attempt, *, session_id: str, account: str, model: str) -> None:
    """Note the conversation and the account before the agent starts. Raises LEASE_LOST."""
    _guarded(conn, "begin_agent", attempt, session_id=session_id, account=account, model=model)


def set_spent(
    conn: Connection,
    attempt: Attempt,
    *,
    session_id: str,
    model: str,
    cost_usd: float,
    tokens_in: int,
    tokens_out: int,
) -> None:
    """Note what the attempt cost. Raises LEASE_LOST."""
    _guarded(
        conn,
        "set_spent",
        attempt,
        session_id=session_id,
        model=model,
        cost_usd=cost_usd,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
    )
