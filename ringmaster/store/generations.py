"""Rows of generations: the archive of the releases that ran or were to run."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.generation import Generation, GenerationState, Measures, Origin, Receipt, check_generation_move
from ringmaster.store.connection import Connection, Value
from ringmaster.store.queries import load_queries
from ringmaster.store.rows import decoder, encode_json

queries = load_queries("generations")
decode_generation = decoder(Generation, "receipts", "measures")


def add_candidate(conn: Connection, id: int, origin: Origin) -> Generation:
    """Store a new generation as a candidate. id: its number.

    Raises:
        apsw.ConstraintError: the number is taken.
    """
    row = conn.row(queries.insert, {"id": id, "now": conn.now, **msgspec.structs.asdict(origin)})
    assert row is not None
    return decode_generation(row)


def find_generation(conn: Connection, id: int) -> Generation | None:
    """The generation of this number, or None."""
    return decode_generation.optional(conn.row(queries.by_id, (id,)))


def generation_by_id(conn: Connection, id: int) -> Generation:
    """The generation of this number. Raises RingmasterError NOT_FOUND."""
    found = find_generation(conn, id)
    if found is None:
        raise RingmasterError(ErrorKind.NOT_FOUND, f"there is no generation {id}", "rmctl rollout history")
    return found


def newest(conn: Connection, limit: int) -> list[Generation]:
    """The newest first, for looking at: what cannot be read of one is left empty."""
    return [decode_generation.salvage(row)[0] for row in conn.rows(queries.newest, (limit,))]


def last_reload(conn: Connection) -> Generation | None:
    """The newest that was tried or refused; None before any reload. What cannot be read of it is left empty."""
    row = conn.row(queries.last_reload)
    return None if row is None else decode_generation.salvage(row)[0]


def unsettled(conn: Connection) -> list[Generation]:
    """Candidates and trials, the oldest first."""
    return decode_generation.all(conn.rows(queries.unsettled))


def generations_of_release(conn: Connection, release: str) -> list[Generation]:
    """Every generation of a release, the newest first."""
    return decode_generation.all(conn.rows(queries.of_release, (release,)))


def bad_of_target(conn: Connection, project_id: str) -> Generation | None:
    """The newest bad one that was made of a project's target branch. What cannot be read of it is left empty."""
    row = conn.row(queries.bad_of_target, (project_id,))
    return None if row is None else decode_generation.salvage(row)[0]


def good_before(conn: Connection, id: int) -> Generation | None:
    """The good generation with the highest number below `id`."""
    return decode_generation.optional(conn.row(queries.good_before, (id,)))


def set_state(conn: Connection, generation: Generation, state: GenerationState, *, reason: str = "") -> None:
    """Move a generation that is still in the state it was read in.

    Raises:
        RingmasterError: WRONG_STATE when there is no such move, or the row has moved since.
    """
    check_generation_move(generation.id, generation.state, state)
    values: dict[str, Value] = {"id": generation.id, "was": str(generation.state), "state": str(state)}
    if not conn.execute(queries.move, values | {"reason": reason, "now": conn.now}):
        now = generation_by_id(conn, generation.id)
        check_generation_move(generation.id, now.state, state)
        raise RingmasterError(ErrorKind.WRONG_STATE, f"generation {now.id} became {now.state} meanwhile")


def put_off(conn: Connection, id: int, reason: str) -> bool:
    """Note why a candidate has to wait; False when it is none any more."""
    return bool(conn.execute(queries.put_off, {"id": id, "reason": reason}))


def note_source(conn: Connection, id: int, project_id: str, commit: str, tree: str) -> None:
    """Note which commit a generation turned out to be that was made of a package."""
    conn.execute(queries.set_source, {"id": id, "project_id": project_id, "commit": commit, "tree": tree})


def begin_run(conn: Connection, id: int) -> None:
    """Note that this generation runs from now on; nothing when it is the one that ran last."""
    conn.execute(queries.begin_run, {"id": id, "now": conn.now})


def newest_run(conn: Connection) -> int:
    """The number of the generation that ran last, or runs; 0 for none."""
    found = conn.rows(queries.newest_run)
    return int(found[0][0]) if found else 0


def runs(conn: Connection, id: int) -> list[tuple[float, float | None]]:
    """From when to when a generation ran, the first first; None: no other has run since."""
    return [(began_at, ended_at) for began_at, ended_at in conn.rows(queries.runs, (id,))]


def note_receipts(conn: Connection, id: int, receipts: Iterable[Receipt]) -> None:
    """Store a generation's receipts in place of those it has."""
    conn.execute(queries.set_receipts, {"id": id, "receipts": encode_json(tuple(receipts))})


def note_measures(conn: Connection, id: int, measures: Measures) -> None:
    """Store a generation's measures in place of those it has."""
    conn.execute(queries.set_measures, {"id": id, "measures": encode_json(measures)})


def measure_attempts(conn: Connection, since_at: float, until_at: float) -> Measures:
    """What the attempts that ended in a time came to: `until_at` is no longer in it."""
    row = conn.row(queries.attempts_between, {"since_at": since_at, "until_at": until_at})
    assert row is not None
    attempts, succeeded, cost_usd, work_s = row
    return Measures(attempts=attempts, succeeded=succeeded, cost_usd=float(cost_usd), work_s=float(work_s))
