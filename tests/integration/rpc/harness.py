"""The real server with the real method table on a real socket, store and repository; only the supervisor is left out.

What a supervisor would do to an attempt, a test does itself, in one call of the queue.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from ringmaster.bus import Bus
from ringmaster.client import Client
from ringmaster.feed.feed import Feed, open_feed
from ringmaster.model.errors import RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.project import ProjectConfig
from ringmaster.proc.identity import own_identity
from ringmaster.proc.inotify import open_watcher
from ringmaster.protocol.daemon import Health, KeepResult
from ringmaster.queue import registry
from ringmaster.queue.claim import Claim, claim_for_worker
from ringmaster.reload.meter import Meter
from ringmaster.rpc.methods import METHODS
from ringmaster.rpc.rights import Caller, CallerKind
from ringmaster.rpc.server import Server
from ringmaster.rpc.services import Services
from ringmaster.settings import LimitSettings, Paths, Settings
from ringmaster.store.thread import ThreadStore, open_store
from ringmaster.workers.projects import Projects
from ringmaster.workers.surroundings import Surroundings
from tests.fakes.house import make_repository
from tests.fakes.listening import open_listener
from tests.fakes.reloading import ScriptedReload

OPERATOR = Caller(CallerKind.OPERATOR, "it descends from no attempt")
NOBODY = Caller(CallerKind.NONE, "it descends from the daemon but from no live attempt")


class Clock:
    """The time of the store and of gc. It runs, and a test can put it forward."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead_s


@dataclass
class Table:
    """What a test drives."""

    store: ThreadStore
    bus: Bus[Event]
    paths: Paths
    sur: Surroundings
    clock: Clock
    tmp_path: Path
    feed: Feed
    stops: list[str] = field(default_factory=list)
    keeps: int = 0
    reload: ScriptedReload = field(default_factory=ScriptedReload)
    caller: Caller = OPERATOR
    clients: dict[str, Client] = field(default_factory=dict)

    async def call(self, method: str, *, caller: Caller = OPERATOR, **params: Any) -> Any:
        """Call by the real client, as `caller`. Raises RingmasterError as a client sees it."""
        name = f"{caller.kind}:{caller.attempt_id}"
        client = self.clients.setdefault(name, Client(str(self.paths.socket)))
        # Looked at when the connection is accepted, which is within this call.
        self.caller = caller
        return await trio.to_thread.run_sync(lambda: client.call(method, params))

    async def refusal(self, method: str, *, caller: Caller = OPERATOR, **params: Any) -> RingmasterError:
        """The error of a call that must not succeed."""
        try:
            answer = await self.call(method, caller=caller, **params)
        except RingmasterError as error:
            return error
        raise AssertionError(f"{method} was answered with {answer}")

    async def add_project(self, name: str = "toy", **config: Any) -> None:
        """The row of a project, for what needs no repository: a tenth of the time."""
        path = str(self.tmp_path / name)
        await self.store.write(
            registry.add_project,
            name=name,
            path=path,
            common_dir=f"{path}/.git",
            target="main",
            config=ProjectConfig(gate="true", **config),
            actor="test",
        )

    async def take_on(self, name: str = "toy", **config: Any) -> Any:
        """A project on a repository of its own, by the method that people use."""
        path = self.tmp_path / name
        if not path.exists():
            make_repository(path)
        return await self.call("project.add", path=str(path), config={"gate": "true", **config})

    async def add_task(self, title: str = "Do it", **params: Any) -> str:
        """A task's id."""
        answer = await self.call("task.add", title=title, **params)
        return str(answer["view"]["task"]["id"])

    async def claim(self, worker_id: str = "") -> Claim:
        """Give the next task to a worker, made if need be."""
        if not worker_id:
            made = await self.call("worker.spawn", agent="scripted")
            worker_id = made["workers"][0]["worker"]["id"]
        token = f"token-{self.sur.rng.getrandbits(64):x}"
        claim = await self.store.write(claim_for_worker, worker_id, token, rng=self.sur.rng)
        assert claim is not None, "there is nothing to claim"
        return claim

    async def sql(self, statement: str, *values: Any) -> list[Any]:
        """Reach into the database."""
        return await self.store.write(lambda conn: conn.rows(statement, values))

    @asynccontextmanager
    async def open_line(self, caller: Caller = OPERATOR) -> AsyncIterator[Line]:
        """A raw connection, for streams."""
        self.caller = caller
        stream = await trio.open_unix_socket(str(self.paths.socket))
        async with stream:
            yield Line(stream)


