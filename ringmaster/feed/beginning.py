"""Where a subscription begins, read in one transaction: the last event, and which jobs ran when that had happened."""

from __future__ import annotations

import msgspec

from ringmaster.feed.cursor import Cursor, Source
from ringmaster.feed.wanted import JOB_EVENTS, Wanted
from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.states import AttemptState
from ringmaster.protocol.feed import FeedAttempt, FeedSubscribeParams, Snapshot
from ringmaster.queue.lookup import resolve_attempt, resolve_project, resolve_task, resolve_worker
from ringmaster.queue.status import count_queue
from ringmaster.store import attempts, decisions, events
from ringmaster.store.connection import Connection


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How a session begins. cursor, tail_lines: of `FeedSubscribeParams`. is_told: whether `hello` comes first."""

    cursor: str = ""
    tail_lines: int | None = 0
    is_told: bool = True


class Known(msgspec.Struct, frozen=True):
    """What the feed has to know of an attempt. jobs: those that had begun, and whether each had ended."""

    attempt: Attempt
    jobs: dict[str, bool]


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """Where it begins. expired: why the cursor is not gone on from, '' where it is or there was none.

    attempts: those whose output is wanted. offsets: of the cursor. is_named_over: the attempt that is asked for had
    ended at `seq`. The others: the counts of a snapshot.
    """

    seq: int
    expired: str
    attempts: tuple[Known, ...]
    offsets: dict[Source, int]
    is_named_over: bool
    tasks_by_state: dict[str, int]
    open_decisions: int


def resolve_wanted(conn: Connection, params: FeedSubscribeParams, own_task: str) -> Wanted:
    """The subscription with whole ids. own_task: the only task the caller may look at, '' for all.

    Raises:
        RingmasterError: NOT_FOUND, USAGE for the beginning of several ids.
    """
    attempt_id = resolve_attempt(conn, params.attempt_id) if params.attempt_id else ""
    task_id = attempt_id.rpartition("/")[0] or (resolve_task(conn, params.task_id) if params.task_id else "")
    return wanted_of(
        msgspec.structs.replace(
            params,
            project_id=resolve_project(conn, params.project_id) if params.project_id else "",
            task_id=task_id or own_task,
            attempt_id=attempt_id,
            worker_id=resolve_worker(conn, params.worker_id) if params.worker_id else "",
        )
    )


def wanted_of(params: FeedSubscribeParams) -> Wanted:
    """The subscription of params whose ids are whole."""
    return Wanted(
        project_id=params.project_id,
        task_id=params.task_id,
        attempt_id=params.attempt_id,
        worker_id=params.worker_id,
        types=params.type,
        level=params.level,
        output=tuple(dict.fromkeys(params.output)),
    )


def find_beginning(conn: Connection, wanted: Wanted, cursor: Cursor | None, expired: str) -> Beginning:
    """Where a subscription begins: after the cursor, and without one now.

    expired: why the cursor that came is none; the feed then begins now.
    """
    last = events.last_seq(conn)
    offsets = {} if cursor is None else _find_followed(wanted, cursor)
    if cursor is not None:
        expired = _find_loss(conn, cursor.seq, last, offsets)
    if expired:
        cursor, offsets = None, {}
    seq = last if cursor is None else cursor.seq
    found = {attempt.id: attempt for attempt in attempts.salvaged_live(conn) if _is_wanted(wanted, attempt)}
    named: dict[str, list[str]] = {}
    for source in offsets:
        named.setdefault(source.attempt_id, []).append(source.job)
    if wanted.attempt_id and cursor is None:
        named[wanted.attempt_id] = []
    for attempt_id in sorted(named.keys() - found.keys()):
        attempt = _find_attempt(conn, attempt_id)
        if attempt is not None and _is_wanted(wanted, attempt):
            found[attempt_id] = attempt
    known = tuple(Known(attempt, _jobs_at(conn, attempt, seq, named.get(attempt.id, []))) for attempt in found.values())
    return Beginning(
        seq=seq,
        expired=expired,
        attempts=known,
        offsets={source: offset for source, offset in offsets.items() if source.attempt_id in found},
        is_named_over=bool(wanted.attempt_id) and _is_over_at(conn, wanted.attempt_id, seq),
        tasks_by_state={name: count for name, count in msgspec.structs.asdict(count_queue(conn)).items() if count},
        open_decisions=decisions.count_open(conn),
    )


def _find_followed(wanted: Wanted, cursor: Cursor) -> dict[Source, int]:
    """The offsets of a cursor that a subscription has a use for. What a client makes up is no source."""
    if not wanted.has_output:
        return {}
    return {
        source: offset
        for source, offset in cursor.offsets.items()
        if source in wanted.sources_of(source.attempt_id, source.job)
    }


def _find_loss(conn: Connection, seq: int, last: int, offsets: dict[Source, int]) -> str:
    """Why what the store holds cannot be gone on from at a cursor; '' where it can."""
    if seq > last:
        return "it is ahead of this store, which was put back to an earlier state"
    if seq + 1 < events.first_seq(conn):
        return "events behind it are gone"
    for attempt_id in dict.fromkeys(source.attempt_id for source in offsets):
        if _find_attempt(conn, attempt_id) is None:
            return f"attempt {attempt_id} that it names is gone"
    return ""


def snapshot_of(beginning: Beginning, cursor: str, generation: int) -> Snapshot:
    """How things stood then."""
    return Snapshot(
        cursor=cursor,
        generation=generation,
        tasks_by_state=beginning.tasks_by_state,
        attempts=tuple(
            FeedAttempt(
                attempt_id=known.attempt.id,
                task_id=known.attempt.task_id,
                project_id=known.attempt.project_id,
                worker_id=known.attempt.worker_id,
                state=str(known.attempt.state),
                started_at=known.attempt.started_at,
            )
            for known in beginning.attempts
            if known.attempt.state is not AttemptState.ENDED
        ),
        open_decisions=beginning.open_decisions,
    )


class About(msgspec.Struct, frozen=True):
    """What an event is about. attempt: None where its row is gone. had_begun: it ends a job that was there before."""

    attempt: Attempt | None
    had_begun: bool


def find_about(conn: Connection, event: Event) -> About:
    """The attempt that an event is about, and whether its job is told of for the first time."""
    attempt = _find_attempt(conn, event.attempt_id)
    if attempt is None or event.type != "attempt.job_ended":
        return About(attempt, False)
    return About(attempt, job_of(event) in _jobs_at(conn, attempt, event.seq - 1, []))


class _JobFacts(msgspec.Struct):
    directory: str = ""


_decode_facts = msgspec.json.Decoder(_JobFacts).decode


def job_of(event: Event) -> str:
    """The job that a job's event is about, as its directory is called: there are several gates."""
    return _decode_facts(event.data).directory.rpartition("/")[2]


