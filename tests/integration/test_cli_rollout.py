"""rmctl as a program against a scripted daemon: reload, followed over the switch, and the generations."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from ringmaster.model.decision import Decision
from ringmaster.model.decisions import DecisionKind
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.generation import GenerationState, Measures, Receipt, StageResult
from ringmaster.model.states import DecisionState
from ringmaster.protocol.daemon import Version
from ringmaster.protocol.rollout import GenerationView, ReloadAnswer, ReloadPlan, RolloutHistory, RolloutStatus
from tests.fakes.rpc_results import AT, make_generation, make_status
from tests.fakes.rpc_server import HangUp, Stream

REQUESTED = ReloadAnswer(state="requested", words="newer code is looked for", running=1, cursor=7)


def event(seq: int, type: str, *, decision_id: str = "", **data: Any) -> Event:
    return Event(seq, AT, type, decision_id=decision_id, data=msgspec.Raw(msgspec.json.encode(data)))


MADE = event(8, "generation.made", generation=2, source="target", commit="c" * 40, release="r2", parent=1)
OTHER = event(9, "generation.superseded", generation=1, reason="newer")
GATED = event(10, "generation.gated", generation=2, stage="tests", result="passed", wall_s=3.25, words="")
TRIED = event(11, "generation.tried", generation=2)
GOOD = event(12, "generation.good", generation=2)


def test_without_wait_it_says_what_was_requested(daemon, rmctl):
    daemon.answers["reload.request"] = REQUESTED
    ended = rmctl("reload")
    assert (ended.code, ended.out, ended.err) == (0, "newer code is looked for\n", "")
    [params] = daemon.called("reload.request")
    assert (params.is_dry_run, bool(params.idempotency_key)) == (False, True)
    assert daemon.called("events.subscribe") == []


def test_a_dry_run_shows_source_commit_files_and_stages(daemon, rmctl):
    plan = ReloadPlan(
        source="target", commit="c2", files=("M ringmaster/a.py", "A sql/b.sql"), stages=("policy", "tests")
    )
    daemon.answers["reload.request"] = ReloadAnswer(state="looked", words="c2 would be taken", running=1, plan=plan)
    ended = rmctl("reload", "--dry-run", "--wait")
    assert ended.code == 0
    for words in (
        "c2 would be taken",
        "source        target",
        "policy, tests",
        "2 files differ",
        "- M ringmaster/a.py",
    ):
        assert words in ended.out
    [params] = daemon.called("reload.request")
    assert (params.is_dry_run, params.idempotency_key) == (True, "")


def test_it_is_followed_over_the_switch_until_it_is_live(daemon, rmctl):
    daemon.answers["reload.request"] = REQUESTED
    daemon.answers["events.subscribe"] = [
        Stream("events.event", [MADE, OTHER, GATED, TRIED], is_hung_up=True),
        Stream("events.event", [GOOD]),
    ]
    ended = rmctl("reload", "--wait")
    assert (ended.code, ended.out) == (0, "generation 2 is live\n")
    assert ended.err.splitlines() == [
        "generation 2 is made: target cccccccccccc",
        "generation 2: tests passed in 3.2s",
        "generation 2 is on trial",
    ]
    assert [(call.after, call.type) for call in daemon.called("events.subscribe")] == [
        (7, ("generation.", "reload.", "daemon.recovered")),
        (11, ("generation.", "reload.", "daemon.recovered")),
    ]


def test_a_request_whose_answer_is_lost_in_the_switch_is_repeated_under_its_key(daemon, rmctl):
    daemon.answers["reload.request"] = [HangUp(), REQUESTED]
    assert rmctl("reload").code == 0
    first, second = daemon.called("reload.request")
    assert first.idempotency_key == second.idempotency_key


@pytest.mark.parametrize(
    ("last", "code", "words"),
    [
        (
            event(12, "generation.bad", generation=2, reason="2 tests failed"),
            6,
            "generation 2 is refused: 2 tests failed",
        ),
        (event(12, "generation.superseded", generation=2, reason="a newer change"), 5, "superseded: a newer change"),
        (
            event(12, "generation.put_off", generation=2, reason="behaviour changed", decision_id="d-1"),
            6,
            "generation 2 waits for a person: behaviour changed (rmctl decision show d-1)",
        ),
    ],
)
def test_the_end_of_a_refused_one_is_the_exit_code(daemon, rmctl, last, code, words):
    daemon.answers["reload.request"] = REQUESTED
    waiting = event(11, "generation.put_off", generation=2, reason="no index in reach")
    daemon.answers["events.subscribe"] = Stream("events.event", [MADE, waiting, last])
    ended = rmctl("reload", "--wait")
    assert (ended.code, ended.out) == (code, "")
    assert "generation 2 has to wait: no index in reach" in ended.err
    assert words in ended.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ((), "the daemon was stopped before newer code was looked for, and started again (rmctl rollout status)"),
        (
            (MADE, GATED),
            "the daemon was stopped before generation 2 was live, and started again (rmctl rollout status)",
        ),
    ],
)
def test_a_daemon_that_was_stopped_meanwhile_is_not_followed_for_ever(daemon, rmctl, events, words):
    daemon.answers["reload.request"] = REQUESTED
    anew = event(13, "daemon.recovered", live_attempts=0, is_continued=False)
    daemon.answers["events.subscribe"] = [
        Stream("events.event", list(events), is_hung_up=True),
        Stream("events.event", [anew, GOOD]),
    ]
    ended = rmctl("reload", "--wait")
    assert (ended.code, ended.out, ended.err.splitlines()[-1]) == (3, "", f"rmctl: {words}")


@pytest.mark.parametrize("more", [{"is_continued": True}, {}], ids=["switch", "an older release"])
def test_a_switch_is_no_stop(daemon, rmctl, more):
    daemon.answers["reload.request"] = REQUESTED
    recovered = event(11, "daemon.recovered", live_attempts=0, **more)
    daemon.answers["events.subscribe"] = Stream("events.event", [MADE, recovered, GOOD])
    assert rmctl("reload", "--wait").out == "generation 2 is live\n"


@pytest.mark.parametrize(("is_paused", "code"), [(False, 0), (True, 6)])
def test_nothing_new_is_well_and_paused_is_not(daemon, rmctl, is_paused, code):
    daemon.answers["reload.request"] = REQUESTED
    found = event(8, "reload.found_nothing", words="a merge is under way", is_paused=is_paused)
    daemon.answers["events.subscribe"] = Stream("events.event", [found])
    ended = rmctl("reload", "--wait")
    assert ended.code == code
    assert "a merge is under way" in ended.out + ended.err
    at_once = ReloadAnswer(state="paused" if is_paused else "nothing_new", words="said at once", running=1)
    daemon.answers["reload.request"] = at_once
    assert rmctl("reload").code == code


class Silence(Sequence[Event]):
    """The items of a stream of which nothing more comes before the test is over."""

    def __init__(self, *items: Event) -> None:
        self.items = items
        self.over = threading.Event()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        if index >= len(self.items):
            self.over.wait()
            raise IndexError
        return self.items[index]


def test_a_wait_with_a_limit_ends_with_124(daemon, rmctl):
    daemon.answers["reload.request"] = REQUESTED
    silence = Silence(MADE)
    daemon.answers["events.subscribe"] = Stream("events.event", silence)
    try:
        ended = rmctl("--timeout", "0.5", "reload", "--wait")
    finally:
        silence.over.set()
    assert ended.code == 124
    assert ended.err.splitlines() == [
        "generation 2 is made: target cccccccccccc",
        "rmctl: the reload is still under way (rmctl rollout status)",
    ]


def test_as_json_the_answer_is_one_object(daemon, rmctl):
    daemon.answers["reload.request"] = msgspec.structs.replace(REQUESTED, state="under_way", generation=2)
    daemon.answers["events.subscribe"] = Stream("events.event", [OTHER, GOOD])
    told = json.loads(rmctl("reload", "--wait", "-o", "json").out)
    assert (told["state"], told["generation"], told["words"]) == ("over", 2, "generation 2 is live")


MEASURES = Measures(attempts=4, succeeded=3, cost_usd=1.5, work_s=120.0, rpc_p99_s=0.0042, rss_bytes=64 << 20)
BAD = make_generation(
    3,
    state=GenerationState.BAD,
    reason="2 tests failed",
    receipts=(Receipt("policy", StageResult.PASSED), Receipt("tests", StageResult.FAILED, 9.0)),
)
ASKED = Decision(
    id="d-7",
    kind=DecisionKind.BAD_RELEASE,
    project_id="own",
    task_id="",
    attempt_id="",
    question="generation 3 of the daemon is bad: 2 tests failed. Revert the commit?",
    detail="",
    options=("revert", "resume"),
    state=DecisionState.OPEN,
    answer="",
    message="",
    answered_by="",
    created_at=AT,
    answered_at=None,
)
HISTORY = RolloutHistory(
    generations=(
        GenerationView(generation=BAD, is_running=False, is_good=False),
        GenerationView(
            generation=make_generation(2, measures=MEASURES),
            is_running=True,
            is_good=True,
            success_rate=0.75,
            cost_per_success_usd=0.5,
            work_per_success_s=40.0,
        ),
    )
)


def test_history_is_side_by_side(daemon, rmctl):
    daemon.answers["rollout.history"] = HISTORY
    at = "2027-01-15T08:00:00.000Z"
    bad, good = [line.split("\t") for line in rmctl("rollout", "history", "-n", "2").out.splitlines()]
    gate = "1 passed, tests failed"
    assert bad == ["3", "bad", "", "2", "target 3333333333", gate, "", "", "", "", "", at, "2 tests failed"]
    done = ["3/4 75%", "$0.5000", "40s", "4.2ms", "64.0 MiB"]
    assert good == ["2", "good", "runs,boots", "1", "target 2222222222", "", *done, at, ""]
    assert rmctl("rollout", "history", "-q").out == "3\n2\n"
    told = json.loads(rmctl("rollout", "history", "-o", "json").out)
    assert (told[1]["generation"]["measures"]["succeeded"], told[1]["generation"]["tried_at"]) == (3, at)
    assert daemon.called("rollout.history")[0].limit == 2


def test_status_says_what_runs_what_comes_and_how_the_last_went(daemon, rmctl):
    daemon.answers["rollout.status"] = RolloutStatus(
        running=2,
        good=2,
        release="r2",
        commit="2" * 40,
        before=1,
        candidate=4,
        decision_id="d-1",
        step="gate: tests",
        is_watching=True,
        words="own's main",
        last=BAD,
    )
    out = rmctl("rollout", "status").out
    assert out.splitlines()[0] == "generation 2  good  gate: tests"
    for words in ("on its way    4", "rmctl decision show d-1", "watches       own's main", "generation 3 bad 2027"):
        assert words in out
    assert rmctl("rollout", "status", "-q").out == "2\n"


def test_status_shows_the_question_about_a_bad_release_and_what_answers_it(daemon, rmctl):
    status = RolloutStatus(running=2, good=2, bad_release=ASKED)
    daemon.answers["rollout.status"] = status
    lines = rmctl("rollout", "status").out.splitlines()
    assert "asks          generation 3 of the daemon is bad: 2 tests failed. Revert the commit?" in lines
    assert "needs you     rmctl decision answer d-7 revert|resume" in lines
    daemon.answers["rollout.status"] = msgspec.structs.replace(status, bad_release=None)
    assert "needs you" not in rmctl("rollout", "status").out


def test_undo_goes_back_and_can_be_waited_for(daemon, rmctl):
    asked = ReloadAnswer(state="requested", words="going back to generation 1", running=2, generation=1, cursor=7)
    daemon.answers["rollout.undo"] = asked
    ended = rmctl("rollout", "undo")
    assert (ended.code, ended.out) == (0, "going back to generation 1\n")
    restored = event(8, "generation.restored", generation=1, reason="undone")
    daemon.answers["events.subscribe"] = [
        Stream("events.event", [restored]),
        Stream("events.event", [event(8, "reload.undo_failed", generation=1, reason="its release is damaged")]),
    ]
    ended = rmctl("rollout", "undo", "1", "--wait")
    assert (ended.code, ended.out) == (0, "generation 1 is live\n")
    ended = rmctl("rollout", "undo", "1", "--wait")
    assert (ended.code, "could not be gone back to: its release is damaged" in ended.err) == (6, True)
    assert [params.generation for params in daemon.called("rollout.undo")] == [None, 1, 1]
    daemon.answers["rollout.undo"] = RingmasterError(ErrorKind.WRONG_STATE, "generation 3 is bad")
    assert rmctl("rollout", "undo", "3").code == 5


def test_version_and_status_name_the_generation(daemon, rmctl):
    plain = {"version": "1", "protocol": 1, "schema": 6, "python": "3", "sqlite": "3", "git": "2"}
    daemon.answers["daemon.version"] = Version(**plain, generation=2, release="r2", commit="abc")  # type: ignore[arg-type]
    out = rmctl("version").out
    assert [line.split()[-1] for line in out.splitlines()[2:5]] == ["2", "r2", "abc"]
    daemon.answers["daemon.version"] = Version(**plain)  # type: ignore[arg-type]
    assert "generation" not in rmctl("version").out
    daemon.answers["daemon.status"] = make_status(generation=2, last_reload=BAD, reload_step="on trial")
    assert "reload\t3\tbad\t2 tests failed\n" in rmctl("status").out
    shown = rmctl.on_terminal("status", columns=150).out
    assert "generation 2 runs; on trial; generation 3 bad" in shown
    daemon.answers["daemon.status"] = make_status()
    assert "reload" not in rmctl("status").out