def attempt_caller(attempt_id: str) -> Caller:
    """The caller that an attempt's agent is."""
    return Caller(CallerKind.ATTEMPT, f"it runs below the shim of attempt {attempt_id}", attempt_id)


class Line:
    """One connection, read line by line. `buffer_size`: nothing is read ahead of the test."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._data = b""
        self._number = 0
        self.notifications: list[Any] = []

    async def request(self, method: str, **params: Any) -> Any:
        """The answer; notifications that come before it are kept."""
        self._number += 1
        document = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        await self.stream.send_all(json.dumps(document).encode() + b"\n")
        while True:
            message = await self._receive()
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                return message["result"]
            self.notifications.append(message)

    async def notification(self) -> Any:
        """The next notification."""
        if self.notifications:
            return self.notifications.pop(0)
        return await self._receive()

    async def item(self) -> Any:
        """The next item of the only stream. Fails when that is over."""
        message = await self.notification()
        assert "item" in message["params"], message
        return message["params"]["item"]

    async def items_to_end(self) -> list[Any]:
        """Every item until the stream ends in good order."""
        items: list[Any] = []
        while True:
            message = await self.notification()
            if message["method"] == "rpc.ended":
                assert message["params"]["error"] is None, message
                return items
            items.append(message["params"]["item"])

    async def _receive(self) -> Any:
        with trio.fail_after(20):
            while b"\n" not in self._data:
                more = await self.stream.receive_some(65536)
                assert more, "the server hung up"
                self._data += more
        line, _, self._data = self._data.partition(b"\n")
        return json.loads(line)


@asynccontextmanager
async def open_table(tmp_path: Path, settings: Settings | None = None) -> AsyncIterator[Table]:
    """The server in this process, until the block is left."""
    state = tmp_path / "state"
    state.mkdir(exist_ok=True)
    paths = Paths(name="test", state=state, socket=state / "s", config=state / "config.toml")
    bus: Bus[Event] = Bus()
    clock = Clock()
    async with (
        open_store(paths.database, on_commit=bus.publish, reserve_bytes=4096, clock=clock) as store,
        open_watcher() as watcher,
        open_feed(
            store=store,
            bus=bus,
            paths=paths,
            settings=lambda: sur.settings,
            watcher=watcher,
            instance_id="instance-1",
            generation=lambda: 1,
        ) as feed,
        trio.open_nursery() as nursery,
    ):
        sur = Surroundings(
            store=store,
            bus=bus,
            paths=paths,
            settings=settings or Settings(limits=LimitSettings(max_attempts=3)),
            instance_id="instance-1",
            rng=random.Random(5),
            now=clock,
        )
        table = Table(store, bus, paths, sur, clock, tmp_path, feed)

        async def keep() -> KeepResult:
            await trio.lowlevel.checkpoint()
            table.keeps += 1
            return KeepResult(keeper_pid=42, was_kept=table.keeps > 1)

        services = Services(
            sur=sur,
            watcher=watcher,
            projects=Projects(sur),
            started_at=clock(),
            request_stop=table.stops.append,
            keep=keep,
            reload=table.reload,
            meter=Meter(clock),
            feed=feed,
            health=lambda: Health(state="ok", words="", pid=own_identity().pid, started_at=1.0, is_kept=False),
        )
        server = Server(METHODS, services, lambda peer: table.caller)
        with open_listener(paths.socket) as listener:
            # The nursery is cancelled at the end of this block: nothing uses the listener after it.
            await nursery.start(server.serve, listener)  # noqa: ASYNC111
            try:
                yield table
            finally:
                for client in table.clients.values():
                    client.close()
                nursery.cancel_scope.cancel()
