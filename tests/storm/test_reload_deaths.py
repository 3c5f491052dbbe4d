"""Deaths on trial that no guard can catch: the listener is kept, the good code serves under a new pid."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from ringmaster.cli.instance import wait_gone
from tests.fakes.stopping import Kept, open_kept

pytestmark = [pytest.mark.storm, pytest.mark.timeout(240)]

APP = "ringmaster/daemon/app.py"
BEGUN = "        nursery.start_soon(run_reaper)\n"
ON_TRIAL = f"{BEGUN}        if boot.is_trial:\n            nursery.start_soon(_fall)\n"
FALL = "\n\nasync def _fall() -> None:\n    await trio.sleep({after_s})\n    {how}\n"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with open_kept(tmp_path_factory.mktemp("k"), probation_s=2.0, guard_s=5.0) as made:
        yield made
        assert [one["outcome"] for one in made.end_work()] == ["succeeded"]


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("__import__('os')._exit(3)", "ended with status 3"),
        ("__import__('os')._exit(0)", "ended with status 0"),
        ("__import__('ctypes').string_at(0)", "was killed by SIGSEGV"),
        ("__import__('os').abort()", "was killed by SIGABRT"),
        ("__import__('os').kill(__import__('os').getpid(), 9)", "was killed by SIGKILL"),
    ],
    ids=["exit", "exit-0", "fault", "abort", "kill"],
)
@pytest.mark.parametrize("after_s", [0, 1])
def test_a_process_that_dies_on_trial_leaves_the_good_one_on_the_kept_listener(
    kept: Kept, how: str, end: str, after_s: int
) -> None:
    text = (kept.repository / APP).read_text()
    after, made, running, pid = kept.cursor, kept.next_number, kept.generation, kept.daemon.pid
    assert text.count(BEGUN) == 1
    try:
        kept.commit_next(**{APP: text.replace(BEGUN, ON_TRIAL) + FALL.format(after_s=after_s, how=how)})
        check_bad(kept, made, running, pid, after, end)
    finally:
        kept.write({APP: text})


def check_bad(kept: Kept, made: int, running: int, pid: int, after: int, end: str) -> Any:
    event = kept.wait_end_of(made, after)
    assert event["type"] == "generation.bad", (event, kept.daemon.read_log()[-5000:])
    assert event["data"]["reason"] == f"its process {end} before it had proved itself"
    assert kept.row(made)["state"] == "bad"
    assert kept.daemon.pid != pid
    kept.check_agreed(running)
    kept.check_untouched()
    return event


def begin_probation(kept: Kept) -> int:
    """Commit something; its number, once it is on trial and answers."""
    after, made = kept.cursor, kept.next_number
    kept.commit_next()
    kept.daemon.wait_for(lambda event: event["type"] == "generation.tried", after)
    while kept.generation != made:
        # The old image, which answers what had come before it went.
        pass
    assert kept.daemon.call("rollout.status")["good"] != made
    return made


def test_killed_in_the_middle_of_probation_it_is_bad_and_stays_so(kept: Kept) -> None:
    after, running = kept.cursor, kept.generation
    made = begin_probation(kept)
    daemon = kept.daemon.open_process()
    daemon.send(signal.SIGKILL)
    assert wait_gone([daemon], 10) == []
    daemon.close()
    check_bad(kept, made, running, daemon.pid, after, "was killed by SIGKILL")
    # Nobody tries it again, also not after another start.
    daemon = kept.daemon.open_process()
    daemon.send(signal.SIGKILL)
    assert wait_gone([daemon], 10) == []
    daemon.close()
    asked = kept.daemon.run("reload", "--wait")
    assert f"generation {made} had the same content and is bad" in asked.out, asked
    kept.check_agreed(running)
    kept.check_untouched()


def test_stopped_in_the_middle_of_probation_it_is_tried_again_and_good(kept: Kept) -> None:
    after = kept.cursor
    made = begin_probation(kept)
    daemon, keeper = kept.daemon.open_process(), kept.daemon.open_keeper()
    with kept.unasked():
        daemon.send(signal.SIGTERM)
        assert wait_gone([daemon, keeper], 30) == []
        kept.daemon.start()
    for process in (daemon, keeper):
        process.close()
    assert kept.wait_end_of(made, after)["type"] == "generation.good"
    kept.check_agreed(made)
    kept.check_untouched()


def test_a_machine_that_goes_down_in_the_middle_of_probation_is_no_verdict(kept: Kept) -> None:
    after = kept.cursor
    made = begin_probation(kept)
    daemon, keeper = kept.daemon.open_process(), kept.daemon.open_keeper()
    with kept.unasked():
        for process in (keeper, daemon):
            process.send(signal.SIGKILL)
        assert wait_gone([daemon, keeper], 10) == []
        path = kept.daemon.state / "boot.json"
        record = json.loads(path.read_bytes())
        assert record["trial"]["generation"] == made
        # Of another boot of the kernel.
        record["trial"]["boot_id"] = "0" * 36
        path.write_text(json.dumps(record))
        kept.daemon.start()
    for process in (daemon, keeper):
        process.close()
    put_off = kept.daemon.wait_for(lambda event: event["type"] == "generation.put_off", after)
    assert put_off["data"]["generation"] == made
    assert kept.wait_end_of(made, after)["type"] == "generation.good"
    kept.check_agreed(made)
    kept.check_untouched()
