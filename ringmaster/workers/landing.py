"""The three steps of a landing, and going on with one that a crash cut short."""

from __future__ import annotations

import logging
from pathlib import Path

import trio

from ringmaster.model.attempt import LandingIntent
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.queue import report as reporting
from ringmaster.store import attempts, projects
from ringmaster.store.connection import Connection
from ringmaster.workers.preparing import Bench
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.landing import Blocked, Diverged, Landed, Parked, TargetMoved, land, try_unpark, where_landed
from ringmaster.workspace.obstacles import UpdateCheckout
from ringmaster.workspace.ownership import Owner, foreign_owner
from ringmaster.workspace.refs import target_ref
from ringmaster.workspace.repository import Tip, TipState
from ringmaster.workspace.user_repository import inspect_user_repository

log = logging.getLogger("ringmaster.landing")

# Somebody waits for an answer that needs this look the least of all.
LOOK_LIMIT_S = 2.0


async def land_commit(sur: Surroundings, bench: Bench, tip: Tip, commit: str) -> bool | None:
    """Store the intent, move the ref, report. True when done; None when something moved: look at it all anew.

    After step 1 the lease cannot be lost any more; a crash between any two steps is mended by `finish_landing`.
    """
    if bench.project.parked_commit and tip.state is TipState.TARGET:
        # The user took what was parked: if this is parked too, it begins a new stack.
        await sur.store.write(note_parked, bench.project.id, "")
    intent = LandingIntent(ref=target_ref(bench.project.target), old=tip.target, new=commit)
    if not await sur.store.write(_store_intent, bench, intent):
        return None
    is_done = await _move_and_report(sur, bench, intent)
    if is_done and tip.parked is not None:
        # The commit contains what was parked. Where it went to the target, the branch beside it has served.
        try:
            await unpark(sur, bench.project.id)
        except (RingmasterError, OSError) as error:
            log.info("the parked branch of %s stays: %s", bench.project.id, error)
    return is_done


def _store_intent(conn: Connection, bench: Bench, intent: LandingIntent) -> bool:
    """Step 1. False when a person changed the project or cancelled since the work was judged: their word came first."""
    project = projects.project_by_id(conn, bench.project.id)
    attempt = attempts.check_token(conn, bench.attempt.id, bench.attempt.token)
    if attempt.is_cancel_requested or (project.config, project.target) != (bench.project.config, bench.project.target):
        return False
    reporting.store_intent(conn, attempt.id, attempt.token, intent)
    return True


async def finish_landing(sur: Surroundings, bench: Bench) -> bool:
    """Go on with an attempt that is `landing`: report what was done, do what was not. Re-enterable."""
    intent = bench.attempt.landing
    assert intent is not None, "a landing attempt has its intent: they are written together"
    async with sur.repository_lock(bench.project.id):
        found = await where_landed(bench.bare, bench.user, bench.project.target, intent.new)
        if found is not None:
            await _report(sur, bench, found)
            return True
    return bool(await _move_and_report(sur, bench, intent))


async def _move_and_report(sur: Surroundings, bench: Bench, intent: LandingIntent) -> bool | None:
    config, attempt, target = bench.project.config, bench.attempt, bench.project.target
    update_checkout = UpdateCheckout(config.update_checkout)
    # The report too: what the row says is parked must be what the branch holds, whoever moves it next.
    async with sur.repository_lock(bench.project.id):
        done: Landed | Parked | Blocked | TargetMoved | None = await _foreign(sur, bench.user.common_dir)
        done = done or await land(bench.bare, bench.user, target, intent.old, intent.new, update_checkout)
        if isinstance(done, Landed | Parked):
            await _report(sur, bench, done)
            return True
    if isinstance(done, TargetMoved):
        reason = f"{done.ref} moved to {(done.actual or 'nothing')[:12]} meanwhile"
        await sur.store.write_essential(reporting.take_intent_back, attempt.id, attempt.token, reason)
        return None
    await sur.store.write_essential(_take_back_and_ask, bench, done, sur)
    return True


