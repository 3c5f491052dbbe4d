"""What the events of a self-host run tell: where it stands, how long each part took, why it cannot go on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

Row = Mapping[str, Any]
End = Literal["landed", "done", "cancelled", "failed", "red", "decision", "paused"]

# After these the task is tried again as it is: nothing is for a person to do.
_GOES_ON = ("succeeded", "interrupted", "conflict", "rate_limited", "lease_lost")


class Line(NamedTuple):
    """One line for people. at: unix seconds."""

    at: float
    what: str
    text: str


class Part(NamedTuple):
    """How long a part of the landed attempt took, in seconds."""

    name: str
    wall_s: float


class Story:
    """The state of one task and its project, as far as the events taken so far tell.

    since: the last event before this run; generations from before it were an earlier run's.
    """

    def __init__(self, task_id: str, project_id: str, since: int = 0) -> None:
        self._since = since
        self.task_id = task_id
        self.project_id = project_id
        self.title = ""
        self.attempt_id = ""
        self.job = ""
        self.commit = ""
        self.ref = ""
        self.tests = ""
        self.failure = ""
        self.paused = ""
        self.open_decisions: dict[str, str] = {}
        self._task_end: End | None = None
        self._marks: dict[str, float] = {}

    @property
    def filter(self) -> dict[str, Any]:
        """Which events to read."""
        return {"project_id": self.project_id}

    @property
    def end(self) -> End | None:
        """Why following is over; None while it goes on."""
        if self._task_end is not None:
            return self._task_end
        if self.paused:
            return "paused"
        if self.open_decisions:
            return "decision"
        return "red" if self.failure and "settled" in self._marks else None

    def forget_failure(self) -> None:
        """The failure was told in an earlier run; now the next attempt counts."""
        self.failure = ""

    def concerns(self, event: Row) -> bool:
        """Whether an event is about the task, or about its whole project."""
        if event["task_id"]:
            return bool(event["task_id"] == self.task_id)
        return bool(event["project_id"] == self.project_id)

    def take(self, event: Row) -> Line | None:
        """Take the next event in order. What to show of it, None for nothing."""
        if not self.concerns(event):
            return None
        noun, _, verb = event["type"].partition(".")
        if noun == "generation":
            words = told_of_generation(event) if event["seq"] > self._since else None
            return Line(event["at"], *words) if words else None
        function = getattr(self, f"_{noun}_{verb}", None)
        told: tuple[str, str] | None = function(event, event["data"]) if function is not None else None
        return Line(event["at"], *told) if told else None

    def under_way(self) -> tuple[str, float]:
        """What happens at this moment in words, and since when; 0 where that is not known."""
        latest = max(self._marks, key=lambda name: self._marks[name], default="")
        words = {"ready": "queued", "started": "making the workspace", "agent": "agent at work", "gate": "gate"}
        if not latest or "settled" in self._marks:
            return "waiting for the next try", 0.0
        return words.get(latest, "merging and landing"), self._marks[latest]

    def parts(self) -> list[Part]:
        """The landed attempt from queue to landing; each part ends where the next begins, so they add up."""
        names = ("queue", "workspace", "agent", "merge", "gate", "landing")
        at = [
            self._marks.get(name, 0.0)
            for name in ("ready", "started", "agent", "agent_end", "gate", "gate_end", "landed")
        ]
        for number, value in enumerate(at):
            at[number] = value or at[number - 1]  # a part that did not happen took no time
        return [Part(name, max(0.0, at[number + 1] - at[number])) for number, name in enumerate(names)]

    @property
    def landed_at(self) -> float:
        """When it landed, in unix seconds; 0 before."""
        return self._marks.get("landed", 0.0)

    def _task_created(self, event: Row, data: Row) -> tuple[str, str]:
        self._marks["ready"] = event["at"]
        self.title = str(data["title"])
        return "queued", f"{self.task_id}: {self.title}"

    def _attempt_started(self, event: Row, data: Row) -> tuple[str, str]:
        ready_at = self._marks.setdefault("ready", event["at"])
        self._marks = {"ready": ready_at, "started": event["at"]}
        self.failure = ""
        self.attempt_id = event["attempt_id"]
        return "running", f"{self.attempt_id} by worker {event['worker_id']}, agent {data['agent']}"

    def _attempt_prepared(self, event: Row, data: Row) -> tuple[str, str]:
        return "workspace", f"branch {data['branch']} on {data['base'][:12]}"

    def _attempt_job_started(self, event: Row, data: Row) -> tuple[str, str] | None:
        kind = self.job = str(data["kind"])
        if kind == "agent":
            self._marks["agent"] = event["at"]
            return "agent", "started"
        if kind == "setup":
            return "workspace", "set-up"
        if kind.startswith("gate"):
            self._marks.setdefault("gate", event["at"])
        if kind.endswith("-rerun"):
            return "gate", "red; once more, to tell a flaky test from a broken one"
        return "gate", "the tip itself" if kind.startswith("base-gate") else "started on the commit that would land"

    def _attempt_job_ended(self, event: Row, data: Row) -> tuple[str, str] | None:
        self.job = ""
        if data["kind"] != "agent":
            return None
        self._marks["agent_end"] = event["at"]
        code = f" with status {data['code']}" if data.get("code") is not None else ""
        return "agent", f"{str(data['reason']).replace('_', ' ')}{code}"

    def _attempt_ended(self, event: Row, data: Row) -> tuple[str, str] | None:
        outcome = data["outcome"]
        if outcome == "succeeded":
            return None
        if outcome not in _GOES_ON:
            self.failure = f"{event['attempt_id']} ended {outcome}: {data['reason']}"
        return str(outcome).replace("_", " "), str(data["reason"])

    def _task_validating(self, event: Row, data: Row) -> tuple[str, str]:
        if data.get("reason"):
            return "validating", str(data["reason"])
        return "validating", f"the work is fetched: {data['head'][:12]}"

    def _gate_ended(self, event: Row, data: Row) -> tuple[str, str]:
        self._marks["gate_end"] = event["at"]
        total = data.get("tests_total")
        self.tests = "tests unknown" if total is None else f"{total} tests"
        flaky = ", flaky" if data.get("is_flaky") else ""
        return "gate", f"{data['result']} on {data['commit'][:12]}: {self.tests}{flaky}, {data['wall_s']:.1f} s"

    def _gate_reused(self, event: Row, data: Row) -> tuple[str, str]:
        self._marks["gate"] = self._marks["gate_end"] = event["at"]
        self.tests = f"the receipt of {data['receipt_of'][:12]}, which has the same tree"
        return "gate", f"not run again: {self.tests}"

    def _task_landing(self, event: Row, data: Row) -> tuple[str, str]:
        return "landing", f"{data['ref']} {data['old'][:12]} -> {data['new'][:12]}"

    def _task_landed(self, event: Row, data: Row) -> tuple[str, str]:
        self._marks["landed"] = event["at"]
        self.commit, self.ref = str(data["new"]), str(data["ref"])
        return "landed", self.commit

    def _task_done(self, event: Row, data: Row) -> tuple[str, str] | None:
        self._task_end = "landed" if self.commit else "done"
        return None if self.commit else ("done", f"by {data['done_by']}, without a landing")

    def _task_opened(self, event: Row, data: Row) -> tuple[str, str]:
        self._task_end = None
        self._marks = {"ready": event["at"], "settled": event["at"]}
        return "queued", f"again: {data['reason']}"

    def _task_failed(self, event: Row, data: Row) -> tuple[str, str]:
        self._task_end = "failed"
        self.failure = self.failure or str(data.get("reason", ""))
        return "failed", "the attempts are used up"

    def _task_cancelled(self, event: Row, data: Row) -> tuple[str, str]:
        self._task_end = "cancelled"
        return "cancelled", str(data.get("message") or data.get("reason") or "by a person")

    def _decision_opened(self, event: Row, data: Row) -> tuple[str, str]:
        if data["kind"] == "release":
            # About another commit's generation; the task goes on, and what it lands takes that one's place.
            return "decision", f"{event['decision_id']}: {data['question']}"
        self.open_decisions[event["decision_id"]] = str(data["question"])
        return "decision", f"{event['decision_id']}: {data['question']}"

    def _decision_answered(self, event: Row, data: Row) -> tuple[str, str]:
        self.open_decisions.pop(event["decision_id"], None)
        return "decision", f"{event['decision_id']} answered: {data['answer']}"

    def _decision_withdrawn(self, event: Row, data: Row) -> None:
        self.open_decisions.pop(event["decision_id"], None)

    def _project_paused(self, event: Row, data: Row) -> tuple[str, str]:
        self.paused = str(data["reason"]) or "paused by a person"
        return "paused", f"project {self.project_id}: {self.paused}"

    def _project_resumed(self, event: Row, data: Row) -> tuple[str, str]:
        self.paused = ""
        return "resumed", f"project {self.project_id}"


def told_of_generation(event: Row) -> tuple[str, str] | None:
    """What to show of a `generation.*` event: the name of the line and its words, None for nothing."""
    verb, data = event["type"].partition(".")[2], event["data"]
    number, reason = data["generation"], _first_line(data.get("reason", ""))
    if verb == "made":
        return "generation", f"{number} is made of {data['commit'][:12]}: its gate begins"
    if verb == "gated":
        words = _first_line(data["words"])
        return "check", f"{data['stage']} {data['result']}, {data['wall_s']:.1f} s{': ' if words else ''}{words}"
    if verb == "put_off":
        how = "waits for a person" if event["decision_id"] else "is put off"
        return "generation", f"{number} {how}: {reason}"
    words = {
        "tried": "is executed in the daemon's own process and is on probation",
        "good": "has proved itself",
        "bad": f"is bad: {reason}",
        "superseded": f"is dropped: {reason}",
        "restored": f"serves again: {reason}",
    }.get(verb, "")
    return ("generation", f"{number} {words}") if words else None


def _first_line(words: object) -> str:
    return str(words).strip().partition("\n")[0]
