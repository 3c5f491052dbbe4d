"""Use cases on generations: made, gated, tried, settled, and what one did while it ran.

Each move is taken again without harm: the boot record is the truth about what boots, and a start takes into the rows
what was written there, which a kill between the two repeats.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ringmaster.model.decision import Decision
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.generation import Generation, GenerationState, Measures, Origin, Receipt
from ringmaster.protocol.rollout import GenerationView, RolloutHistory
from ringmaster.queue.release_question import withdraw_release_questions
from ringmaster.redaction.redactor import KNOWN_FORMS
from ringmaster.store import decisions, events, generations
from ringmaster.store.connection import Connection

NOTHING_YET = Measures()
QUESTIONS = 1_000


def make_generation(conn: Connection, origin: Origin, *, above: int = 0) -> Generation:
    """Store a new candidate under the next number; `generation.made`.

    above: a number that is taken though there may be no row of it, such as the largest in the boot record: a database
    that was put back from a copy knows fewer generations than ran.
    """
    newest = generations.newest(conn, 1)
    return _add(conn, max(newest[0].id if newest else 0, above) + 1, origin)


def ensure_generation(conn: Connection, id: int, origin: Origin) -> Generation:
    """The row of the generation that runs, from now on; every image calls this as it starts.

    Where there is no row (a first start, or a database put back from a copy) it is made as a good one: what boots was
    proved before or is the first.
    """
    found = generations.find_generation(conn, id)
    if found is not None:
        generations.begin_run(conn, id)
        return found
    return settle_good(conn, begin_trial(conn, _add(conn, id, origin).id).id)


def note_receipt(conn: Connection, id: int, receipt: Receipt) -> Generation:
    """Add a stage's receipt in place of one that the stage has; `generation.gated` has the first line of its words.

    Raises NOT_FOUND.
    """
    generation = generations.generation_by_id(conn, id)
    kept = tuple(known for known in generation.receipts if known.stage != receipt.stage)
    if receipt in generation.receipts:
        return generation
    generations.note_receipts(conn, id, (*kept, receipt))
    result, wall_s, words = str(receipt.result), receipt.wall_s, receipt.words.partition("\n")[0]
    _emit(conn, "generation.gated", generation, stage=receipt.stage, result=result, words=words, wall_s=wall_s)
    return generations.generation_by_id(conn, id)


def put_off(conn: Connection, id: int, reason: str, *, decision_id: str = "") -> Generation:
    """A candidate has to wait, for whatever is not its fault or for a person; `generation.put_off`.

    A trial that was stopped before it had proved itself becomes a candidate again. Raises NOT_FOUND, WRONG_STATE for
    one that has settled.
    """
    generation = generations.generation_by_id(conn, id)
    if generation.state is GenerationState.TRIAL:
        generations.set_state(conn, generation, GenerationState.CANDIDATE, reason=reason)
    elif not generations.put_off(conn, id, reason):
        raise RingmasterError(
            ErrorKind.WRONG_STATE,
            f"generation {id} is {generation.state}: it waits for nothing",
            "rmctl rollout status",
        )
    elif generation.reason == reason:
        return generation
    _emit(conn, "generation.put_off", generation, decision_id=decision_id, reason=reason)
    return generations.generation_by_id(conn, id)


def begin_trial(conn: Connection, id: int) -> Generation:
    """The switch to it begins; `generation.tried`. Raises NOT_FOUND, WRONG_STATE."""
    generation = _move(conn, id, GenerationState.TRIAL, "generation.tried")
    generations.begin_run(conn, id)
    return generation


def settle_good(conn: Connection, id: int) -> Generation:
    """It proved itself; `generation.good`. Raises NOT_FOUND, WRONG_STATE."""
    return _move(conn, id, GenerationState.GOOD, "generation.good")


def settle_bad(conn: Connection, id: int, reason: str) -> Generation:
    """Its gate refused it or it failed on trial; `generation.bad`. Raises NOT_FOUND, WRONG_STATE for a good one.

    reason: kept as it may be shown.
    """
    return _move(conn, id, GenerationState.BAD, "generation.bad", KNOWN_FORMS.shown(reason))


def supersede(conn: Connection, id: int, reason: str) -> Generation:
    """A newer change took a candidate's place; `generation.superseded`. Raises NOT_FOUND, WRONG_STATE.

    What is asked about it, by a daemon that was killed too, is taken back.
    """
    withdraw_release_questions(conn, id)
    return _move(conn, id, GenerationState.SUPERSEDED, "generation.superseded", reason)


def restore(conn: Connection, id: int, reason: str) -> Generation:
    """A good one runs again, by a rollback or because a person went back to it; `generation.restored`.

    Raises:
        RingmasterError: NOT_FOUND, WRONG_STATE for one that is not good.
    """
    generation = generations.generation_by_id(conn, id)
    if generation.state is not GenerationState.GOOD:
        raise _not_good(generation)
    generations.begin_run(conn, id)
    _emit(conn, "generation.restored", generation, reason=reason)
    return generation


def note_failure(conn: Connection, id: int, reason: str) -> bool:
    """Take into the row what the stub wrote of a trial that failed; False when the row says so already, or is no more.

    A good release that was found damaged stays good: what was tried and proved is its code.
    """
    generation = generations.find_generation(conn, id)
    if generation is None or generation.state not in (GenerationState.TRIAL, GenerationState.CANDIDATE):
        return False
    settle_bad(conn, id, reason)
    return True


def note_measures(conn: Connection, id: int, measures: Measures) -> Generation:
    """Take over each measure there is; the others stay. Raises NOT_FOUND."""
    generation = generations.generation_by_id(conn, id)
    generations.note_measures(conn, id, generation.measures.with_newer(measures))
    return generations.generation_by_id(conn, id)


def measure_attempts(conn: Connection, generation: Generation) -> Measures:
    """What the attempts came to that ended while a generation ran, in all its runs, up to now."""
    parts = [
        generations.measure_attempts(conn, began_at, conn.now if ended_at is None else ended_at)
        for began_at, ended_at in generations.runs(conn, generation.id)
    ]
    return (
        Measures(
            attempts=sum(part.attempts or 0 for part in parts),
            succeeded=sum(part.succeeded or 0 for part in parts),
            cost_usd=sum(part.cost_usd or 0.0 for part in parts),
            work_s=sum(part.work_s or 0.0 for part in parts),
        )
        if parts
        else Measures()
    )


def find_undo(conn: Connection, wanted: int | None, *, running: int) -> Generation:
    """The good generation to go back to. wanted: which, None for the newest good one before the one that runs.

    Raises:
        RingmasterError: NOT_FOUND when there is none; WRONG_STATE when it runs already or is not good.
    """
    if wanted is None:
        before = generations.good_before(conn, running)
        if before is None:
            raise RingmasterError(
                ErrorKind.NOT_FOUND, f"there is no good generation before {running}", "rmctl rollout history"
            )
        return before
    generation = generations.generation_by_id(conn, wanted)
    if generation.id == running:
        raise RingmasterError(
            ErrorKind.WRONG_STATE, f"generation {wanted} is the one that runs", "rmctl rollout history names the others"
        )
    if generation.state is not GenerationState.GOOD:
        raise _not_good(generation)
    return generation


def find_bad_release(conn: Connection) -> Decision | None:
    """The oldest open question about a bad release of the target, None for none."""
    found = decisions.open_decisions(conn, QUESTIONS)
    return next((one for one in found if one.kind is DecisionKind.BAD_RELEASE), None)


def request_reload(conn: Connection, *, actor: str) -> int:
    """Note that somebody asked for a reload; `reload.requested`. The cursor behind which its consequences are."""
    cursor = events.last_seq(conn)
    conn.emit("reload.requested", actor=actor)
    return cursor


def request_undo(conn: Connection, generation: Generation, *, actor: str) -> int:
    """Note that somebody asked to go back; `reload.undo_requested`. The cursor behind which its consequences are."""
    cursor = events.last_seq(conn)
    _emit(conn, "reload.undo_requested", generation, actor=actor)
    return cursor


def find_nothing(conn: Connection, words: str, *, is_paused: bool = False) -> None:
    """A reload that somebody asked for found nothing to take; `reload.found_nothing`. words: why, for people."""
    conn.emit("reload.found_nothing", data={"words": words, "is_paused": is_paused})


def fail_undo(conn: Connection, id: int, reason: str) -> None:
    """Going back to a good generation did not come about; `reload.undo_failed`. It stays good. Raises NOT_FOUND."""
    _emit(conn, "reload.undo_failed", generations.generation_by_id(conn, id), reason=reason)


def read_history(
    conn: Connection, limit: int, *, running: int, good: int, current: Measures = NOTHING_YET
) -> RolloutHistory:
    """The newest generations side by side. Of the one that runs, the attempts up to now, and what it measures now."""
    views = []
    for generation in generations.newest(conn, limit):
        measures = generation.measures.with_newer(measure_attempts(conn, generation))
        if generation.id == running:
            measures = measures.with_newer(current)
        views.append(
            GenerationView(
                generation=msgspec.structs.replace(generation, measures=measures),
                is_running=generation.id == running,
                is_good=generation.id == good,
                success_rate=measures.success_rate,
                cost_per_success_usd=measures.cost_per_success_usd,
                work_per_success_s=measures.work_per_success_s,
            )
        )
    return RolloutHistory(generations=tuple(views))


def _add(conn: Connection, id: int, origin: Origin) -> Generation:
    generation = generations.add_candidate(conn, id, origin)
    release, parent, source, commit = origin.release, origin.parent, origin.source, origin.commit
    _emit(conn, "generation.made", generation, release=release, parent=parent, source=source, commit=commit)
    return generation


def _move(conn: Connection, id: int, state: GenerationState, event: str, reason: str = "") -> Generation:
    generation = generations.generation_by_id(conn, id)
    if generation.state is state:
        return generation
    generations.set_state(conn, generation, state, reason=reason)
    more = {"reason": reason} if reason else {}
    _emit(conn, event, generation, release=generation.release, **more)
    return generations.generation_by_id(conn, id)


def _emit(
    conn: Connection, type: str, generation: Generation, *, actor: str = "", decision_id: str = "", **data: Any
) -> None:
    conn.emit(
        type,
        project_id=generation.project_id,
        decision_id=decision_id,
        actor=actor,
        data={"generation": generation.id, **data},
    )


def _not_good(generation: Generation) -> RingmasterError:
    return RingmasterError(
        ErrorKind.WRONG_STATE,
        f"generation {generation.id} is {generation.state}: only a good one can be gone back to",
        "rmctl rollout history",
    )
