"""What becomes of attempts: fake processes that end in every way, people who work by hand, and those who come late."""

from __future__ import annotations

from typing import Any

from ringmaster.model.attempt import Attempt, LandingIntent
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import costs, lease, report
from ringmaster.queue.limits import bounds_of
from ringmaster.queue.quarantine import quarantine_failing
from ringmaster.store import attempts
from ringmaster.store.connection import Connection
from ringmaster.workers.trouble import blame_project
from tests.sim.consequences import check_end, facts_before
from tests.sim.mirror import require
from tests.sim.moves import named
from tests.sim.world import World

HEAD = "2" * 40
OUTCOMES = (
    *(Outcome.FAILED,) * 4,
    Outcome.NO_CHANGES,
    Outcome.NEEDS_DECISION,
    *(Outcome.RATE_LIMITED,) * 3,
    Outcome.TIMED_OUT,
    Outcome.OUTPUT_FLOOD,
    *(Outcome.INTERRUPTED,) * 3,
)
RUNNING = "SELECT id FROM attempts WHERE state <> 'ended' AND state = 'running' ORDER BY started_at, rowid"


def live(world: World, *states: str) -> list[Attempt]:
    """The live attempts in these states."""
    found, _ = world.read(attempts.live_attempts)
    return [attempt for attempt in found if attempt.state in states]


def end(world: World, attempt: Attempt, outcome: Outcome, *, is_counted: bool = True, **facts: Any) -> None:
    """End an attempt, and hold what it did to its task to the table of outcomes."""
    before = facts_before(world.store, attempt)
    reset_at = None
    if outcome is Outcome.RATE_LIMITED and world.rng.random() < 0.7:
        reset_at = world.clock.wall() + 90.0

    def settle(conn: Connection) -> None:
        if outcome is Outcome.RATE_LIMITED and attempt.account:
            paused = costs.Costs(pause_until_at=conn.now + 90.0, pause_reason="limit")
            costs.note_costs(conn, attempt.id, attempt.token, paused)
        report.end_attempt(
            conn,
            attempt.id,
            attempt.token,
            outcome,
            "why",
            rng=world.rng,
            is_counted=is_counted,
            reset_at=reset_at,
            **facts,
        )

    world.write(settle)
    world.tell(f"{attempt.id} {outcome}{'' if is_counted else ', not counted'}")
    check_end(world.store, before, outcome, world.clock.wall(), is_counted=is_counted, reset_at=reset_at)


def is_full(error: RingmasterError) -> bool:
    """Whether it is only the disk: the step is entered again later."""
    return error.kind is ErrorKind.DISK_FULL


def work(world: World) -> None:
    """Some attempt that the daemon works on goes a step further."""
    life = world.life
    if life is None:
        return
    found = [row[0] for row in world.store.rows(RUNNING) if row[0] in life.working]
    if not found:
        return
    attempt = world.read(attempts.attempt_by_id, world.rng.choice(found))
    try:
        if attempt.lease_s:
            _work_on_pulled(world, attempt)
        else:
            _work_on(world, attempt)
    except RingmasterError as error:
        if not is_full(error):
            raise
        world.tell("the disk is full")


def _work_on(world: World, attempt: Attempt) -> None:
    rng = world.rng
    stopped = world.mirror.seat_states.get(attempt.worker_id) == "stopped"
    if attempt.is_cancel_requested or stopped:
        return end(world, attempt, Outcome.CANCELLED if attempt.is_cancel_requested else Outcome.INTERRUPTED)
    if not attempt.base_commit:
        if rng.random() < 0.12:
            return _fail_to_start(world, attempt)
        names = (attempt.id, attempt.token)
        world.write(report.begin_work, *names, branch=lease.branch_of(attempt), base_commit="1" * 40)
        return world.tell(f"{attempt.id} has its workspace")
    if not attempt.session_id:
        account = world.rules.payers.get(attempt.agent, "")
        world.write(
            costs.begin_agent,
            attempt,
            session_id=f"s{attempt.id}",
            model="",
            account_id=account,
            agent=attempt.agent,
            label=account,
        )
        return world.tell(f"{attempt.id} has its agent")
    _judge(world, attempt)


def _fail_to_start(world: World, attempt: Attempt) -> None:
    choice = world.rng.randrange(4)
    if choice == 0:
        words = "its row made the daemon fail"
        world.write(quarantine_failing, attempt, words, rng=world.rng)
        world.tell(f"{attempt.id} is put aside")
    elif choice == 1:
        sur: Any = world
        error = RingmasterError(ErrorKind.WRONG_STATE, "the repository is gone", "mend it")
        world.write(blame_project, attempt, error, "cannot be worked on", sur)
        world.tell(f"{attempt.id}: its project is to blame")
    else:
        end(world, attempt, Outcome.SPAWN_FAILED)


def _judge(world: World, attempt: Attempt) -> None:
    """Its agent asks something, or its process has ended: well, badly, or in a way nobody knows."""
    rng, names = world.rng, (attempt.id, attempt.token)
    chance = rng.random()
    if chance < 0.08:
        options = ("yes", "no")
        world.write(report.ask, *names, question="which?", detail="", options=options, rng=rng)
        world.tell(f"{attempt.id} asks")
    elif chance < 0.55:
        _succeed(world, attempt)
    else:
        outcome = rng.choice(OUTCOMES)
        facts: dict[str, Any] = {}
        if outcome is Outcome.NEEDS_DECISION:
            facts["report"] = {"question": {"words": "what now?", "detail": "", "options": []}}
        is_counted = not (outcome is Outcome.FAILED and rng.random() < 0.3)
        end(world, attempt, outcome, is_counted=is_counted, **facts)


