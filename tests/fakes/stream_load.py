"""Agents that write at a given rate, and readers of the stream in processes of their own, on a real daemon."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.fakes.daemon import ROOT, LiveDaemon

BENCH = ROOT / "tests" / "bench"
PEER_PYTHON = ROOT / ".bench" / "bin" / "python"
LIMIT_S = 180.0
HEARTBEAT = """
import json, os, select, socket, sys, time
line = b'{"jsonrpc":"2.0","id":1,"method":"daemon.version","params":{}}\\n'
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    return s
s, taken = connect(), []
print("ready", flush=True)
while not select.select([0], [], [], 0.005)[0]:
    began = time.monotonic()
    s.sendall(line)
    answer = b""
    while not answer.endswith(b"\\n"):
        more = s.recv(65536)
        if not more:
            sys.exit("the connection was lost")
        answer += more
    taken.append((time.monotonic() - began) * 1000)
print(json.dumps(sorted(taken)))
"""


class Output:
    """What an agent writes: attempt_id, and the file it is in."""

    def __init__(self, daemon: LiveDaemon, attempt_id: str) -> None:
        self.attempt_id = attempt_id
        self.path = daemon.state / "attempts" / attempt_id / "agent" / "stdout"

    def digest(self) -> str:
        """Of all that is in the file."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class StreamLoad:
    """Agents of kind `command` in a project; each task of `start` is one that writes lines once `begin` is called."""

    def __init__(self, daemon: LiveDaemon, place: Path, project_id: str, seats: int) -> None:
        self.daemon = daemon
        self._place = place
        self._project_id = project_id
        self._order = place / "order.json"
        self._begin = place / "begin-0"
        self._runs = 0
        argv = [sys.executable, "-I", "-S", str(BENCH / "stream_writer.py"), str(self._order)]
        daemon.call("worker.spawn", agent="command", command=argv, count=seats, project_id=project_id)

    def start(self, count: int, *, lines: int, rate: float) -> list[Output]:
        """So many agents that are at work and have written nothing yet."""
        self._runs += 1
        self._begin = self._place / f"begin-{self._runs}"
        self._order.write_text(json.dumps({"lines": lines, "rate": rate, "begin": str(self._begin)}))
        cursor = self.daemon.call("daemon.status")["cursor"]
        for number in range(count):
            title = f"Write {self._runs}.{number}"
            self.daemon.call("task.add", title=title, project_id=self._project_id, is_diff_needed=False)
        found: list[Output] = []
        for event in self.daemon.events(cursor):
            if event["type"] == "attempt.job_started" and event["data"]["kind"] == "agent":
                found.append(Output(self.daemon, event["attempt_id"]))
                if len(found) == count:
                    break
        return found

    def begin(self) -> None:
        """Have them write."""
        self._begin.touch()

    def wait_over(self, outputs: Sequence[Output]) -> None:
        """Until each of their tasks is done."""
        for output in outputs:
            with self.daemon.client(timeout_s=LIMIT_S) as client:
                task_id = output.attempt_id.rpartition("/")[0]
                waited: Any = client.call("task.wait", {"id": task_id, "timeout_s": LIMIT_S})
            assert waited["is_over"], waited


class Readers:
    """A process with `count` subscribers of one output, which follow when this is made.

    Outside of a daemon: place and token of whatever else serves the same frames.
    """

    def __init__(self, output: Output, place: Path, token: str, *, count: int = 1, **options: Any) -> None:
        self.output = output
        words = {"place": str(place), "token": token, "attempt_id": output.attempt_id, "path": str(output.path)}
        document = {**words, "count": count, "is_from_mark": False, "frames_to": "", **options}
        self._process = subprocess.Popen(
            [str(PEER_PYTHON), str(BENCH / "stream_reader.py"), json.dumps(document)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> None:
        """Until all of them follow."""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            raise AssertionError(self._process.communicate()[1])

    def send(self, number: int) -> None:
        """Send it a signal, such as SIGSTOP."""
        self._process.send_signal(number)

    def finish(self) -> dict[str, Any]:
        """What they got, when the output has ended: see `stream_reader.py`."""
        said, failed = self._process.communicate(timeout=LIMIT_S)
        if self._process.returncode:
            raise AssertionError(failed)
        result: dict[str, Any] = json.loads(said)
        return result

    def close(self) -> None:
        """End it, whatever it does."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def open_readers(
    daemon: LiveDaemon, outputs: Sequence[Output], *, frames_to: str = "", **options: Any
) -> Iterator[list[Readers]]:
    """A process for each of the outputs, all of them following; gone at the end. frames_to: the first one's."""
    token = (daemon.state / "stream.token").read_text().strip()
    made: list[Readers] = []
    try:
        place = daemon.state / "stream.json"
        for output in outputs:
            made.append(Readers(output, place, token, frames_to="" if made else frames_to, **options))
        for readers in made:
            readers.wait_ready()
        yield made
    finally:
        for readers in made:
            readers.close()


class Heartbeat:
    """A client on the Unix socket that asks something every 5 ms, in a process of its own."""

    def __init__(self, socket: Path) -> None:
        argv = [sys.executable, "-I", "-S", "-c", HEARTBEAT, str(socket)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def take_ms(self) -> list[float]:
        """The milliseconds until each answer, sorted. Ends it."""
        said, _ = self._process.communicate("\n")
        assert self._process.returncode == 0, "the heartbeat lost its connection"
        taken: list[float] = json.loads(said)
        return taken

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def open_heartbeat(daemon: LiveDaemon) -> Iterator[Heartbeat]:
    """One at work, gone at the end."""
    heartbeat = Heartbeat(daemon.socket)
    try:
        yield heartbeat
    finally:
        heartbeat.close()


def cpu_s(pid: int) -> float:
    """Seconds of processor time a process has taken."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def share_of(values: Sequence[float], share: float) -> float:
    """The value that this share of sorted values is not above."""
    return values[min(len(values) - 1, int(len(values) * share))]


def latencies_of(results: Sequence[dict[str, Any]]) -> list[float]:
    """From writing to receiving, in milliseconds, sorted."""
    return sorted(ms for result in results for one in result["connections"] for ms in one["latencies_ms"])


def complaints_of(result: dict[str, Any], output: Output, lines: int) -> list[str]:
    """What a reader's process got wrongly; nothing where each line came once."""
    found: list[str] = []
    size, digest = output.path.stat().st_size, output.digest()
    for one in result["connections"]:
        found += one["failures"]
        if (one["offset"], one["digest"]) != (size, digest):
            found.append(f"{one['offset']} bytes of {size}, or others")
        if not one["gap_bytes"] and one["lines"] != lines:
            found.append(f"{one['lines']} lines of {lines}")
    return found


def words_of(values: Sequence[float]) -> str:
    """Median, 99th percentile and most of sorted milliseconds."""
    return f"median {statistics.median(values):.1f}, p99 {share_of(values, 0.99):.1f}, most {values[-1]:.1f} ms"
