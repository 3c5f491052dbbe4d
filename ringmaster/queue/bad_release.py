"""What follows when a release born of the target failed: the lane closes, and opens when the target is good again.

While it is closed nothing of the project is given out or landed: an agent would work on, and be judged by, a base
that is known to be bad, and what lands on it could not be told from it. So the repair that is filed is given out with
the lane's opening: after a revert it is the change once more, done right; after `resume` it is the mend.
"""

from __future__ import annotations

import random

import msgspec

from ringmaster.model.decision import Decision
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.generation import Generation, GenerationState
from ringmaster.model.project import Project
from ringmaster.model.states import DecisionState, ProjectState
from ringmaster.protocol.task import TaskAddParams
from ringmaster.queue.decide import open_decision, pause_project, resume_project, withdraw
from ringmaster.queue.intake import store_task
from ringmaster.queue.rollout import settle_bad
from ringmaster.store import decisions, generations, projects
from ringmaster.store.connection import Connection

MARK = "bad release: "
"""How the reason of such a pause begins; sql/queries/attempts.sql closes the lane by it."""
LABEL = "bad-release"
REVERT = "revert"
TITLE_LIMIT = 160
ATTEMPTS = 3


class Evidence(msgspec.Struct, frozen=True):
    """What git says of the commit. command: reverts it by hand. diff: its head."""

    subject: str = ""
    command: str = ""
    diff: str = ""


class Closed(msgspec.Struct, frozen=True):
    """A closed lane. generation: the newest bad one of the target. decision: asks about it, or is answered."""

    project: Project
    generation: Generation
    decision: Decision

    @property
    def is_revert_wanted(self) -> bool:
        """Whether a person said that the commit is to be reverted."""
        return self.decision.state is DecisionState.ANSWERED and self.decision.answer == REVERT


def settle_bad_release(conn: Connection, id: int, reason: str, evidence: Evidence, *, rng: random.Random) -> Generation:
    """A generation is bad; where it was made of the target its project's lane closes. Raises NOT_FOUND, WRONG_STATE."""
    is_news = generations.generation_by_id(conn, id).state is not GenerationState.BAD
    generation = settle_bad(conn, id, reason)
    if is_news:
        close_lane(conn, generation, evidence, rng=rng)
    return generation


def close_lane(conn: Connection, generation: Generation, evidence: Evidence, *, rng: random.Random) -> None:
    """Pause the project that a bad generation came from, propose the revert, and file the repair; for no other source.

    Once for each generation. A newer one takes the question over: the repair of what was bad before is filed already.
    """
    known = {project.id for project in projects.salvaged_projects(conn)}
    if generation.source != "target" or generation.project_id not in known:
        return
    was_closed = find_closed(conn, generation.project_id) is not None
    before = decisions.open_decision_of_project(conn, generation.project_id, DecisionKind.BAD_RELEASE)
    if before is not None:
        withdraw(conn, decisions.decision_by_id(conn, before))
    said = generation.reason or "it failed"
    pause_project(
        conn,
        generation.project_id,
        DecisionKind.BAD_RELEASE,
        question=f"generation {generation.id} of the daemon, made of {generation.commit[:12]}, is bad: {said}."
        " Revert the commit?",
        reason=reason_of(generation, "the revert is proposed: rmctl decision list"),
        detail=words_of(generation, evidence),
        rng=rng,
    )
    say_why(conn, generation.project_id, reason_of(generation, "the revert is proposed: rmctl decision list"))
    if not was_closed:
        store_task(conn, _repair(generation, evidence), actor="daemon", max_attempts=ATTEMPTS, rng=rng)


def reason_of(generation: Generation, rest: str) -> str:
    """Why the lane is closed, and what is in the way."""
    said = generation.reason or "it failed"
    return f"{MARK}generation {generation.id} of {generation.commit[:12]} ({said}); {rest}"


def words_of(generation: Generation, evidence: Evidence) -> str:
    """The evidence, for a person and for the agent that mends it."""
    lines = [
        f"generation {generation.id} of the daemon is bad: {generation.reason}",
        f"made of commit {generation.commit} {evidence.subject}".rstrip(),
    ]
    lines += [
        f"  {receipt.stage}: {receipt.result} in {receipt.wall_s:.1f} s {receipt.words}".rstrip()
        for receipt in generation.receipts
    ]
    if not generation.receipts:
        lines.append("  its gate left no receipt")
    if evidence.command:
        lines.append(f"by hand: {evidence.command}")
    if evidence.diff:
        lines += ["", evidence.diff]
    return "\n".join(lines)


