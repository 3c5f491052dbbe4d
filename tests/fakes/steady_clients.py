"""Clients that never try anything twice: whatever is refused, closed or answered with an error is a failure."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LIMIT_S = 60.0
PAUSE_S = 0.4
"""Between two rounds of a client. What is tested is that nothing fails, not how much goes through."""


class Wire:
    """One raw connection, which is never made again. Raises OSError for all that a socket can do to a client."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(LIMIT_S)
        self._received = b""
        self._last = 0
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def end(self) -> None:
        """Have a read that waits in another thread return as at a hang-up."""
        self._socket.shutdown(socket.SHUT_RDWR)

    def frame(self, method: str, **params: Any) -> tuple[int, bytes]:
        """A request's number and its line."""
        self._last += 1
        request = {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}
        return self._last, json.dumps(request).encode() + b"\n"

    def send(self, data: bytes) -> None:
        """All of it."""
        self._socket.sendall(data)

    def read(self) -> Any:
        """The next document."""
        while b"\n" not in self._received:
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionResetError("the connection was closed")
            self._received += data
        line, _, self._received = self._received.partition(b"\n")
        return json.loads(line)

    def call(self, method: str, **params: Any) -> Any:
        """One call and its result."""
        number, frame = self.frame(method, **params)
        self.send(frame)
        return self.take(number)

    def take(self, number: int) -> Any:
        """The result that must come next."""
        answer = self.read()
        assert answer.get("id") == number, answer
        return result_of(answer)

    def take_all(self, numbers: list[int]) -> dict[int, Any]:
        """The results of all these, in any order, once each."""
        answers = [self.read() for _ in numbers]
        assert sorted(answer["id"] for answer in answers) == sorted(numbers), answers
        return {answer["id"]: result_of(answer) for answer in answers}


def result_of(answer: Any) -> Any:
    """What a response holds; an error fails."""
    assert "result" in answer, answer
    return answer["result"]


