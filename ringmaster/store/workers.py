"""Rows of workers: the seats."""

from __future__ import annotations

import apsw
import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.states import WorkerState
from ringmaster.model.worker import Worker
from ringmaster.store.connection import Connection, Row
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import decoder, encode_json

queries = load_queries("workers")
decode_worker = decoder(Worker, "command", "capabilities")


def insert_worker(conn: Connection, worker: Worker) -> None:
    """Store a new worker, active and with an empty seat.

    Raises:
        RingmasterError: CONFLICT when the name is taken.
    """
    try:
        conn.execute(
            queries.insert,
            {
                "id": worker.id,
                "agent": worker.agent,
                "command": encode_json(worker.command),
                "project_id": worker.project_id,
                "capabilities": encode_json(sorted(set(worker.capabilities))),
                "now": conn.now,
                "is_pulled": worker.is_pulled,
            },
        )
    except apsw.ConstraintError as error:
        raise RingmasterError(
            ErrorKind.CONFLICT,
            f"worker {worker.id} is there already",
            f"rmctl worker start {worker.id}, or choose another name",
        ) from error


def worker_by_id(conn: Connection, worker_id: str) -> Worker:
    """The worker of this name.

    Raises:
        RingmasterError: NOT_FOUND.
    """
    row = conn.row(queries.by_id, (worker_id,))
    if row is None:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"no worker {worker_id}", "rmctl worker list")
    return _salvaged(row)


def all_workers(conn: Connection) -> list[Worker]:
    """Every worker, by name."""
    return [_salvaged(row) for row in conn.rows(queries.all)]


def _salvaged(row: Row) -> Worker:
    """A worker whose row is damaged is a stopped one: it is given nothing, and can be removed."""
    worker, unread = decode_worker.salvage(row)
    return msgspec.structs.replace(worker, state=WorkerState.STOPPED) if unread else worker


def unread_fields(conn: Connection, worker_id: str) -> tuple[str, ...]:
    """The fields of a worker's row that cannot be read: none of a sound one, or of none at all."""
    row = conn.row(queries.by_id, (worker_id,))
    return () if row is None else decode_worker.salvage(row)[1]


def set_worker_state(conn: Connection, worker_id: str, state: WorkerState) -> bool:
    """Note what a person wants; False when it was so already."""
    return conn.execute(queries.set_state, {"id": worker_id, "state": str(state)}) > 0


def take_seat(conn: Connection, worker_id: str, attempt_id: str) -> bool:
    """Seat an attempt; False when the seat is taken or the worker is not active."""
    return conn.execute(queries.take_seat, {"id": worker_id, "attempt_id": attempt_id}) > 0


def free_seat(conn: Connection, worker_id: str, attempt_id: str) -> bool:
    """Empty the seat if this attempt is in it."""
    return conn.execute(queries.free_seat, {"id": worker_id, "attempt_id": attempt_id}) > 0


def delete_worker(conn: Connection, worker_id: str) -> bool:
    """Remove a stopped worker with an empty seat; False when it is not one."""
    return conn.execute(queries.delete, (worker_id,)) > 0
