"""A daemon has one keeper, however many people ask for one at once."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from ringmaster.daemon.boot import Boot
from ringmaster.daemon.keeping import Keeping
from ringmaster.proc.identity import ProcessIdentity, own_identity
from ringmaster.settings import Paths, Settings


async def test_two_who_ask_at_once_get_the_same_keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    async def start(*args: Any) -> ProcessIdentity:
        started.append(args)
        await trio.testing.wait_all_tasks_blocked()
        return own_identity()

    monkeypatch.setattr("ringmaster.daemon.keeping.start_adopting_keeper", start)
    paths = Paths(name="test", state=tmp_path, socket=tmp_path / "s.sock", config=tmp_path / "config.toml")
    with socket.socket(socket.AF_UNIX) as listener:
        keeping = Keeping(Boot(paths, Settings(), 0, listener, None, ("ringmasterd",), ()))
        was_kept: list[bool] = []

        async def ask() -> None:
            was_kept.append((await keeping.keep()).was_kept)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
    assert sorted(was_kept) == [False, True]
    assert len(started) == 1