class Clients:
    """Many clients at work, each in a thread. `failures` are in words; `hold` has them pause between two rounds.

    project: where they file drafts. made: ids of the tasks by the keys under which they were filed.
    """

    def __init__(self, path: Path, project: str, name: str) -> None:
        self.failures: list[str] = []
        self.rounds = 0
        self.made: dict[str, str] = {}
        self._path = path
        self._project = project
        self._name = name
        self._lock = threading.Lock()
        self._may_go_on = threading.Event()
        self._may_go_on.set()
        self._is_over = threading.Event()
        self._passed = threading.Condition()
        self._reloads = 0
        self._resting = 0
        self._threads: list[threading.Thread] = []

    def start(self, count: int) -> None:
        """Of every kind alike many."""
        kinds = (self._plain, self._piped, self._keyed, self._batched, self._patient, self._coming, self._waiting)
        for number in range(count):
            kind = kinds[number % len(kinds)]
            name = f"{self._name}-{kind.__name__.strip('_')}-{number}"
            thread = threading.Thread(target=self._run, args=(kind, name), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def note_reload(self) -> None:
        """A reload is over: those who wait across one may go on."""
        with self._passed:
            self._reloads += 1
            self._passed.notify_all()

    def end(self) -> None:
        """Let each finish its round, and wait for that."""
        self._is_over.set()
        self._may_go_on.set()
        self.note_reload()
        for thread in self._threads:
            thread.join(LIMIT_S)
            assert not thread.is_alive(), f"{thread.name} has no answer"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """While this lasts nothing is asked, and no connection comes or goes but of those that wait."""
        self._may_go_on.clear()
        with self._passed:
            assert self._passed.wait_for(self._is_all_at_rest, LIMIT_S), "a client has no answer"
        try:
            yield
        finally:
            self._may_go_on.set()

    def _is_all_at_rest(self) -> bool:
        return self._resting == sum(thread.is_alive() for thread in self._threads)

    def _rest(self, wait: Callable[[], object]) -> None:
        with self._passed:
            self._resting += 1
            self._passed.notify_all()
        wait()
        with self._passed:
            self._resting -= 1

    def _run(self, kind: Callable[[Wire, str, int], None], name: str) -> None:
        try:
            with Wire(self._path) as wire:
                count = 0
                while not self._is_over.is_set():
                    kind(wire, f"{name}-{count}", count)
                    count += 1
                    with self._lock:
                        self.rounds += 1
                    self._is_over.wait(PAUSE_S)
                    self._rest(self._may_go_on.wait)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what a client would have met
            self.failures.append(f"{name}: {type(error).__name__}: {error}"[:600])
        with self._passed:
            self._passed.notify_all()

    # What they do, a round each. key: unique to the round.

    def _plain(self, wire: Wire, key: str, count: int) -> None:
        assert wire.call("daemon.health")["state"] == "ok"
        wire.call("task.list", project_id=self._project, limit=5)
        wire.call("daemon.status")

    def _piped(self, wire: Wire, key: str, count: int) -> None:
        """Ten in one go, the last of them cut in two."""
        methods = [("daemon.version", {}), ("worker.list", {}), ("events.read", {"limit": 3})] * 3
        frames = [wire.frame(method, **params) for method, params in methods]
        frames.append(wire.frame("daemon.health"))
        data = b"".join(frame for _, frame in frames)
        wire.send(data[:-20])
        self._is_over.wait(PAUSE_S / 4)
        wire.send(data[-20:])
        wire.take_all([number for number, _ in frames])

    def _keyed(self, wire: Wire, key: str, count: int) -> None:
        """A task is filed once, also when it is asked for twice under its key, in one go and on another wire."""
        params = {"title": key, "project_id": self._project, "is_draft": True, "idempotency_key": key}
        if count % 10:
            # Tasks by the thousand would be what grows.
            first = self.made[f"{key.rpartition('-')[0]}-{count // 10 * 10}"]
            wire.call("task.edit", id=first, title=key, idempotency_key=key)
            return
        frames = [wire.frame("task.add", **params) for _ in range(2)]
        wire.send(b"".join(frame for _, frame in frames))
        ids = {answer["view"]["task"]["id"] for answer in wire.take_all([n for n, _ in frames]).values()}
        with Wire(self._path) as other:
            ids.add(other.call("task.add", **params)["view"]["task"]["id"])
        assert len(ids) == 1, ids
        with self._lock:
            self.made[key] = ids.pop()

    def _batched(self, wire: Wire, key: str, count: int) -> None:
        """A batch of reads, a mutation and a notification: one answer with a member for each but the last."""
        if count == 0:
            added = wire.call(
                "task.add", title=key, project_id=self._project, is_draft=True, idempotency_key=f"{key}-a"
            )
            with self._lock:
                self.made[key] = added["view"]["task"]["id"]
        edit = {"id": self.made[key.rpartition("-")[0] + "-0"], "priority": count % 5, "idempotency_key": key}
        calls: tuple[tuple[str, dict[str, Any]], ...] = (
            ("daemon.health", {}),
            ("task.list", {"limit": 2}),
            ("task.edit", edit),
            ("attempt.list", {"limit": 2}),
        )
        requests: list[dict[str, Any]] = [
            {"jsonrpc": "2.0", "id": f"{key}-{n}", "method": method, "params": params}
            for n, (method, params) in enumerate(calls)
        ]
        wire.send(json.dumps([*requests, {"jsonrpc": "2.0", "method": "daemon.health"}]).encode() + b"\n")
        answers = wire.read()
        assert sorted(answer["id"] for answer in answers) == sorted(one["id"] for one in requests), answers
        for answer in answers:
            result_of(answer)

    def _patient(self, wire: Wire, key: str, count: int) -> None:
        """A read that waits over a whole reload and is answered by what happens after it."""
        task_id = wire.call("task.add", title=key, project_id=self._project, is_draft=True)["view"]["task"]["id"]
        number, frame = wire.frame("task.wait", id=task_id)
        wire.send(frame)
        self._rest(self._wait_reload)
        with Wire(self._path) as other:
            other.call("task.cancel", id=task_id, idempotency_key=key)
        assert wire.take(number)["is_over"]

    def _wait_reload(self) -> None:
        with self._passed:
            seen = self._reloads
            self._passed.wait_for(lambda: self._reloads > seen or self._is_over.is_set(), 4 * LIMIT_S)

    def _coming(self, wire: Wire, key: str, count: int) -> None:
        """Connects anew for each call, as rmctl does."""
        for _ in range(3):
            with Wire(self._path) as other:
                other.call("daemon.version")

    def _waiting(self, wire: Wire, key: str, count: int) -> None:
        """Waits for what does not come, for a short while, with a call behind it that need not wait."""
        task_id = next(iter(self.made.values()), "")
        if task_id:
            frames = [wire.frame("task.wait", id=task_id, timeout_s=0.4), wire.frame("task.show", id=task_id)]
            wire.send(b"".join(frame for _, frame in frames))
            wire.take_all([number for number, _ in frames])
