"""A switch that is killed, stopped or refused half-way: the right generation serves, and nobody was disturbed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringmaster.cli.instance import open_shims, wait_gone
from tests.fakes.daemon import open_daemon
from tests.fakes.stopping import GOOD, Kept, Outcome, dead_children_of, mask_of, masks_in, open_kept

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    with open_kept(tmp_path_factory.mktemp("k")) as made:
        yield made
        assert [one["outcome"] for one in made.end_work()] == ["succeeded"]


def test_killed_before_it_ran_a_candidate_is_tried_again_and_killed_once_the_record_calls_it_good_it_is(
    kept: Kept,
) -> None:
    assert kept.kill_before_it_runs("exec", then="noted") == GOOD


def test_killed_on_trial_it_is_bad_and_the_good_one_serves(kept: Kept) -> None:
    killed = "its process was killed by SIGKILL before it had proved itself"
    assert kept.kill_on_trial("taken") == Outcome("bad", "the one before", "new", killed)


def test_what_cannot_be_executed_leaves_the_old_image_with_its_clients_and_is_tried_again_when_asked(
    kept: Kept,
) -> None:
    after, running, made, pid = kept.cursor, kept.generation, kept.next_number, kept.daemon.pid
    with kept.daemon.client() as client:
        client.call("daemon.health")
        kept.stop_at("exec", "break", kept.record.good.python)
        kept.commit_next()
        put_off = kept.daemon.wait_for(lambda event: event["type"] == "generation.put_off", after)
        assert (put_off["data"]["generation"], "Permission denied" in put_off["data"]["reason"]) == (made, True)
        assert client.call("daemon.health")["pid"] == pid
    kept.check_agreed(running)
    kept.check_untouched()
    after = kept.cursor
    # In the switch that is asked for a signal to read the settings comes, which must not be lost.
    said = kept.daemon.read_log().count("settings read again")
    with kept.standing_at("imports", lambda: kept.daemon.call("reload.request")):
        os.kill(pid, signal.SIGHUP)
    event = kept.daemon.wait_for(lambda event: event["type"] in ("generation.good", "generation.bad"), after)
    assert event["type"] == "generation.good", (event["data"], kept.daemon.read_log()[-5000:])
    # The answer to another one comes behind it.
    assert kept.daemon.read_log().count("settings read again") == said + 1
    kept.check_agreed(event["data"]["generation"])
    assert kept.daemon.pid == pid
    kept.check_untouched()


def test_a_stop_on_trial_is_no_verdict(kept: Kept) -> None:
    # It is in the socket before the trial goes on.
    assert kept.stop_while("probation", lambda pid: kept.ask_to_stop()) == GOOD


def test_nothing_stays_behind_from_image_to_image_and_what_they_start_blocks_no_signal(kept: Kept) -> None:
    pid, root = kept.daemon.pid, kept.repository.parent
    for name in ("git.masks", "gate.masks"):
        (root / name).write_text("")
    before, sockets = kept.look_at_descriptors()
    keeper = kept.daemon.open_keeper()
    keeper.send(signal.SIGKILL)
    assert wait_gone([keeper], 10) == []
    keeper.close()
    kept.take_next()
    assert kept.daemon.pid == pid
    after, more = kept.look_at_descriptors()
    assert after == before
    # One call's may not be closed yet.
    assert abs(more - sockets) <= 1
    assert dead_children_of(pid) == []
    assert masks_in(root / "git.masks") == masks_in(root / "gate.masks") == {0}
    # A keeper that the new image starts runs what a person ran, not a release, which is pruned one day.
    kept.daemon.start()
    keeper = kept.daemon.open_keeper()
    words = Path(f"/proc/{keeper.pid}/cmdline").read_bytes().decode().split("\0")
    assert words[words.index("--") + 1 : -1] == [str(kept.daemon.program), "-s", str(kept.daemon.state)]
    assert mask_of(keeper.pid) == 0
    keeper.close()
    kept.check_untouched()


def test_an_agent_that_a_new_image_starts_blocks_no_signal(kept: Kept) -> None:
    [old] = open_shims(kept.daemon.state / "attempts")
    go = kept.repository.parent / "more"
    os.mkfifo(go)
    kept.daemon.call("worker.spawn", id="w2", agent="command", command=["cat", str(go)], project_id="toy")
    task = kept.daemon.call("task.add", title="Wait", agent="command", project_id="toy")["view"]["task"]["id"]
    fd = os.open(go, os.O_WRONLY)
    [shim] = [one for one in open_shims(kept.daemon.state / "attempts") if one.pid != old.pid]
    children = Path(f"/proc/{shim.pid}/task/{shim.pid}/children").read_text().split()
    assert [mask_of(int(child)) for child in children] == [0] * len(children)
    assert children
    kept.daemon.call("task.cancel", id=task)
    os.close(fd)
    for process in (old, shim):
        process.close()


def test_a_damaged_good_release_is_replaced_by_the_one_before(kept: Kept) -> None:
    made, before = kept.generation, kept.record.before
    assert before is not None
    daemon = kept.daemon.open_process()
    with (kept.record.good.release_in(kept.daemon.state).root / "sql" / "queries" / "tasks.sql").open("a") as file:
        file.write("-- changed\n")
    daemon.send(signal.SIGKILL)
    assert wait_gone([daemon], 10) == []
    daemon.close()
    assert kept.generation == before.generation
    assert kept.row(made)["state"] == "good"
    kept.check_untouched()


def test_without_its_record_the_package_is_a_generation_of_its_own(tmp_path: Path) -> None:
    with open_daemon(tmp_path / "s") as daemon:
        assert daemon.stop() == 0
        (daemon.state / "boot.json").write_text("{")
        daemon.start()
        assert daemon.call("daemon.version")["generation"] == 2
        views = daemon.call("rollout.history")["generations"]
        assert [(one["generation"]["id"], one["generation"]["state"], one["is_good"]) for one in views] == [
            (2, "good", True),
            (1, "good", False),
        ]
        assert daemon.stop() == 0
