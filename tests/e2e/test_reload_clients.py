"""Clients, agents and leases over five reloads: nobody is refused, hung up on, or told anything twice."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.fakes.house import make_repository
from tests.fakes.own_source import OwnSource
from tests.fakes.reload_storm import WORK, ReloadStorm, open_storm
from tests.fakes.steady_clients import Clients, Wire

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

UPKEEP = "ringmaster/workers/upkeep.py"
STUCK = '''

_run_upkeep = run_upkeep


async def run_upkeep(sur: Surroundings) -> None:
    """Upkeep beside a call of a thread that never comes back."""
    import threading

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run_upkeep, sur)
        if (sur.paths.state / "stuck").exists():
            await trio.to_thread.run_sync(threading.Event().wait)
'''
LEASE_S = 3.0


@pytest.fixture(scope="module")
def storm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[OwnSource, list[str], Path]]:
    with open_storm(tmp_path_factory.mktemp("storm"), agents=3, probation_s=0.2) as opened:
        yield opened


def test_no_client_agent_or_follower_notices_a_reload(storm: tuple[OwnSource, list[str], Path]) -> None:
    seen = ReloadStorm(reloads=3, clients=16, agents=3).run_on(*storm)
    print(seen)
    assert (seen.reloads, seen.failures) == (3, ())


def test_a_switch_waits_for_what_takes_long_not_for_what_does_not_close_and_a_lease_goes_on_over_both(
    storm: tuple[OwnSource, list[str], Path], tmp_path: Path
) -> None:
    own, daemon = storm[0], storm[0].daemon
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for name, setup in (("quick", []), ("slow", [f"cat {pipe}"])):
        config = {"gate": "true", "setup": setup}
        daemon.call("project.add", path=str(make_repository(tmp_path / name)), id=name, config=config)
        daemon.call("worker.spawn", id=name, agent="hand", project_id=name)
        daemon.call("task.add", title="By hand", project_id=name, is_diff_needed=False)
    clients = Clients(daemon.socket, WORK, "long")
    with Wire(daemon.socket) as wire, Wire(daemon.socket) as slow, Wire(daemon.socket) as beating:
        pulled = wire.call("attempt.pull", worker="quick", lease_s=LEASE_S)
        names = {"attempt_id": pulled["attempt"], "token": pulled["token"]}
        number, frame = slow.frame("attempt.pull", worker="slow")
        slow.send(frame)
        setup_end = os.open(pipe, os.O_WRONLY)
        with keep_alive(beating, names) as beats:
            clients.start(8)
            before, cursor = own.generation, own.cursor
            (daemon.state / "stuck").touch()
            own.commit(own.append(UPKEEP, STUCK))
            daemon.wait_for(lambda event: event["type"] == "generation.tried", cursor)
            while not any("waits for attempt.pull" in line for line in list(daemon.log)):
                assert wire.call("daemon.version")["generation"] == before
            for _ in range(20):
                assert wire.call("daemon.version")["generation"] == before
            os.close(setup_end)
            settled = own.wait_settled(cursor)
            assert (settled["type"], wire.call("daemon.version")["generation"]) == ("generation.good", before + 1)
            assert slow.take(number)["token"]
        clients.end()
        assert clients.failures == []
    assert take_away_what_is_stuck(own) == ("generation.good", [])
    assert any("not everything closed" in line for line in daemon.log)
    ended = daemon.wait_for(
        lambda event: event["type"] == "attempt.ended" and event["attempt_id"] == pulled["attempt"], cursor
    )
    # A start gives a lease a minute, for nobody can have been heard before it; a switch is no start.
    assert ended["data"]["outcome"] == "interrupted"
    assert LEASE_S - 0.5 <= ended["at"] - beats[-1] < 30.0


def take_away_what_is_stuck(own: OwnSource) -> tuple[str, list[str]]:
    """Reload from an image that does not close to one without that: what became of it, and what its clients met."""
    assert (own.daemon.state / "stuck").exists()
    (own.daemon.state / "stuck").unlink()
    clients = Clients(own.daemon.socket, WORK, "stuck")
    clients.start(8)
    text = (own.repository / UPKEEP).read_text().removesuffix(STUCK)
    settled = own.take({UPKEEP: text})
    clients.end()
    return settled["type"], clients.failures


@contextmanager
def keep_alive(wire: Wire, names: dict[str, str]) -> Iterator[list[float]]:
    """Heartbeats while this lasts, and when each was answered."""
    beats: list[float] = []
    is_over = threading.Event()

    def beat() -> None:
        while not is_over.wait(0.3):
            wire.call("attempt.heartbeat", **names)
            beats.append(time.time())

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield beats
    finally:
        is_over.set()
        thread.join()
