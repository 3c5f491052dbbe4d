"""What is waited for before clients are, what a switch is called off by, and how long closing may take."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from ringmaster.daemon import exchange
from ringmaster.daemon.exchange import CLOSING_LIMIT_S, LONG_CALL_S, PARTING_S, Exchange
from ringmaster.daemon.handoff import settings_of
from ringmaster.protocol.measure import Measured
from ringmaster.reload.boot_record import Image
from ringmaster.reload.wish import STOPPING, Wish
from ringmaster.settings import DaemonSettings, Settings

WISH = Wish(Image(generation=2, release="r", digest="d", python="p"), is_trial=True, words="on trial")


class Serving:
    """A server with one mutation that lasts from one moment to another. said: what was asked of it, and when."""

    def __init__(self, begins_at: float = math.inf, ends_at: float = math.inf) -> None:
        self.said: list[tuple[str, float]] = []
        self._begins_at = begins_at
        self._ends_at = ends_at

    def _say(self, word: str) -> None:
        self.said.append((word, trio.current_time()))

    def _is_there(self) -> bool:
        return self._begins_at <= trio.current_time() < self._ends_at

    def lasting(self, than_s: float) -> tuple[str, ...]:
        return ("project.add",) if self._is_there() and trio.current_time() - self._begins_at >= than_s else ()

    def unsettled(self) -> tuple[str, ...]:
        return ("project.add",) if self._is_there() else ()

    async def wait_lasting(self, than_s: float) -> None:
        if self.lasting(than_s):
            self._say("wait")
            await trio.sleep_until(self._ends_at)

    async def wait_settled(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._is_there():
            await trio.sleep_until(self._ends_at)

    def quiesce(self) -> None:
        self._say("quiesce")

    def resume(self) -> None:
        self._say("resume")

    def hand_over(self) -> tuple[()]:
        self._say("hand_over")
        return ()


class Door:
    """A page whose clients take their time to part."""

    def __init__(self, server: Serving, part_s: float) -> None:
        self._server = server
        self._part_s = part_s

    async def part(self) -> None:
        self._server._say("part")
        await trio.sleep(self._part_s)

    def resume(self) -> None:
        self._server._say("accept")

    def hand_over(self) -> int:
        return -1


class Leaving:
    """What an exchange needs of a daemon. executed: when an image was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, server: Serving) -> None:
        self.executed: list[float] = []
        self.is_held = False
        self.life = SimpleNamespace(switch=None, stop=trio.Event(), leave_for=self._leave_for)
        signals = SimpleNamespace(hold=self._hold, let_go=self._let_go, is_stop_noted=False)
        boot = SimpleNamespace(handle=SimpleNamespace(generation=1), signals=signals)
        self.sur = sur = SimpleNamespace(settings=Settings(), store=None, paths=SimpleNamespace(socket=None))
        meter: Any = SimpleNamespace(snapshot=Measured)
        given: dict[str, Any] = {"boot": boot, "life": self.life, "keeping": SimpleNamespace(keeper=None), "sur": sur}
        self.exchange = Exchange(**given, meter=meter)
        self.exchange.server = server  # type: ignore[assignment]
        monkeypatch.setattr(exchange, "take_measure", self._measure)
        monkeypatch.setattr(exchange, "execute", self._execute)

    def _hold(self) -> None:
        self.is_held = True

    def _let_go(self) -> None:
        self.is_held = False

    def _leave_for(self, switch: object) -> None:
        self.life.switch = switch

    async def _measure(self, *args: object) -> Measured:
        await trio.lowlevel.checkpoint()
        return Measured()

    def _execute(self, boot: object, switch: object) -> str:
        assert switch is self.life.switch
        self.executed.append(trio.current_time())
        return "it cannot be executed in a test"

    async def switch_for(self, seconds: float) -> str:
        """Why it was called off, '' when it had not come back by then, as after a handover."""
        with trio.move_on_after(seconds):
            return await self.exchange.switch(WISH)
        return ""


