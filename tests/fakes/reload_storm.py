"""Reload after reload under clients that never try twice, agents at work, and followers on raw sockets."""

from __future__ import annotations

import base64
import json
import os
import statistics
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ringmaster.protocol.codes import STREAM_ENDED
from tests.fakes.daemon import LiveDaemon, processes_of
from tests.fakes.feed_follower import FeedFollower
from tests.fakes.house import make_repository
from tests.fakes.own_source import OwnSource, open_own_source
from tests.fakes.steady_clients import LIMIT_S, Clients, Wire

WORK = "work"
AGENT = """\
import pathlib, select, sys
end, count = pathlib.Path(sys.argv[1]), 0
while not end.exists():
    print("line", count, flush=True)
    count += 1
    select.select([], [], [], 0.02)
print("last", count)
"""


class Footprint(NamedTuple):
    """What the daemon holds at one moment."""

    descriptors: int
    threads: int
    memory_kb: int


class Agent(NamedTuple):
    """A shim at work. started: of its process, in the kernel's ticks."""

    attempt_id: str
    pid: int
    started: str


class Seen(NamedTuple):
    """What a storm has seen. failures: what clients met and should not have; followed_bytes: of an agent's output."""

    reloads: int
    clients: int
    rounds: int
    failures: tuple[str, ...]
    events: int
    followed_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.reloads} reloads, {self.rounds} rounds of {self.clients} clients, {self.events} events, "
            f"{self.followed_bytes} bytes of output followed"
        )


class Follower:
    """A stream on a raw socket, read to its end. `items` in the order in which they came."""

    def __init__(self, path: Path, method: str, **params: Any) -> None:
        self.items: list[Any] = []
        self.failure = ""
        self._has_more = threading.Condition()
        self._wire = Wire(path)
        self.subscription = self._wire.call(method, **params)["subscription"]
        self._is_over = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while not self._is_over:
                told = self._wire.read()
                assert told["params"]["subscription"] == self.subscription, told
                if told["method"] == STREAM_ENDED:
                    assert told["params"]["error"] is None, told
                    return
                with self._has_more:
                    self.items.append(told["params"]["item"])
                    self._has_more.notify_all()
        except TimeoutError:
            self.failure = "nothing came"
        except Exception as error:  # noqa: BLE001 - a client would have met it
            self.failure = "" if self._is_over else f"{type(error).__name__}: {error}"
        with self._has_more:
            self._has_more.notify_all()

    def wait_for(self, wanted: Callable[[Any], bool]) -> Any:
        """The first item that is wanted."""
        looked = 0
        with self._has_more:
            while True:
                for item in self.items[looked:]:
                    looked += 1
                    if wanted(item):
                        return item
                assert not self.failure, self.failure
                assert self._has_more.wait(LIMIT_S), "what is waited for does not come"

    def close(self) -> None:
        """Hang up."""
        self._is_over = True
        self._wire.end()
        self._thread.join(LIMIT_S)
        self._wire.close()