def _repair(generation: Generation, evidence: Evidence) -> TaskAddParams:
    said = generation.reason or "it failed"
    title = f"Mend what made generation {generation.id} bad: {said}"
    return TaskAddParams(
        title=title if len(title) <= TITLE_LIMIT else f"{title[: TITLE_LIMIT - 1]}…",
        project_id=generation.project_id,
        description=f"{words_of(generation, evidence)}\n\nIf the commit is reverted by now, make its change once more"
        " without what made it bad; otherwise mend it.",
        priority=0,
        labels=(LABEL,),
        acceptance=(
            f"what commit {generation.commit[:12]} was to do is done, or the reason why it cannot be is in the summary",
            "a test fails with the commit as it was and passes with the mend",
            "the generation made of it passes every stage of its gate and its probation: rmctl rollout history",
            f"measure: bad generations with this reason, 1 before ({generation.id}), 0 after",
        ),
    )


def find_closed(conn: Connection, project_id: str) -> Closed | None:
    """What closed the lane of a project; None while it is open, or when only a person paused it."""
    project = projects.salvaged_project(conn, project_id)
    decision = decisions.newest_bad_release(conn, project_id)
    if decision is None:
        return None
    is_ours = project.state is ProjectState.PAUSED and project.paused_reason.startswith(MARK)
    if not is_ours and decision.state is not DecisionState.OPEN:
        return None
    generation = generations.bad_of_target(conn, project_id)
    return None if generation is None else Closed(project, generation, decision)


def open_lane(conn: Connection, closed: Closed, words: str) -> bool:
    """The target is good again: take the question back and give tasks out; False when it is open already.

    A pause by a person, or one that another question holds, stays.
    """
    project_id = closed.project.id
    current = find_closed(conn, project_id)
    if current is None:
        return False
    if current.decision.state is DecisionState.OPEN:
        withdraw(conn, current.decision)
    if not current.project.paused_reason.startswith(MARK):
        return True
    other = decisions.decision_that_holds(conn, project_id)
    if other:
        say_why(conn, project_id, f"decision {other} waits for a person")
    else:
        resume_project(conn, project_id, actor="daemon")
    conn.emit("reload.lane_opened", project_id=project_id, data={"generation": closed.generation.id, "words": words})
    return True


def say_why(conn: Connection, project_id: str, reason: str) -> None:
    """What is in the way now, in the reason of the pause; a pause of another reason keeps its own."""
    if projects.salvaged_project(conn, project_id).paused_reason.startswith(MARK):
        projects.set_paused_reason(conn, project_id, reason)


def note_revert(conn: Connection, closed: Closed, commit: str, *, parked: str = "") -> None:
    """The revert is on the target, or parked beside it, `parked` being the command that takes it; `reload.reverted`."""
    where = f"is not yet in your checkout: {parked}" if parked else "has landed and is judged: rmctl rollout status"
    rest = f"its revert {commit[:12]} {where}"
    project_id = closed.project.id
    if parked and projects.set_parked_commit(conn, project_id, commit):
        conn.emit("project.parked", project_id=project_id, data={"commit": commit})
    reason = reason_of(closed.generation, rest)
    if projects.salvaged_project(conn, project_id).paused_reason == reason:
        return
    say_why(conn, project_id, reason)
    conn.emit(
        "reload.reverted",
        project_id=project_id,
        decision_id=closed.decision.id,
        data={"generation": closed.generation.id, "commit": commit, "is_parked": bool(parked)},
    )


def refuse_revert(conn: Connection, closed: Closed, reason: str, *, rng: random.Random) -> None:
    """It could not be reverted: say why, and ask again; `reload.revert_refused`."""
    generation = closed.generation
    decision_id = open_decision(
        conn,
        DecisionKind.BAD_RELEASE,
        project_id=closed.project.id,
        question=f"generation {generation.id} of the daemon, made of {generation.commit[:12]}, could not be reverted:"
        f" {reason}. Revert it by hand, or try again?",
        detail=closed.decision.detail,
        rng=rng,
    )
    say_why(conn, closed.project.id, reason_of(generation, f"it could not be reverted: {reason}"))
    conn.emit(
        "reload.revert_refused",
        project_id=closed.project.id,
        decision_id=decision_id,
        data={"generation": generation.id, "reason": reason},
    )
