"""The revert of a bad release's commit: killed at each of its steps, and refused by its gate."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ringmaster.cli.instance import open_shims, wait_gone
from tests.fakes.house import git, steps, write_step
from tests.fakes.own_source import PROJECT, OwnSource, open_own_source
from tests.fakes.switch_steps import LATE_IMPORT, PLACE, STOP
from tests.fakes.unharmed import hash_repository

pytestmark = [pytest.mark.storm, pytest.mark.timeout(300)]

REVERTING, HANDLERS, NOTES = "ringmaster/reload/reverting.py", "ringmaster/rpc/handlers/daemon.py", "NOTES"
BROKEN = """

import sys

if "--boot" in sys.argv and "candidates" not in "".join(sys.argv):

    def health(ctx: Ctx, params: EmptyParams) -> Health:
        \"\"\"Well on a copy, broken on trial.\"\"\"
        raise ZeroDivisionError("broken by {name}")
"""
# The line before which it is, its name.
STEPS = (
    ("                made = await make_revert(\n", "uncommitted"),
    ("            await self._judge(closed, made)\n", "committed"),
    ("            if await self._land(closed, ground, made):\n", "judged"),
    ("            if isinstance(done, Landed | Parked):\n", "landed"),
    ("                return True\n        if isinstance(done, Blocked):\n", "noted"),
)


class Reverts:
    """A daemon whose running generation, good, has the steps of a revert in it."""

    def __init__(self, own: OwnSource) -> None:
        self.own = own
        self.number = 0

    @property
    def tip(self) -> str:
        return self.git("rev-parse", "main")

    @property
    def project(self) -> Any:
        return self.own.daemon.call("project.show", id=PROJECT)

    def git(self, *words: str) -> str:
        return git(*words, cwd=self.own.repository)

    @property
    def newest_bad(self) -> int:
        """The number of the newest bad generation."""
        rows = [one["generation"] for one in self.own.history()]
        return next(int(row["id"]) for row in rows if row["state"] == "bad")

    def questions(self) -> list[Any]:
        found: list[Any] = self.own.daemon.call("decision.list")["decisions"]
        return found

    def spoil(self) -> str:
        """Commit code that fails on trial; the commit, once it has and the lane is closed."""
        self.number += 1
        event = self.own.take(self.own.append(HANDLERS, BROKEN.format(name=f"change {self.number}")), "Break it")
        assert event["type"] == "generation.bad", event
        self.wait("generation.restored", event["seq"])
        assert self.project["paused_reason"].startswith("bad release")
        return self.tip

    def wait(self, type: str, after: int) -> Any:
        return self.own.daemon.wait_for(lambda event: event["type"] == type, after)

    def answer(self) -> int:
        """Say that it is to be reverted; the cursor from before."""
        after = self.own.cursor
        (question,) = self.questions()
        assert question["kind"] == "bad_release"
        self.own.daemon.call("decision.answer", id=question["id"], answer="revert")
        return after

    def stop_at(self, step: str, what: str, word: str = "") -> Path:
        """What is done by the next who comes to a step; the file that says so, which goes with it."""
        place = self.own.daemon.state / PLACE
        place.write_text(f"{step} {what} {word}".strip())
        return place

    def restart(self) -> None:
        """Wait for the daemon's death, and start it again."""
        daemon = self.own.daemon
        assert daemon.process is not None
        assert daemon.process.wait(60) == -9
        daemon.kill()
        daemon.start()

    def check_reverted_once(self, broken: str, after: int) -> None:
        """The commit was taken back by one commit, nobody is asked any more, and nothing is left of it."""
        self.wait("project.resumed", after)
        log = self.git("log", "--first-parent", "--format=%H%n%B", f"{broken}..main")
        assert log.count(f"This reverts commit {broken}.") == 1, log
        events = self.own.daemon.call("events.read", after=after, limit=500)["events"]
        told = [event["type"] for event in events]
        assert (told.count("reload.reverted"), told.count("reload.lane_opened")) == (1, 1), told
        assert "reload.revert_refused" not in told
        assert self.questions() == []
        assert self.project["state"] == "active"
        assert "change" not in (self.own.repository / HANDLERS).read_text().partition("broken by ")[2]
        assert self.git("status", "--porcelain") == ""
        assert not list((self.own.daemon.state / "candidates").glob("revert-*"))
        assert self.git("for-each-ref", "--format=%(refname)", "refs/heads") == "refs/heads/main"


@contextmanager
def open_reverts(root: Path, gate: str) -> Iterator[Reverts]:
    with open_own_source(root, files={NOTES: "one\n"}, gate=gate, update_checkout="clean") as own:
        text = (own.repository / REVERTING).read_text()
        for line, step in STEPS:
            assert text.count(line) == 1, line
            indent = line[: len(line) - len(line.lstrip())]
            text = text.replace(line, f'{indent}_stop_here("{step}")\n{line}')
        state = own.daemon.state
        function = STOP.format(state=str(state), path=str(state / PLACE))
        event = own.take({REVERTING: text.replace(LATE_IMPORT, f"{LATE_IMPORT}{function}", 1)}, "The steps")
        assert event["type"] == "generation.good", event
        yield Reverts(own)


