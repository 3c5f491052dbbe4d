"""What follows when a release born of a landed commit failed: nothing more lands on it before a person has looked."""

from __future__ import annotations

import random

from ringmaster.model.decisions import DecisionKind
from ringmaster.model.generation import Generation
from ringmaster.queue.decide import pause_project
from ringmaster.store import projects
from ringmaster.store.connection import Connection


def ask_about_bad_release(conn: Connection, generation: Generation, *, rng: random.Random) -> None:
    """Close the lane of the project that a bad generation came from, and propose the revert; for no other source."""
    if generation.source != "target" or generation.project_id not in projects.all_ids(conn):
        return
    pause_project(
        conn,
        generation.project_id,
        DecisionKind.BAD_RELEASE,
        question=f"generation {generation.id} of the daemon, made of {generation.commit[:12]}, is bad: "
        f"{generation.reason}. Revert it?",
        reason=f"its commit {generation.commit[:12]} made a bad release: {generation.reason}",
        detail="",
        rng=rng,
    )