def _succeed(world: World, attempt: Attempt) -> None:
    names = (attempt.id, attempt.token)
    is_diff_needed = world.store.rows("SELECT is_diff_needed FROM tasks WHERE id = ?", (attempt.task_id,))[0][0]
    if not is_diff_needed and world.rng.random() < 0.5:
        world.write(report.complete_without_diff, *names, {})
        world.tell(f"{attempt.id} is done without a change")
    else:
        world.write(report.hand_over, *names, head_commit=HEAD, report={})
        world.tell(f"{attempt.id} hands over")


def _work_on_pulled(world: World, attempt: Attempt) -> None:
    life = world.life
    assert life is not None
    if not attempt.base_commit:
        if attempt.is_cancel_requested:
            return end(world, attempt, Outcome.CANCELLED)
        names = (attempt.id, attempt.token)
        world.write(report.begin_work, *names, branch=lease.branch_of(attempt), base_commit="1" * 40)
        world.tell(f"{attempt.id} has its workspace")
        if world.rng.random() < 0.8:
            life.wait_for(world.read(attempts.attempt_by_id, attempt.id))
    elif attempt.id in life.judged:
        status = attempt.report.get("said", {}).get("status")
        if status == "succeeded":
            _succeed(world, attempt)
        else:
            end(world, attempt, Outcome.INTERRUPTED if status == "interrupted" else Outcome.FAILED)
    else:
        life.wait_for(attempt)
        world.tell(f"{attempt.id} is waited for")


def pull(world: World) -> None:
    """Somebody pulls a task to work on it by hand."""
    rng = world.rng
    name = rng.choice(("", "", "h1", "h2"))
    token = f"{rng.getrandbits(128):032x}"
    claim = world.ask(
        lease.pull,
        name,
        token,
        lease_s=rng.choice((30.0, 50.0, 600.0)),
        is_run=False,
        max_running=world.rules.max_running,
        bounds=bounds_of(world.rules.settings()),
        actor="sim",
        rng=rng,
    )
    if claim is not None:
        # Whoever pulls by hand is no agent whose account could rest.
        world.check_round((claim,))


def heartbeat(world: World) -> None:
    """Somebody who works by hand says that they live, or hands in; or says nothing, and is not heard again."""
    rng, life = world.rng, world.life
    held = [attempt for attempt in live(world, "running") if attempt.lease_s]
    if not held or life is None:
        return
    attempt = rng.choice(held)
    paths: Any = _Workspaces()
    if rng.random() < 0.2:
        said = {"status": rng.choice(("succeeded", "succeeded", "failed", "interrupted")), "summary": "s"}
        world.tell(f"{attempt.id} hands in {said['status']}")
        world.ask(lease.hand_in, attempt.id, attempt.token, said, paths)
        return
    world.tell(f"{attempt.id} lives")
    if life.sur.leases.renew(attempt.id, attempt.token, world.clock.mono):
        world.leases.renew(attempt.id)
    heard = world.ask(lease.heartbeat, attempt.id, attempt.token, paths)
    if heard is not None and heard.lease_left_s:
        world.leases.write(heard)


class _Workspaces:
    """Names a workspace in a refusal."""

    def workspace(self, project_id: str, name: str) -> str:
        return f"{project_id}/{name}"


def come_late(world: World) -> None:
    """A worker writes with a token that is none any more, or never was."""
    rng = world.rng
    rows = world.store.rows("SELECT id, token FROM attempts ORDER BY id")
    if not rows:
        return
    id, token = rng.choice(rows)
    is_live = id in world.mirror.live
    if is_live:
        token = rng.choice((f"{rng.getrandbits(128):032x}", rng.choice(rows)[1], ""))
        if (id, token) in rows:
            return
    intent = LandingIntent(ref="r", old="0" * 40, new="f" * 40)
    fn, args, named_args = rng.choice(
        (
            (report.begin_work, (), {"branch": "late", "base_commit": "f" * 40}),
            (report.add_to_report, ({"late": True},), {}),
            (report.hand_over, (), {"head_commit": "f" * 40, "report": {}}),
            (report.store_intent, (intent,), {}),
            (report.take_intent_back, ("late",), {}),
            (report.complete_landing, (), {"parked_commit": ""}),
            (report.complete_without_diff, ({},), {}),
            (report.ask, (), {"question": "late?", "detail": "", "options": (), "rng": rng}),
            (report.end_attempt, (Outcome.FAILED, "late"), {"rng": rng}),
            (lease.begin_lease, (), {}),
            (lease.expire, (), {}),
            (lease.heartbeat, (_Workspaces(),), {}),
            (lease.hand_in, ({"status": "failed", "summary": "late"}, _Workspaces()), {}),
        )
    )
    world.tell(f"{fn.__name__} of {id}, {'with a wrong token' if is_live else 'which has ended'}")
    try:
        world.write(fn, id, token, *args, **named_args)
    except RingmasterError as error:
        require(error.kind in (ErrorKind.LEASE_LOST, ErrorKind.WRONG_STATE, ErrorKind.DISK_FULL), f"it heard {error}")
        return
    require(False, f"a late {fn.__name__} of {id} was taken")


MOVES = (*named({work: 34, come_late: 3}), *named({pull: 6, heartbeat: 10}, is_stirring=True))