async def test_a_long_mutation_is_waited_for_before_anybody_else_is_held_back(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    server = Serving(begins_at=-10.0, ends_at=100.0)
    assert await Leaving(monkeypatch, server).switch_for(101.0) == ""
    assert [word for word, _ in server.said] == ["wait", "quiesce", "hand_over"]
    assert server.said[1][1] == pytest.approx(100.0)


async def test_the_next_image_is_told_which_settings_hold_and_why_it_runs(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    leaving = Leaving(monkeypatch, Serving())
    leaving.sur.settings = Settings(daemon=DaemonSettings(drain_s=3.0))
    assert await leaving.switch_for(1.0) == ""
    switch = leaving.life.switch
    assert (settings_of(switch.document), switch.document.words) == (leaving.sur.settings, WISH.words)
    assert (switch.image, switch.is_trial, switch.guard_s) == (WISH.image, True, leaving.sur.settings.own.guard_s)


async def test_one_that_has_just_begun_holds_the_others_back_once(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    server = Serving(begins_at=0.0, ends_at=100.0)
    assert await Leaving(monkeypatch, server).switch_for(101.0) == ""
    assert [word for word, _ in server.said] == ["quiesce", "resume", "wait", "quiesce", "hand_over"]
    assert server.said[1][1] == pytest.approx(Settings().own.quiesce_s)


async def test_one_that_does_not_end_calls_the_switch_off_and_is_named(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    server = Serving(begins_at=-10.0)
    assert await Leaving(monkeypatch, server).switch_for(math.inf) == "project.add did not end"
    assert [word for word, _ in server.said] == ["wait"]
    assert trio.current_time() == pytest.approx(LONG_CALL_S)


@pytest.mark.parametrize("part_s", [0.1, math.inf])
async def test_the_pages_clients_part_before_anybody_waits_and_come_again_when_it_is_called_off(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock, part_s: float
) -> None:
    server = Serving(begins_at=0.0, ends_at=100.0)
    leaving = Leaving(monkeypatch, server)
    leaving.exchange.listening = Door(server, part_s)  # type: ignore[assignment]
    assert await leaving.switch_for(101.0) == ""
    assert [word for word, _ in server.said] == [
        *("part", "quiesce", "resume", "accept", "wait"),
        *("part", "quiesce", "hand_over"),
    ]
    parted_s = min(part_s, PARTING_S)
    assert server.said[1][1] == pytest.approx(parted_s)
    assert server.said[-1][1] - server.said[-2][1] == pytest.approx(0.0, abs=0.01)


async def test_a_switch_that_is_given_up_while_they_part_leaves_the_page_open(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    server = Serving()
    leaving = Leaving(monkeypatch, server)
    leaving.exchange.listening = Door(server, math.inf)  # type: ignore[assignment]
    assert await leaving.switch_for(PARTING_S / 2) == ""
    assert server.said[-1][0] == "accept"


async def test_a_daemon_that_stops_is_not_left_for_another_image(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    server = Serving()
    leaving = Leaving(monkeypatch, server)
    leaving.life.stop.set()
    assert await leaving.switch_for(math.inf) == STOPPING
    assert [word for word, _ in server.said] == ["quiesce", "resume"]
    assert not leaving.is_held


@pytest.mark.parametrize(("is_stopping", "executed"), [(False, [CLOSING_LIMIT_S]), (True, [])])
async def test_what_takes_too_long_to_close_is_cut_short(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock, is_stopping: bool, executed: list[float]
) -> None:
    leaving = Leaving(monkeypatch, Serving())
    assert await leaving.switch_for(1.0) == ""
    assert leaving.executed == []
    if is_stopping:
        leaving.life.stop.set()
    await trio.sleep(2 * CLOSING_LIMIT_S)
    assert leaving.executed == pytest.approx(executed)
