"""Bringing the rows of generations in line with the boot record, once at each start."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from pathlib import Path

import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.generation import GenerationState, Origin
from ringmaster.queue import rollout
from ringmaster.queue.bad_release import Evidence, close_lane
from ringmaster.reload.boot_contract import BootHandle
from ringmaster.reload.boot_record import BootRecord, Image, drop_trial, forget_failed, read_record, write_record
from ringmaster.reload.evidence import find_evidence
from ringmaster.reload.wish import image_of
from ringmaster.store import Store, generations
from ringmaster.store.connection import Connection

log = logging.getLogger("ringmaster.reload")

CUT_SHORT = "the daemon was stopped before it had proved itself"
GIVEN_UP = "it was given up on trial, and the boot record could not be written to say why"


async def take_over_record(
    store: Store, state: Path, handle: BootHandle, rng: random.Random, refused: str = ""
) -> None:
    """Make every row say what the record says. Safe to repeat after a kill at any moment.

    A generation that the stub gave up becomes bad, with what follows from that for the project it came from; a trial
    that is over without a verdict is a candidate again, and is dropped from the record, where a later start would take
    the death of another for its own; what runs has a row, and what the record calls good is good.
    refused: why the trial that this image was left for could not be executed.
    A record that is lost or cannot be read is made anew of what runs.
    On a full disk what cannot be written is left for the next start, with a line: a start must not end at it.
    """
    record = await trio.to_thread.run_sync(read_record, state) or await _mend_record(store, state, handle)
    if record is None:
        return
    evidence = await _evidence(store, state, record)
    try:
        told = await store.write_essential(_take_over, record, handle.generation, evidence, rng, refused or CUT_SHORT)
    except RingmasterError as error:
        if error.kind is not ErrorKind.DISK_FULL:
            raise
        log.error("what the boot record says is in the rows after the next start alone: %s", error.message)  # noqa: TRY400 - foreseen
        return
    for words in told:
        log.error("%s", words)
    is_stale = record.trial is not None and record.trial.generation != handle.generation
    if record.failed or is_stale:
        settled = drop_trial(record) if is_stale else record
        try:
            await trio.to_thread.run_sync(write_record, state, forget_failed(settled))
        except OSError as error:
            log.error("the boot record cannot be written, and is taken over once more: %s", error)  # noqa: TRY400 - foreseen


async def _mend_record(store: Store, state: Path, handle: BootHandle) -> BootRecord | None:
    """A record of what runs, written in the place of one that is lost or cannot be read; None where that cannot be.

    It was there when the stub chose. Without one every candidate would be switched to in vain, again and again, and
    the next start would begin anew with the package.
    """
    running = await store.read(generations.find_generation, handle.generation)
    log.error("the boot record %s cannot be read", state / "boot.json")
    if running is None or handle.is_trial:
        return None
    record = BootRecord(good=image_of(running))
    try:
        await trio.to_thread.run_sync(write_record, state, record)
    except OSError as error:
        log.error("it cannot be written anew: %s", error)  # noqa: TRY400 - foreseen
        return None
    return record


async def _evidence(store: Store, state: Path, record: BootRecord) -> dict[int, Evidence]:
    """What git says of those that failed, by number."""
    found = {}
    for failure in record.failed:
        generation = await store.read(generations.find_generation, failure.generation)
        if generation is not None and generation.state is not GenerationState.BAD:
            found[generation.id] = await find_evidence(store, state, generation)
    return found


def _take_over(
    conn: Connection,
    record: BootRecord,
    running: int,
    evidence: Mapping[int, Evidence],
    rng: random.Random,
    cut_short: str,
) -> list[str]:
    told = []
    reasons = []
    left = generations.find_generation(conn, generations.newest_run(conn))
    for failure in record.failed:
        if rollout.note_failure(conn, failure.generation, failure.reason):
            told.append(f"generation {failure.generation} is bad: {failure.reason}")
            reasons.append(f"generation {failure.generation}: {failure.reason}")
            bad = generations.generation_by_id(conn, failure.generation)
            close_lane(conn, bad, evidence.get(bad.id, Evidence()), rng=rng)
    for image in (record.before, record.good):
        if image is not None:
            _ensure_good(conn, image, is_running=image.generation == running)
    for generation in generations.unsettled(conn):
        if generation.state is GenerationState.TRIAL and generation.id != running:
            is_given_up = record.trial is not None and record.trial.generation == generation.id and record.trial.boots
            rollout.put_off(conn, generation.id, GIVEN_UP if is_given_up else cut_short)
    if record.trial is not None and record.trial.generation == running:
        trial = generations.find_generation(conn, running)
        if trial is not None and trial.state is GenerationState.CANDIDATE:
            rollout.begin_trial(conn, running)
    if left is not None and left.id != running and left.state is GenerationState.GOOD:
        # Undone by a person, or given up by the stub; its row stays good.
        given_up = [failure.reason for failure in record.failed if failure.generation == left.id]
        reasons.append(f"generation {left.id}: {given_up[-1] if given_up else 'a person went back'}")
    if reasons and running == record.good.generation:
        rollout.restore(conn, running, "; ".join(reasons))
    return told


def _ensure_good(conn: Connection, image: Image, *, is_running: bool) -> None:
    found = generations.find_generation(conn, image.generation)
    if found is None or is_running:
        origin = Origin(release=image.release, digest=image.digest, python=image.python, source="package")
        found = rollout.ensure_generation(conn, image.generation, origin)
    if found.state is GenerationState.CANDIDATE:
        found = rollout.begin_trial(conn, found.id)
    if found.state is GenerationState.TRIAL:
        # A kill between the record and the row.
        rollout.settle_good(conn, found.id)
