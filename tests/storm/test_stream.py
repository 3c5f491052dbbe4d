"""The stream under load for `make storm`: readers of the websockets package, each line numbered, each reader checked.

The environment of the readers is made by `bin/setup-bench`.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import pytest

from tests.bench.instance import PROJECT, open_instance
from tests.fakes.daemon import LiveDaemon
from tests.fakes.house import make_repository
from tests.fakes.own_source import open_own_source
from tests.fakes.stream_load import (
    PEER_PYTHON,
    Output,
    Readers,
    StreamLoad,
    complaints_of,
    cpu_s,
    latencies_of,
    open_heartbeat,
    open_readers,
    words_of,
)

pytestmark = [pytest.mark.storm, pytest.mark.timeout(600)]
RATE = 20_000
SECONDS = 30.0
READERS = 10
LAG_S = 0.020
IDLE = 1_000
DESCRIPTORS = 8_192
WSCAT = "wscat@6.1.0"


class Seen(NamedTuple):
    """What a run has shown. lag_s: 99 of 100 turns of the loop; complaints: what readers got wrongly."""

    lag_s: float
    complaints: list[str]
    results: list[dict[str, Any]]


@pytest.fixture(autouse=True)
def websockets(left_out: Callable[[str, str], NoReturn]) -> None:
    if not PEER_PYTHON.exists():
        left_out("readers of the stream that were not written here", "bin/setup-bench makes their environment")


@contextmanager
def open_load(place: Path, seats: int) -> Iterator[StreamLoad]:
    with open_instance() as daemon:
        yield StreamLoad(daemon, place, PROJECT, seats)


def lag_s_of(daemon: LiveDaemon) -> float:
    """Of the last half minute to minute, as the daemon counts it."""
    port = json.loads((daemon.state / "stream.json").read_text())["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
        return float(json.load(answer)["loop_lag_s"])


def after(seconds: float, call: Callable[[], None]) -> threading.Timer:
    """Do something in the middle of what goes on."""
    timer = threading.Timer(seconds, call)
    timer.start()
    return timer


def measure(
    load: StreamLoad, outputs: Sequence[Output], readers: Sequence[Readers], lines: int, timers: ExitStack
) -> Seen:
    """Have them write, and say what the readers got and what it took. timers: what happens meanwhile, joined here."""
    daemon = load.daemon
    assert daemon.process is not None
    with open_heartbeat(daemon) as heartbeat:
        before_s, began_at = cpu_s(daemon.process.pid), time.monotonic()
        load.begin()
        with timers:
            results = [one.finish() for one in readers]
        wall_s, lag_s = time.monotonic() - began_at, lag_s_of(daemon)
        used_s = cpu_s(daemon.process.pid) - before_s
        asked = heartbeat.take_ms()
    load.wait_over(outputs)
    pairs = zip(readers, results, strict=True)
    complaints = [words for one, result in pairs for words in complaints_of(result, one.output, lines)]
    print(
        f"\n{len(outputs)} agents, {len(readers)} readers, {lines} lines each in {wall_s:.1f} s; "
        f"load {os.getloadavg()[0]:.1f}\n"
        f"  written -> received: {words_of(latencies_of(results))}\n"
        f"  another client's wait: {words_of(asked)}; loop lag p99 {lag_s * 1000:.1f} ms\n"
        f"  processor time: daemon {used_s:.1f} s, readers {sum(result['cpu_s'] for result in results):.1f} s"
    )
    return Seen(lag_s, complaints, results)


@pytest.mark.parametrize("agents", [1, READERS])
def test_ten_readers_of_twenty_thousand_lines_a_second_lose_nothing(tmp_path: Path, agents: int) -> None:
    lines = int(RATE * SECONDS)
    with open_load(tmp_path, agents) as load:
        outputs = load.start(agents, lines=lines, rate=RATE)
        with open_readers(load.daemon, outputs * (READERS // agents)) as readers:
            seen = measure(load, outputs, readers, lines, ExitStack())
    assert seen.complaints == []
    assert [one["resyncs"] for result in seen.results for one in result["connections"]] == [0] * READERS
    assert seen.lag_s <= LAG_S


def test_a_hundred_thousand_lines_a_second_reach_a_reader(tmp_path: Path) -> None:
    lines = int(100_000 * SECONDS)
    with open_load(tmp_path, 1) as load:
        outputs = load.start(1, lines=lines, rate=100_000)
        with open_readers(load.daemon, outputs) as readers:
            seen = measure(load, outputs, readers, lines, ExitStack())
    assert seen.complaints == []
    assert [one["resyncs"] for result in seen.results for one in result["connections"]] == [0]


def test_one_that_stops_reading_changes_nothing_for_the_others(tmp_path: Path) -> None:
    lines = int(RATE * SECONDS)
    with open_load(tmp_path, 1) as load:
        outputs = load.start(1, lines=lines, rate=RATE)
        with open_readers(load.daemon, outputs * READERS) as readers, ExitStack() as timers:
            stopped = readers[-1]
            timers.callback(after(5.0, lambda: stopped.send(signal.SIGSTOP)).join)
            timers.callback(after(20.0, lambda: stopped.send(signal.SIGCONT)).join)
            seen = measure(load, outputs, readers, lines, timers.pop_all())
    assert seen.complaints == []
    others = [one["resyncs"] for result in seen.results[:-1] for one in result["connections"]]
    assert others == [0] * (READERS - 1)
    [late] = seen.results[-1]["connections"]
    print(f"  the others alone: {words_of(latencies_of(seen.results[:-1]))}")
    print(f"  the one that stopped: {late['resyncs']} resyncs, {late['gap_bytes']} bytes left out")
    assert late["resyncs"] > 0, "15 s are more than is waited for"
    assert seen.lag_s <= LAG_S


def test_readers_that_resume_over_a_reload_lose_nothing(tmp_path: Path) -> None:
    lines = int(RATE * SECONDS)
    with open_own_source(tmp_path / "own", probation_s=0.5) as own, ExitStack() as timers:
        repository = make_repository(tmp_path / "work")
        own.daemon.call("project.add", path=str(repository), id=PROJECT, config={"gate": "true"})
        load = StreamLoad(own.daemon, tmp_path, PROJECT, 1)
        outputs = load.start(1, lines=lines, rate=RATE)
        from_bye = timers.enter_context(open_readers(own.daemon, outputs * 2))
        from_mark = timers.enter_context(open_readers(own.daemon, outputs * 2, is_from_mark=True))
        settled: list[Any] = []

        def reload() -> None:
            settled.append(own.take(own.append("ringmaster/__init__.py", "# newer\n")))

        reloading = ExitStack()
        reloading.callback(after(8.0, reload).join)
        seen = measure(load, outputs, [*from_bye, *from_mark], lines, reloading)
    assert [event["type"] for event in settled] == ["generation.good"]
    assert seen.complaints == []
    connections = [one for result in seen.results for one in result["connections"]]
    assert [one["comebacks"] for one in connections] == [1] * 4
    print(f"  told again and dropped: {[one['dropped_bytes'] for one in connections]} bytes")
    assert [one["dropped_bytes"] for one in connections[:2]] == [0, 0], "after `bye` there is nothing to drop"


def test_a_thousand_idle_connections_leave_the_daemon_unmoved(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, before[1]), before[1]))
    lines = int(RATE * 10)
    try:
        with open_load(tmp_path, 1) as load, ExitStack() as idle:
            port = json.loads((load.daemon.state / "stream.json").read_text())["port"]
            for number in range(IDLE):
                made = idle.enter_context(socket.create_connection(("127.0.0.1", port)))
                # Some say nothing, some half of a request.
                made.sendall(b"GET /stream HTTP/1.1\r\nHost: 127" if number % 2 else b"")
            outputs = load.start(1, lines=lines, rate=RATE)
            with open_readers(load.daemon, outputs * 2) as readers:
                seen = measure(load, outputs, readers, lines, ExitStack())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert seen.complaints == []
    assert seen.lag_s <= LAG_S


def test_wscat_follows_an_agent(tmp_path: Path, left_out: Callable[[str, str], NoReturn]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        left_out("wscat", "npm is missing")
    place = tmp_path / "wscat"
    place.mkdir()
    install = [npm, "install", "--no-audit", "--no-fund", "--cache", str(tmp_path / "cache"), WSCAT]
    installed = subprocess.run(install, cwd=place, capture_output=True, text=True, check=False)
    if installed.returncode:
        left_out("wscat", f"npm could not install it: {installed.stderr.strip().splitlines()[-1:]}")
    with open_load(tmp_path, 1) as load:
        [output] = load.start(1, lines=1000, rate=1000)
        port = json.loads((load.daemon.state / "stream.json").read_text())["port"]
        token = (load.daemon.state / "stream.token").read_text().strip()
        wanted = {"kind": "subscribe", "attempt_id": output.attempt_id, "output": ["stdout"], "tail_lines": None}
        argv = [str(place / "node_modules/.bin/wscat"), "-c", f"ws://127.0.0.1:{port}/stream", "-w", "-1"]
        words = [*argv, "-H", f"Authorization: Bearer {token}", "-x", json.dumps(wanted)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as wscat:
            assert wscat.stdout is not None
            got = ""
            load.begin()
            for line in wscat.stdout:
                message = json.loads(line)
                got += message.get("text", "")
                if message.get("is_end"):
                    break
            wscat.kill()
        load.wait_over([output])
        assert got == output.path.read_text()