async def _foreign(sur: Surroundings, common_dir: Path) -> Blocked | None:
    """Why nothing of this repository is moved by this instance: it has become another's. None where it is ours.

    Two instances on one repository would move the same branch by two lanes; a copy of a database is one of them.
    """
    owner = Owner(sur.instance_id, sur.paths.name, str(sur.paths.state))
    other = await trio.to_thread.run_sync(foreign_owner, common_dir, owner)
    if other is None:
        return None
    return Blocked(
        f"{common_dir} belongs to the ringmaster instance '{other.state_name}' ({other.state_dir})",
        f"remove the project there first: rmctl -s {other.state_name} project remove ...",
    )


def _take_back_and_ask(conn: Connection, bench: Bench, blocked: Blocked, sur: Surroundings) -> None:
    reporting.take_intent_back(conn, bench.attempt.id, bench.attempt.token, blocked.reason)
    ask_about_block(conn, bench, blocked, sur)


def ask_about_block(conn: Connection, bench: Bench, blocked: Blocked, sur: Surroundings) -> None:
    """Let the attempt wait until a person says that what was in the way is gone. Raises LEASE_LOST."""
    reporting.wait_for_person(
        conn,
        bench.attempt.id,
        bench.attempt.token,
        DecisionKind.ACCEPT,
        question=f"{bench.task.id} could not land: {blocked.reason}. Accept to try again",
        detail=blocked.hint,
        rng=sur.rng,
    )


async def _report(sur: Surroundings, bench: Bench, done: Landed | Parked) -> None:
    is_parked = isinstance(done, Parked)
    await sur.store.write_essential(
        reporting.complete_landing,
        bench.attempt.id,
        bench.attempt.token,
        parked_commit=done.commit if is_parked else "",
        parked_ref=done.ref if is_parked else "",
    )
    if isinstance(done, Parked):
        log.info("%s is parked: %s; take it with: %s", bench.task.id, done.reason, done.command)


async def unpark(sur: Surroundings, project_id: str) -> None:
    """Try to bring parked work to the target; note in the project's row how it stands.

    Raises RingmasterError, OSError.
    """
    async with sur.repository_lock(project_id):
        project = await sur.store.read(projects.project_by_id, project_id)
        user = await inspect_user_repository(Path(project.path), project.target)
        if (foreign := await _foreign(sur, user.common_dir)) is not None:
            raise RingmasterError(ErrorKind.REFUSED, foreign.reason, foreign.hint)
        update_checkout = UpdateCheckout(project.config.update_checkout)
        found = await try_unpark(sur.paths.repository(project_id), user, project.target, update_checkout)
        if isinstance(found, Diverged):
            return
        parked = found.commit if isinstance(found, Parked) else ""
        if parked != project.parked_commit:
            await sur.store.write_essential(note_parked, project_id, parked)


async def notice_taken(sur: Surroundings, project_id: str) -> None:
    """Note it when the user has taken what is parked; until then nothing is moved.

    For whoever is about to say that it waits: a merge in a checkout tells no daemon. Never raises for
    a repository that is gone or does not answer: what is stored holds until a later look.
    """
    with trio.move_on_after(LOOK_LIMIT_S):
        try:
            project = await sur.store.read(projects.project_by_id, project_id)
            user = await inspect_user_repository(Path(project.path), project.target)
            bare = sur.paths.repository(project_id)
            if isinstance(await where_landed(bare, user, project.target, project.parked_commit), Landed):
                await unpark(sur, project_id)
        except (RingmasterError, OSError) as error:
            log.info("parked work of %s: %s", project_id, error)


def note_parked(conn: Connection, project_id: str, commit: str) -> None:
    """Store what is parked now ('' for nothing) and say so when it changed."""
    if projects.set_parked_commit(conn, project_id, commit):
        type = "project.parked" if commit else "project.unparked"
        conn.emit(type, project_id=project_id, data={"commit": commit})
