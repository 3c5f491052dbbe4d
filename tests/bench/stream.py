"""The stream to many subscribers: how much goes through, how late it is, and what that takes, over a real daemon.

Readers are of the `websockets` package, in processes of their own from the environment that `bin/setup-bench` makes.
They parse each message and count and digest all lines. Beside it a bare trio-websocket server in a process of its own
sends the same readers the frames that were captured from the daemon, and one line a frame.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.figures import Report
from tests.bench.instance import PROJECT, open_instance
from tests.fakes.daemon import LiveDaemon
from tests.fakes.stream_load import (
    BENCH,
    PEER_PYTHON,
    Output,
    Readers,
    StreamLoad,
    complaints_of,
    cpu_s,
    latencies_of,
    open_heartbeat,
    open_readers,
    share_of,
)

AIM_LATENCY_MS = 30.0
RATE = 20_000
READERS = 10
AT_ONCE = {1: 150_000, 10: 150_000, 100: 30_000}
"""Lines by the number of subscribers: less than what anybody may be behind in before lines are left out."""
PROCESSES = 2
LINE_FRAMES = 50_000


def wall_s(results: Sequence[dict[str, Any]], began_at: float) -> float:
    """Until the last subscriber had the last line."""
    return max(one["finished_at"] for result in results for one in result["connections"]) - began_at


def check(results: Sequence[dict[str, Any]], output: Output, lines: int) -> None:
    """Each line came once."""
    wrong = [words for result in results for words in complaints_of(result, output, lines)]
    if wrong:
        raise RuntimeError(f"the stream is not what was written: {wrong[:5]}")


def shares_of(count: int) -> list[int]:
    """How many subscribers each process has."""
    processes = min(PROCESSES, count)
    return [count // processes] * processes


def measure_daemon(load: StreamLoad, count: int, frames_to: Path) -> tuple[Output, float, int, float]:
    """Lines written as fast as can be, to so many subscribers: output, seconds, bytes to each, daemon's CPU seconds."""
    daemon, lines = load.daemon, AT_ONCE[count]
    output = load.start(1, lines=lines, rate=0)[0]
    shares = shares_of(count)
    with open_readers(daemon, [output] * len(shares), count=shares[0], frames_to=str(frames_to)) as readers:
        assert daemon.process is not None
        before_s, began_at = cpu_s(daemon.process.pid), time.time()
        load.begin()
        results = [one.finish() for one in readers]
        used_s = cpu_s(daemon.process.pid) - before_s
    load.wait_over([output])
    check(results, output, lines)
    first = output.path.open().readline().split(" ", 2)
    assert float(first[1]) >= began_at
    return output, wall_s(results, float(first[1])), results[0]["connections"][0]["bytes"], used_s


def measure_bare(output: Output, count: int, frames: Path, lines: int) -> float:
    """The same frames from a bare server to as many subscribers: seconds."""
    place = frames.with_suffix(".place")
    argv = [sys.executable, str(BENCH / "stream_echo.py"), str(place), str(frames), str(count)]
    server = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    readers: list[Readers] = []
    try:
        assert server.stdout.readline() == "ready\n"
        shares = shares_of(count)
        readers.extend(Readers(output, place, "", count=share) for share in shares)
        for one in readers:
            one.wait_ready()
        began_at = float(server.stdout.readline())
        results = [one.finish() for one in readers]
    finally:
        for one in readers:
            one.close()
        server.kill()
        server.communicate()
    check(results, output, lines)
    return wall_s(results, began_at)


def split_frames(output: Output, frames: Path, split: Path) -> int:
    """Write the frames with a line a message; how many."""
    offset, made = 0, []
    with frames.open() as file:
        hello = file.readline()
    with output.path.open("rb") as lines:
        for line in lines:
            message = {"kind": "lines", "attempt_id": output.attempt_id, "job": "agent", "output": "stdout"}
            places = {"offset": offset, "next_offset": offset + len(line), "text": line.decode()}
            offset += len(line)
            made.append(json.dumps({**message, **places, "is_partial": False, "is_end": False}))
    end = {"kind": "lines", "offset": offset, "next_offset": offset, "text": "", "is_end": True}
    made.append(json.dumps(end))
    split.write_text("".join([hello, *(json.dumps(text) + "\n" for text in made)]))
    return len(made)