@dataclass
class ReloadStorm:
    """What a storm is made of. gate: of the daemon's own source. settle_s: what an agent's shim may take to begin."""

    reloads: int
    clients: int
    agents: int
    gate: str = "true"
    is_measured: bool = False
    report: Callable[[str], None] = print
    footprints: list[Footprint] = field(default_factory=list)

    def run(self, tmp_path: Path, **config: Any) -> Seen:
        """Run it and check everything."""
        with open_own_source(tmp_path / "own", probation_s=0.5, gate=self.gate, **config) as own:
            end = tmp_path / "end"
            tasks = start_agents(own.daemon, tmp_path, self.agents, end)
            return self.run_on(own, tasks, end)

    def run_on(self, own: OwnSource, tasks: list[str], end: Path) -> Seen:
        """The same on a daemon whose agents are at work. end: the file that has them end."""
        daemon = own.daemon
        events = Follower(daemon.socket, "events.subscribe", after=0)
        logs = Follower(daemon.socket, "logs.follow", id=tasks[0], stream="stdout", is_raw=True)
        feed = Follower(daemon.socket, "feed.subscribe", attempt_id=tasks[-1], output=["stdout"], tail_lines=None)
        stream = FeedFollower(daemon.state, f"{tasks[0]}/1")
        clients = Clients(daemon.socket, WORK, f"c{own.generation}")
        pid = daemon.call("daemon.health")["pid"]
        agents, reloads = agents_at_work(daemon, tasks), 0
        try:
            clients.start(self.clients)
            for number in range(self.reloads):
                self._reload(own, number, clients, events)
                reloads += 1
                assert daemon.call("daemon.health")["pid"] == pid
                assert agents_at_work(daemon, tasks) == agents, "no agent was restarted or lost"
            clients.end()
            assert clients.failures == []
            end.touch()
            for task_id in tasks:
                check_agent(daemon, task_id)
            logs.wait_for(lambda item: item["is_end"])
            feed.wait_for(lambda item: any(message.get("is_end") for message in item))
            stream.join()
        finally:
            end.touch()
            for follower in (logs, events, feed):
                follower.close()
        check_log(daemon, tasks[0], logs.items)
        check_events(daemon, events.items)
        assert logs.failure == events.failure == feed.failure == ""
        assert text_of(feed.items) == output_of(daemon, tasks[-1]).decode()
        assert (stream.text, stream.comebacks) == (output_of(daemon, tasks[0]).decode(), self.reloads)
        drafts = daemon.call("task.list", project_id=WORK, is_all=True, limit=10_000, state=["draft"])["tasks"]
        filed = sorted(view["task"]["id"] for view in drafts)
        assert filed == sorted(clients.made.values()), "what was filed under a key is there once"
        followed = sum(len(base64.b64decode(item["data_base64"])) for item in logs.items)
        return Seen(reloads, self.clients, clients.rounds, tuple(clients.failures), len(events.items), followed)

    def _reload(self, own: OwnSource, number: int, clients: Clients, events: Follower) -> None:
        before = own.generation
        own.commit(own.append("ringmaster/__init__.py", f"# {before}.{number}\n"))
        settled = events.wait_for(lambda event: is_settled(event, before))
        assert settled["type"] == "generation.good", (settled, own.history()[0], clients.failures, own.daemon.log[-40:])
        assert own.generation == settled["data"]["generation"] > before
        assert clients.failures == []
        if self.is_measured:
            with clients.hold():
                self.footprints.append(footprint_of(own.daemon))
            self.report(f"reload {number + 1}: {self.footprints[-1]}")
        clients.note_reload()


def is_settled(event: Any, before: int) -> bool:
    """Whether it says what became of a generation after `before`."""
    return (
        event["type"] in ("generation.good", "generation.bad", "generation.put_off")
        and event["data"]["generation"] > before
    )


def is_start_of(task_id: str) -> Callable[[Any], bool]:
    """Asks of an event whether an attempt of the task has started with it."""
    return lambda event: (event["type"], event["task_id"]) == ("attempt.started", task_id)


def start_agents(daemon: LiveDaemon, root: Path, count: int, end: Path) -> list[str]:
    """Agents that print lines until the file `end` is there; their tasks, once all of them print."""
    repository = make_repository(root / WORK)
    settings = {"gate": "true", "max_running": count + 8}
    daemon.call("project.add", path=str(repository), id=WORK, config=settings)
    argv = [sys.executable, "-I", "-S", "-c", AGENT, str(end)]
    daemon.call("worker.spawn", agent="command", command=argv, count=count, project_id=WORK)
    tasks = []
    for number in range(count):
        added = daemon.call("task.add", title=f"Print {number}", project_id=WORK, is_diff_needed=False)
        tasks.append(str(added["view"]["task"]["id"]))
    for task_id in tasks:
        # Before that there is no attempt to follow.
        daemon.wait_for(is_start_of(task_id))
        with Wire(daemon.socket) as wire:
            wire.call("logs.follow", id=task_id, stream="stdout")
            assert wire.read()["params"]["item"]["text"].startswith("line 0\n")
    return tasks


