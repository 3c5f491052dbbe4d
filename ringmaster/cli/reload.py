"""`rmctl reload`: take newer code of the daemon, or say what would be taken."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ringmaster.cli.clock import duration
from ringmaster.cli.command import top
from ringmaster.cli.output import Row
from ringmaster.cli.page import Page
from ringmaster.cli.progress import Progress
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError

HISTORY = "rmctl rollout history"
CANNOT = "newer code cannot be taken now"
"""What is said of a candidate that is made already, such as one whose libraries cannot be had."""


@top(
    "reload",
    help="Have the daemon look for newer code of its own now. What it finds goes through its gate and a trial. "
    "Exit code with --wait 0: it is live, or there was nothing newer; 6: refused; 5: superseded by a newer change; "
    "3: the daemon was stopped meanwhile.",
)
@click.option("-w", "--wait", "is_waiting", is_flag=True, help="Until it is live or refused; --timeout bounds it.")
@click.option("-n", "--dry-run", "is_dry_run", is_flag=True, help="Say what would be taken, change nothing.")
def reload(session: Session, is_waiting: bool, is_dry_run: bool) -> None:
    """Ask for a reload; with --wait follow it over the switch itself."""
    from ringmaster.protocol.rollout import ReloadRequestParams

    key = "" if is_dry_run else session.new_key()
    answer = session.call("reload.request", ReloadRequestParams(is_dry_run=is_dry_run, idempotency_key=key))
    if answer["state"] == "paused":
        raise RingmasterError(ErrorKind.REFUSED, answer["words"], "rmctl rollout status")
    if is_waiting and not is_dry_run and answer["state"] in ("requested", "under_way"):
        answer |= {"words": follow(session, answer), "state": "over"}
    session.output.item(answer, lambda: layout(session, answer), id_of="generation")


def layout(session: Session, answer: Row) -> str:
    """What was answered, and what would be taken."""
    page = Page(session.output)
    page.lines.append(session.output.shown(session.with_instance(answer["words"])))
    plan = answer["plan"]
    if plan is not None:
        page.fact("source", plan["source"])
        page.fact("commit", plan["commit"])
        page.fact("stages", ", ".join(plan["stages"]))
        page.bullets(f"{len(plan['files'])} files differ", plan["files"])
    return page.done()


def follow(session: Session, answer: Row) -> str:
    """Follow what was requested to its end: a line on stderr for each step that is behind it, and the one under way.

    How it ended, when well.

    Raises:
        RingmasterError: REFUSED for code that was found bad or waits for a person, WRONG_STATE when a newer change
            took its place, UNREACHABLE when the daemon was stopped meanwhile, TIMED_OUT at `--timeout`.
    """
    from ringmaster.protocol.event import EventsSubscribeParams

    follower = Follower(answer["generation"], tuple(answer.get("stages", ())), answer.get("probation_s", 0.0))
    params = EventsSubscribeParams(after=answer["cursor"], type=("generation.", "reload.", "daemon.recovered"))
    with open_alarm(session.timeout_s), session.open_progress() as progress:
        show(progress, follower)
        for event in session.stream("events.subscribe", params, lambda item: {"after": item["seq"]}):
            end = follower.take(event)
            if end:
                return end
            # Before the line that stays: what is drawn below it is what comes next.
            show(progress, follower)
            if follower.words:
                progress.say(follower.words)
    raise RingmasterError(ErrorKind.UNREACHABLE, "the daemon ended before the reload did", "rmctl rollout status")


def show(progress: Progress, follower: Follower) -> None:
    """Draw what is under way. In a pipe the line of each step that is behind it says as much."""
    if progress.is_drawn:
        progress.step(follower.under_way, count=follower.count, left_s=follower.left_s(time.time()))


class Follower:
    """Reads events until a requested reload is over. generation: which is followed, 0 until it is made.

    stages: of the gate. probation_s: how long new code is watched; 0 where the daemon did not say.
    words: about the last event, empty when it was another's. under_way: what happens now; count: how many stages of the
    gate are behind it, of how many, while that runs.
    """

    def __init__(self, generation: int, stages: tuple[str, ...] = (), probation_s: float = 0.0) -> None:
        self.generation = generation
        self.words = ""
        self.under_way = f"generation {generation}" if generation else "newer code is looked for"
        self.count: tuple[int, int] | None = None
        self._stages = stages
        self._probation_s = probation_s
        self._passed: set[str] = set()
        self._tried_at = 0.0

    def left_s(self, now: float) -> float | None:
        """Seconds until probation is over, if nothing is found; None where that is not known, and afterwards."""
        left_s = self._tried_at + self._probation_s - now
        return left_s if self._tried_at and left_s > 0 else None

    def take(self, event: Row) -> str:
        """How it ended when it ended well, else ''. Raises RingmasterError when it ended otherwise."""
        kind, data = event["type"], event["data"]
        self.words = ""
        if kind == "daemon.recovered" and not data.get("is_continued", True):
            what = f"generation {self.generation} was live" if self.generation else "newer code was looked for"
            raise RingmasterError(
                ErrorKind.UNREACHABLE,
                f"the daemon was stopped before {what}, and started again",
                "rmctl rollout status",
            )
        if kind == "reload.found_nothing" and (not self.generation or data["words"].startswith(CANNOT)):
            if data["is_paused"]:
                raise RingmasterError(ErrorKind.REFUSED, data["words"], "rmctl rollout status")
            return str(data["words"])
        if kind == "generation.made" and not self.generation:
            self.generation = data["generation"]
        if data.get("generation") != self.generation:
            return ""
        name, reason = f"generation {self.generation}", data.get("reason", "")
        if kind in ("generation.good", "generation.restored"):
            return f"{name} is live"
        if kind in ("generation.bad", "reload.undo_failed"):
            what = "is refused" if kind == "generation.bad" else "could not be gone back to"
            raise RingmasterError(ErrorKind.REFUSED, f"{name} {what}: {reason}", HISTORY)
        if kind == "generation.superseded":
            raise RingmasterError(ErrorKind.WRONG_STATE, f"{name} is superseded: {reason}", "rmctl reload --wait")
        if kind == "generation.put_off" and event["decision_id"]:
            hint = f"rmctl decision show {event['decision_id']}"
            raise RingmasterError(ErrorKind.REFUSED, f"{name} waits for a person: {reason}", hint)
        self.words = step(name, kind, data)
        self._go_on(name, event)
        return ""

    def _go_on(self, name: str, event: Row) -> None:
        kind, data = event["type"], event["data"]
        self.count = None
        if kind == "generation.gated":
            self._passed.add(data["stage"])
        if kind in ("generation.made", "generation.gated"):
            left = [stage for stage in self._stages if stage not in self._passed]
            gate = f"its gate: {left[0]}" if left else "its gate" if not self._stages else "the switch to it"
            self.under_way = f"{name}: {gate}"
            if left:
                self.count = len(self._stages) - len(left), len(self._stages)
        elif kind == "generation.tried":
            self._tried_at = event["at"]
            self.under_way = f"{name}: on trial"
        elif kind == "generation.put_off":
            self.under_way = f"{name}: has to wait"


def step(name: str, kind: str, data: Row) -> str:
    """A step in words."""
    if kind == "generation.made":
        return f"{name} is made: {data['source']} {data['commit'][:12]}".rstrip()
    if kind == "generation.gated":
        words = f": {data['words']}" if data["words"] else ""
        return f"{name}: {data['stage']} {data['result']} in {duration(data['wall_s'])}{words}"
    if kind == "generation.tried":
        return f"{name} is on trial"
    if kind == "generation.put_off":
        return f"{name} has to wait: {data['reason']}"
    return ""


@contextmanager
def open_alarm(timeout_s: float | None) -> Iterator[None]:
    """Break off what waits inside after so many seconds; None: never. A stream has no time limit of its own.

    Raises:
        RingmasterError: TIMED_OUT inside the block.
    """

    def ring(number: int, frame: object) -> None:
        raise RingmasterError(ErrorKind.TIMED_OUT, "the reload is still under way", "rmctl rollout status")

    if timeout_s is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    # 0 would be no alarm at all.
    signal.setitimer(signal.ITIMER_REAL, max(timeout_s, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
