"""Every step of a switch at which a daemon can be killed, can hang, or is stopped; `make test` has some of it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringmaster.cli.instance import wait_gone
from tests.fakes.own_source import open_own_source
from tests.fakes.stopping import GOOD, Kept, Outcome, dead_children_of, open_kept

pytestmark = [pytest.mark.storm, pytest.mark.timeout(600)]
GUARD_S = 5.0


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with open_kept(tmp_path_factory.mktemp("k"), guard_s=GUARD_S) as made:
        yield made
        assert [one["outcome"] for one in made.end_work()] == ["succeeded"]


def bad(end: str) -> Outcome:
    """Its process came to this end on trial."""
    return Outcome("bad", "the one before", "new", f"its process {end} before it had proved itself")


@pytest.mark.parametrize("step", ["quiesce", "record", "exec", "stub"])
def test_killed_before_it_ran_a_candidate_is_tried_again_and_good(kept: Kept, step: str) -> None:
    assert kept.kill_before_it_runs(step) == GOOD


@pytest.mark.parametrize("step", ["counted", "imports", "untaken", "taken", "probation"])
def test_killed_on_trial_it_is_bad_and_the_good_one_serves(kept: Kept, step: str) -> None:
    assert kept.kill_on_trial(step) == bad("was killed by SIGKILL")


@pytest.mark.parametrize("step", ["noted", "settled"])
def test_killed_from_the_record_on_it_is_good(kept: Kept, step: str) -> None:
    assert kept.kill_when_it_is_good(step) == GOOD


@pytest.mark.parametrize(
    ("what", "end"), [("fault", "was killed by SIGSEGV"), ("hold", "ended with status 1")], ids=["fault", "hold"]
)
@pytest.mark.parametrize("step", ["imports", "probation"])
def test_a_fault_and_a_held_interpreter_are_ended_and_the_good_one_serves(
    kept: Kept, step: str, what: str, end: str
) -> None:
    assert kept.kill_on_trial(step, what) == bad(end)


@pytest.mark.parametrize("step", ["quiesce", "record", "exec", "stub", "counted", "imports", "untaken", "probation"])
def test_a_signal_to_stop_at_any_step_is_no_verdict(kept: Kept, step: str) -> None:
    assert kept.stop_while(step, lambda pid: os.kill(pid, signal.SIGTERM)) == GOOD


def test_a_good_release_that_dies_at_three_starts_is_replaced_by_the_one_before(kept: Kept) -> None:
    kept.take_next()
    made = kept.take_next()
    before = kept.record.before
    assert before is not None
    kept.stop_at("imports", "crash", str(made))
    daemon = kept.daemon.open_process()
    daemon.send(signal.SIGKILL)
    assert wait_gone([daemon], 10) == []
    daemon.close()
    assert kept.generation == before.generation
    kept.place.unlink()
    assert kept.record.good.generation == before.generation
    kept.check_untouched()


def test_two_who_ask_at_once_get_one_switch(kept: Kept) -> None:
    kept.take_next()
    after, pid, running = kept.cursor, kept.daemon.pid, kept.generation
    asked = [threading.Thread(target=kept.daemon.call, args=("reload.request",)) for _ in range(2)]
    kept.commit_next()
    for one in asked:
        one.start()
    for one in asked:
        one.join()
    good = kept.daemon.wait_for(lambda event: event["type"] == "generation.good", after)
    events = kept.daemon.call("events.read", after=after)["events"]
    assert [event["type"] for event in events].count("generation.tried") == 1
    assert good["data"]["generation"] > running
    assert kept.daemon.pid == pid
    kept.check_agreed(good["data"]["generation"])


def test_without_a_keeper_a_failed_trial_leaves_the_good_one_with_socket_and_lock(tmp_path: Path) -> None:
    with open_own_source(tmp_path, probation_s=0.3) as own:
        pid = own.daemon.call("daemon.health")["pid"]
        main = own.repository / "ringmaster" / "daemon" / "main.py"
        text = main.read_text().replace("def main(argv", "if '--handoff' in sys.argv:\n    1 / 0\n\n\ndef main(argv", 1)
        event = own.take({"ringmaster/daemon/main.py": text})
        assert (event["type"], event["data"]["reason"]) == ("generation.bad", "ZeroDivisionError: division by zero")
        health = own.daemon.call("daemon.health")
        assert (health["pid"], health["is_kept"], own.generation) == (pid, False, 1)
        assert own.daemon.stop() == 0
        # It is this daemon's own, through every image.
        assert not own.daemon.socket.exists()


def test_five_switches_leave_descriptors_threads_and_children_as_they_were(kept: Kept) -> None:
    kept.take_next()
    pid = kept.daemon.pid
    before, sockets = kept.look_at_descriptors()
    threads = len(os.listdir(f"/proc/{pid}/task"))
    for _ in range(5):
        kept.take_next()
    assert kept.daemon.pid == pid
    after, more = kept.look_at_descriptors()
    assert after == before
    assert abs(more - sockets) <= 1
    assert len(os.listdir(f"/proc/{pid}/task")) <= threads + 2
    assert dead_children_of(pid) == []
    kept.check_untouched()