def agents_at_work(daemon: LiveDaemon, tasks: list[str]) -> list[Agent]:
    """The shims of the only attempt of each task."""
    found = []
    for task_id in tasks:
        attempts = daemon.call("task.show", id=task_id)["attempts"]
        assert [(one["number"], one["outcome"]) for one in attempts] == [(1, "")], attempts
        record = json.loads((daemon.state / "attempts" / task_id / "1" / "agent" / "run.json").read_bytes())
        pid = int(record["shim"]["pid"])
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found.append(Agent(attempts[0]["id"], pid, stat[19]))
    return found


def check_agent(daemon: LiveDaemon, task_id: str) -> None:
    """It ended well in its first attempt, and each of its lines is there once."""
    with daemon.client(timeout_s=LIMIT_S) as client:
        waited: Any = client.call("task.wait", {"id": task_id, "timeout_s": LIMIT_S})
    assert waited["is_over"], waited
    detail = daemon.call("task.show", id=task_id)
    assert [one["outcome"] for one in detail["attempts"]] == ["succeeded"], detail["attempts"]
    lines = output_of(daemon, task_id).decode().splitlines()
    count = len(lines) - 1
    assert lines == [*(f"line {n}" for n in range(count)), f"last {count}"]


def output_of(daemon: LiveDaemon, task_id: str) -> bytes:
    """All its agent has written."""
    return (daemon.state / "attempts" / task_id / "1" / "agent" / "stdout").read_bytes()


def check_log(daemon: LiveDaemon, task_id: str, chunks: list[Any]) -> None:
    """What a follower got is the file, each byte once and in order."""
    offset, data = 0, b""
    for chunk in chunks:
        assert chunk["offset"] == offset, f"a gap or a double at {offset}"
        offset = chunk["next_offset"]
        data += base64.b64decode(chunk["data_base64"])
    assert data == output_of(daemon, task_id)
    assert [chunk["is_end"] for chunk in chunks] == [*[False] * (len(chunks) - 1), True]


def text_of(items: list[Any]) -> str:
    """The output that a feed over the Unix socket has told, which follows on itself exactly."""
    offset, text = 0, ""
    for message in (message for item in items for message in item if message["kind"] == "lines"):
        assert message["offset"] == offset, f"a gap or a double at {offset}"
        offset, text = message["next_offset"], text + message["text"]
    return text


def check_events(daemon: LiveDaemon, heard: list[Any]) -> None:
    """What a follower got is each event once, in order."""
    numbers = [event["seq"] for event in heard]
    assert numbers == list(range(1, len(numbers) + 1)), "events are dense"
    stored = daemon.call("events.read", after=0, limit=10_000)["events"]
    assert heard[: len(stored)] == stored[: len(heard)]


def footprint_of(daemon: LiveDaemon) -> Footprint:
    """What it holds now."""
    assert daemon.process is not None
    proc = Path("/proc") / str(daemon.process.pid)
    lines = (line.split() for line in (proc / "smaps_rollup").read_text().splitlines()[1:])
    sizes = {words[0]: int(words[1]) for words in lines}
    memory = sizes["Private_Clean:"] + sizes["Private_Dirty:"]
    return Footprint(len(os.listdir(proc / "fd")), len(os.listdir(proc / "task")), memory)


def check_growth(footprints: list[Footprint]) -> str:
    """Nothing has grown by more than 5 % between the tenth reload and the last; the figures in words."""
    early, late = footprints[7:12], footprints[-5:]
    words = []
    for name in Footprint._fields:
        before = statistics.median(getattr(one, name) for one in early)
        after = statistics.median(getattr(one, name) for one in late)
        words.append(f"{name} {before:g} to {after:g}")
        assert after <= before * 1.05, f"{name} has grown: {before:g} at the tenth reload, {after:g} at the last"
    return ", ".join(words)


@contextmanager
def open_storm(root: Path, agents: int, **config: Any) -> Iterator[tuple[OwnSource, list[str], Path]]:
    """A daemon with its own source and agents at work: itself, their tasks, the file that has them end."""
    with open_own_source(root / "own", **config) as own:
        end = root / "end"
        yield own, start_agents(own.daemon, root, agents, end), end


__all__ = ["ReloadStorm", "check_growth", "open_storm", "processes_of"]