def _find_attempt(conn: Connection, attempt_id: str) -> Attempt | None:
    try:
        return attempts.salvaged_by_id(conn, attempt_id)
    except RingmasterError:
        return None


def _is_over_at(conn: Connection, attempt_id: str, seq: int) -> bool:
    attempt = _find_attempt(conn, attempt_id)
    if attempt is None or attempt.outcome is None:
        return attempt is None
    said = events.job_events_of_attempt(conn, attempt.task_id, attempt.id)
    return not any(event.type == "attempt.ended" and event.seq > seq for event in said)


def _is_wanted(wanted: Wanted, attempt: Attempt) -> bool:
    return wanted.is_of(attempt.project_id, attempt.task_id, attempt.id, attempt.worker_id)


def _jobs_at(conn: Connection, attempt: Attempt, seq: int, named: list[str]) -> dict[str, bool]:
    """The jobs that had begun at `seq`, oldest first, and whether each had ended.

    named: by a cursor: these had begun, whatever the events say.
    """
    jobs = dict.fromkeys(named, False)
    is_end_to_come = attempt.outcome is None
    for event in events.job_events_of_attempt(conn, attempt.task_id, attempt.id):
        if event.seq > seq:
            is_end_to_come = is_end_to_come or event.type == "attempt.ended"
        elif event.type in JOB_EVENTS:
            jobs[job_of(event)] = event.type == "attempt.job_ended"
        else:
            # Of a job whose end nobody could tell.
            jobs = dict.fromkeys(jobs, True)
    # The end of a row that could not be read is said by no event.
    return jobs if is_end_to_come else dict.fromkeys(jobs, True)
