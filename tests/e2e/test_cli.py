"""rmctl with the real daemon, its keeper, the scripted agent and a real repository, as a person would use them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess

import pytest

from ringmaster.cli.instance import open_holders, open_process, wait_gone
from tests.fakes.rmctl import Ended, Rmctl


class House:
    """An instance of its own in a temporary directory, driven by rmctl alone."""

    def __init__(self, root):
        self.state = root / "state"
        self.repository = root / "toy"
        self.rmctl = Rmctl(None, {"RMCTL_SOCKET": "", "RINGMASTER_STATE": str(self.state)})

    def __call__(self, *args: str, stdin: str = "") -> Ended:
        return self.rmctl(*args, stdin=stdin.encode())

    def ok(self, *args: str, stdin: str = "") -> str:
        """Stdout of a call that must succeed."""
        ended = self(*args, stdin=stdin)
        assert ended.code == 0, (args, ended)
        return ended.out

    def json(self, *args: str):
        return json.loads(self.ok(*args, "-o", "json"))

    def git(self, *args: str) -> str:
        done = subprocess.run(["git", "-C", self.repository, *args], capture_output=True, check=True, text=True)
        return done.stdout.strip()

    def make_repository(self, gate: str) -> None:
        self.repository.mkdir()
        self.git("init", "-q", "-b", "main")
        (self.repository / "a.txt").write_text("one\n")
        self.git("add", ".")
        self.git("commit", "-q", "-m", "Begin")
        self.ok("project", "add", str(self.repository), "--name", "toy", "--gate", gate, "--update-checkout", "clean")

    def add(self, title: str, *steps: dict[str, object], args: tuple[str, ...] = ()) -> str:
        """The id of a new task with recorded steps."""
        text = "Do it.\n\n```steps\n" + "\n".join(map(json.dumps, steps)) + "\n```\n"
        return self.ok("-q", "add", title, "-", *args, stdin=text).strip()

    def kill_daemon(self) -> None:
        """`kill -9`, and wait for it to be gone; the keeper starts another."""
        daemon = open_process(self.json("daemon", "status")["pid"], None, "daemon")
        assert daemon is not None
        daemon.send(signal.SIGKILL)
        assert wait_gone([daemon], 10) == []
        daemon.close()

    def end(self) -> None:
        """End the agents, then daemon and keeper, whatever state they are in."""
        if self.state.exists():
            self("estop")
            self("daemon", "stop", "--timeout", "20")
            for holder in open_holders(self.state):
                holder.send(signal.SIGKILL)
                wait_gone([holder], 10)
                holder.close()


@pytest.fixture
def house(tmp_path):
    made = House(tmp_path)
    try:
        made.ok("daemon", "start")
        yield made
    finally:
        made.end()
        shutil.rmtree(made.state, ignore_errors=True)


WRITE = {"do": "write", "path": "made.txt", "text": "made\n"}


def test_a_task_goes_in_and_lands(house):
    assert "rmctl project add PATH" in house.rmctl.on_terminal("status", "--no-color").out
    house.make_repository("grep -rqw made .")
    house.ok("worker", "spawn", "--agent", "scripted")
    task = house.add("Make it", {"do": "say", "text": "I begin"}, WRITE, args=("--accept", "made.txt is there"))
    waited = house("wait", task[:6], "--timeout", "60")
    assert (waited.code, waited.out) == (0, f"{task}\tdone\tMake it\n"), house.ok("show", task)
    found = house.json("show", task)
    assert found["done_by"] == "landed"
    assert house.git("rev-parse", "main") == found["landed_commit"]
    assert (house.repository / "made.txt").read_text() == "made\n"
    page = house.ok("show", task)
    assert "succeeded" in page
    assert "green" in page
    assert "- made.txt is there" in page
    assert "I begin" in house.ok("logs", task)
    assert "I begin" in house.ok("logs", "-f", task, "-S", "steps")
    assert house.ok("logs", "-g", "beg* i").startswith(f"{task}/1\t")
    assert "+made" in house.ok("task", "diff", task)
    assert house.ok("-q", "ls") == ""
    assert house.ok("-q", "ls", "-a") == f"{task}\n"
    assert "queue\tdone\t1" in house.ok("status")
    assert house.json("attempt", "list", task)[0]["outcome"] == "succeeded"
    house.ok("gc", "--dry-run")
    assert house.json("version")["daemon"]["protocol"] == 1
    assert house.ok("health").startswith("ok")


def test_a_person_accepts_rejects_and_answers(house):
    house.make_repository("true")
    house.ok("project", "edit", "toy", "approve=ask")
    house.ok("worker", "spawn", "w", "--agent", "scripted")
    task = house.add("Ask me", WRITE)
    waited = house("wait", task, "--timeout", "60")
    assert waited.code == 1
    assert "rmctl decision show d-" in waited.err
    [decision] = house.json("decision", "list")
    assert decision["kind"] == "accept"
    house.ok("task", "reject", task, "-m", "once more")
    assert house("wait", task, "--timeout", "60").code == 1
    assert len(house.json("attempt", "list", task)) == 2
    house.ok("task", "accept", task)
    assert house("wait", task, "--timeout", "60").code == 0
    again = house.add("Another", WRITE)
    assert house("wait", again, "--timeout", "60").code == 1
    [decision] = house.json("decision", "list")
    ended = house("decision", "answer", decision["id"], "perhaps")
    assert ended.code == 2
    assert decision["options"][0] in ended.err


def test_what_goes_wrong_has_its_exit_code(house):
    house.make_repository("true")
    task = house.add("T", WRITE)
    assert house("show", "rm-none").code == 4
    assert house("task", "accept", task).code == 5
    assert house("wait", task, "--timeout", "0.3").code == 124
    assert house("rpc", "no.such").code == 8
    assert house("project", "add", str(house.repository), "--name", "twice").code in (2, 5, 6)
    other = house.add("U", WRITE, args=("--after", task))
    cycle = house("task", "dep", task, other)
    assert cycle.code in (2, 5)
    assert task in cycle.err
    assert other in cycle.err
    told = json.loads(house("show", "rm-none", "-o", "json").err)["error"]
    assert (told["code"], told["kind"]) == (4, "not_found")


def test_events_are_followed_over_kill_9_and_none_is_missing(house):
    house.make_repository("true")
    with house.rmctl.start("events", "-f", "--after-cursor", "0", "-o", "jsonl") as follower:
        first = house.add("Before", WRITE)
        house.kill_daemon()
        second = house.add("After", WRITE)
        seen = []
        for line in follower.stdout:
            seen.append(json.loads(line))
            if seen[-1]["task_id"] == second:
                break
        follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=20)
    assert follower.returncode == 130
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert {first, second} <= {event["task_id"] for event in seen}


def test_logs_are_followed_over_kill_9_byte_for_byte(house, tmp_path):
    house.make_repository("true")
    house.ok("worker", "spawn", "--agent", "scripted")
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    task = house.add("Talk", {"do": "say", "text": "one"}, {"do": "fifo", "path": str(fifo)}, WRITE)
    with house.rmctl.start("logs", "-f", task) as follower:
        head = follower.stdout.readline()
        house.kill_daemon()
        fifo.write_text("two\n")
        rest, _ = follower.communicate(timeout=60)
    assert follower.returncode == 0
    assert house("wait", task, "--timeout", "60").code == 0
    assert head + rest == house.ok("logs", task).encode()
    assert b"two" in rest


def test_a_dead_keeper_is_said_and_mended(house):
    keeper, daemon = open_holders(house.state)
    assert (keeper.role, daemon.role) == ("keeper", "daemon")
    keeper.send(signal.SIGKILL)
    wait_gone([keeper], 10)
    keeper.close()
    assert "unkept" in house.ok("status")
    started = house("daemon", "start")
    assert started.code == 0
    assert "it was unkept" in started.err
    assert house.json("daemon", "status")["is_kept"]
    new_keeper, same_daemon = open_holders(house.state)
    assert same_daemon.pid == daemon.pid
    house.ok("daemon", "stop")
    assert wait_gone([new_keeper, daemon], 0) == []
    for process in (daemon, new_keeper, same_daemon):
        process.close()
    assert house("status").code == 3


def test_agents_outlive_a_stop_and_estop_ends_them(house, tmp_path):
    house.make_repository("true")
    house.ok("worker", "spawn", "--agent", "scripted")
    task = house.add("Hang", {"do": "say", "text": "here"}, {"do": "hang"})
    with house.rmctl.start("logs", "-f", task) as follower:
        assert b"here" in follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        follower.communicate(timeout=20)
    stopped = house("daemon", "stop")
    assert (stopped.code, stopped.err.splitlines()[0][:18]) == (0, "1 attempt goes on ")
    assert house("daemon", "status").code == 3
    ended = house("estop")
    assert (ended.code, ended.out) == (0, "ended\t1\n")
    house.ok("daemon", "start")
    assert "estop" in house.ok("status").splitlines()[0]
    assert house("health").code == 1
    house.ok("estop", "--clear")