def run_throughput(figures: Report, load: StreamLoad, count: int, runs: int, place: Path) -> None:
    """As fast as can be, to so many subscribers, in turns with the bare server."""
    lines = AT_ONCE[count]
    rates: list[float] = []
    bare: list[float] = []
    used: list[float] = []
    size = 0
    for _ in range(runs):
        frames = place / "frames"
        output, seconds, size, used_s = measure_daemon(load, count, frames)
        rates.append(lines * count / seconds)
        used.append(used_s)
        bare.append(lines * count / measure_bare(output, count, frames, lines))
    whom = "1 subscriber" if count == 1 else f"{count} subscribers"
    figures.figure(f"to {whom}, in all", rates, "lines/s", yardstick=("bare trio-websocket, the same frames", bare))
    figures.figure("  the same", [rate * size / lines / 1e6 for rate in rates], "MB/s")
    figures.figure("  daemon's processor time", used, "s")


def run_a_line_a_frame(figures: Report, load: StreamLoad, runs: int, place: Path) -> None:
    """What the library does with a frame for each line, to one subscriber."""
    output = load.start(1, lines=LINE_FRAMES, rate=0)[0]
    with open_readers(load.daemon, [output], frames_to=str(place / "frames")) as readers:
        load.begin()
        check([readers[0].finish()], output, LINE_FRAMES)
    load.wait_over([output])
    count = split_frames(output, place / "frames", place / "split")
    rates = [count / measure_bare(output, 1, place / "split", LINE_FRAMES) for _ in range(runs)]
    figures.figure("bare trio-websocket, a line a frame, 1 subscriber", rates, "frames/s")


def run_latency(figures: Report, load: StreamLoad, runs: int, seconds: float, outputs: int) -> None:
    """How late lines are at a steady rate, and what it takes."""
    lines = int(RATE * seconds)
    found: dict[str, list[float]] = {name: [] for name in ("median", "p99", "daemon", "readers", "asked")}
    for _ in range(runs):
        written = load.start(outputs, lines=lines, rate=RATE)
        with (
            open_readers(load.daemon, written * (READERS // outputs)) as readers,
            open_heartbeat(load.daemon) as heartbeat,
        ):
            assert load.daemon.process is not None
            before_s = cpu_s(load.daemon.process.pid)
            load.begin()
            results = [one.finish() for one in readers]
            found["daemon"].append((cpu_s(load.daemon.process.pid) - before_s) / seconds)
            found["asked"].append(share_of(heartbeat.take_ms(), 0.99))
        load.wait_over(written)
        for one, result in zip(readers, results, strict=True):
            check([result], one.output, lines)
        latencies = latencies_of(results)
        found["median"].append(share_of(latencies, 0.5))
        found["p99"].append(share_of(latencies, 0.99))
        found["readers"].append(sum(result["cpu_s"] for result in results) / seconds)
    figures.figure("  written -> received, median", found["median"], "ms", at_most=AIM_LATENCY_MS)
    figures.figure("  written -> received, p99", found["p99"], "ms")
    figures.figure("  another client's wait for an answer, p99", found["asked"], "ms")
    figures.figure("  daemon's processor time", found["daemon"], "s for a second of output")
    figures.figure(f"  that of {READERS} readers", found["readers"], "s for a second of output")


def run(figures: Report) -> None:
    """Throughput, then latency."""
    figures.head("the stream, readers of the websockets package")
    if not PEER_PYTHON.exists():
        figures.note("left out: the readers' environment is missing; bin/setup-bench makes it")
        return
    runs, seconds = (1, 5.0) if figures.is_quick else (3, 10.0)
    with open_instance() as daemon, tempfile.TemporaryDirectory(prefix="ringmaster-bench-") as directory:
        run_on(figures, daemon, Path(directory), runs, seconds)


def run_on(figures: Report, daemon: LiveDaemon, place: Path, runs: int, seconds: float) -> None:
    """All of it on one daemon."""
    load = StreamLoad(daemon, place, PROJECT, seats=READERS)
    for count in AT_ONCE:
        run_throughput(figures, load, count, runs, place)
    run_a_line_a_frame(figures, load, runs, place)
    figures.note(f"one agent that writes {RATE:,} lines a second, {READERS} readers of it")
    run_latency(figures, load, runs, seconds, 1)
    figures.note(f"{READERS} agents that write as much each, a reader for each")
    run_latency(figures, load, runs, seconds, READERS)