@pytest.fixture(scope="module")
def reverts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reverts]:
    with open_reverts(tmp_path_factory.mktemp("own"), f"test -f {NOTES}") as made:
        yield made


@pytest.mark.parametrize("has_more", [False, True], ids=["tip", "below"])
@pytest.mark.parametrize("step", [step for _, step in STEPS])
def test_killed_at_any_step_the_revert_is_done_once_and_the_lane_opens(
    reverts: Reverts, step: str, has_more: bool
) -> None:
    broken = reverts.spoil()
    if has_more:
        # So that it is merged, and its gate runs.
        reverts.own.commit({NOTES: f"{reverts.number}\n"}, "Note something")
    reverts.stop_at(step, "die")
    after = reverts.answer()
    reverts.restart()
    reverts.check_reverted_once(broken, after)
    if has_more:
        assert (reverts.own.repository / NOTES).read_text() == f"{reverts.number}\n"


@pytest.mark.parametrize("is_over", [False, True], ids=["runs", "ended"])
def test_killed_while_its_gate_runs_the_same_run_counts(reverts: Reverts, tmp_path: Path, is_over: bool) -> None:
    """is_over: the run ends while there is no daemon."""
    own = reverts.own
    begun, go, runs = tmp_path / "begun", tmp_path / "go", tmp_path / "runs"
    for pipe in (begun, go):
        os.mkfifo(pipe)
    broken = reverts.spoil()
    own.commit({NOTES: f"gated {reverts.number}\n"}, "Note something")
    gate = f"echo one >> {runs}; echo > {begun}; cat {go}"
    own.daemon.call("project.edit", id=PROJECT, config={"gate": gate})
    job = own.daemon.state / "candidates" / f"revert-{reverts.newest_bad}"
    try:
        after = reverts.answer()
        begun.read_text()
        own.daemon.kill()
        if is_over:
            shims = open_shims(job)
            assert len(shims) == 1
            go.write_text("")
            assert wait_gone(shims, 30) == []
            own.daemon.start()
        else:
            own.daemon.start()
            go.write_text("")
        reverts.check_reverted_once(broken, after)
        assert runs.read_text() == "one\n"
    finally:
        own.daemon.call("project.edit", id=PROJECT, config={"gate": f"test -f {NOTES}"})


def test_a_red_revert_keeps_the_lane_closed_and_asks_and_touches_nothing(reverts: Reverts) -> None:
    own, daemon = reverts.own, reverts.own.daemon
    broken = reverts.spoil()
    own.commit({NOTES: None}, "Take the notes away")
    # Of the user's, none of it may be lost: an edit, an untracked file and one that is ignored.
    own.write({HANDLERS: (own.repository / HANDLERS).read_text() + "# mine\n", "mine": "1\n", ".gitignore": "kept\n"})
    own.write({"kept": "2\n"})
    daemon.call("worker.spawn", agent="scripted", id="w")
    filed = daemon.call("task.add", title="Wait", description=steps(write_step("one", "1")), project_id=PROJECT)
    before, tip = hash_repository(own.repository), reverts.tip
    refused = reverts.wait("reload.revert_refused", reverts.answer())
    assert refused["data"]["reason"].startswith(f"its gate: `test -f {NOTES}`: exit status 1")
    assert hash_repository(own.repository) == before
    project = reverts.project
    assert (project["state"], reverts.tip) == ("paused", tip)
    assert "it could not be reverted: its gate" in project["paused_reason"]
    (question,) = reverts.questions()
    assert (question["kind"], question["options"]) == ("bad_release", ["revert", "resume"])
    assert refused["data"]["reason"] in question["question"]
    assert broken in daemon.call("decision.show", id=question["id"])["detail"]
    shown = daemon.call("task.show", id=filed["view"]["task"]["id"])
    assert (shown["attempts"], shown["view"]["task"]["state"]) == ([], "open")
    # The same over a start, and the same again.
    daemon.stop()
    daemon.start()
    assert [one["id"] for one in reverts.questions()] == [question["id"]]
    reverts.wait("reload.revert_refused", reverts.answer())
    assert hash_repository(own.repository) == before
    # Mended: what was in the way of landing is the user's, so it is theirs to put away.
    for name in ("mine", ".gitignore", "kept"):
        (own.repository / name).unlink()
    reverts.git("checkout", "--quiet", "--", HANDLERS)
    own.commit({NOTES: "again\n"}, "The notes again")
    after = reverts.answer()
    reverts.check_reverted_once(broken, after)
    done = daemon.call("task.wait", id=filed["view"]["task"]["id"], timeout_s=50)
    assert (done["is_over"], done["view"]["task"]["state"]) == (True, "done")
