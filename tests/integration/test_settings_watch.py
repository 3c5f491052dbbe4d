"""The settings file is followed while the daemon runs: what it takes over, what it refuses, and what it says."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

from ringmaster.daemon.reloading import SettingsReader, run_settings_watch
from ringmaster.model.stream_settings import StreamSettings
from ringmaster.settings import OwnSettings, Settings
from ringmaster.store.events import events_after
from ringmaster.systemd.notify import Notifier
from tests.fakes.house import House, open_house

OWN = "[self]\ndebounce_s = 0.02\n"


@dataclass
class Following:
    """The reader that follows a file, and what came of it."""

    house: House
    reader: SettingsReader
    config: Path
    places: list[StreamSettings]
    is_stopping: bool = False

    async def told(self, type: str, nth: int = 1) -> dict[str, Any]:
        """What the nth event of a type says."""
        event = await self.house.wait_for_type(type, nth=nth)
        found: dict[str, Any] = json.loads(bytes(event.data))
        return found

    async def all_told(self) -> list[tuple[str, Any]]:
        """Every event about settings, with what it says."""
        events = await self.house.store.read(events_after, 0, 1000)
        return [
            (event.type.partition(".")[2], next(iter(json.loads(bytes(event.data)).values())))
            for event in events
            if event.type.startswith("settings.")
        ]


@asynccontextmanager
async def open_following(tmp_path: Path, text: str | None = OWN) -> AsyncIterator[Following]:
    """A daemon's settings under watch, begun with a file that says `text`."""
    async with open_house(tmp_path) as house:
        config = house.paths.config
        house.sur.settings = Settings(own=OwnSettings(debounce_s=0.02))
        if text is not None:
            config.write_text(text)
        places: list[StreamSettings] = []

        async def on_stream(settings: StreamSettings) -> None:
            await trio.lowlevel.checkpoint()
            places.append(settings)

        reader = SettingsReader(house.sur, house.supervisor, Notifier(), lambda: following.is_stopping, on_stream)
        following = Following(house, reader, config, places)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_settings_watch, reader, house.sur)
            yield following
            nursery.cancel_scope.cancel()


@pytest.fixture(autouse=True)
def log_level() -> Any:
    """The settings' level is the process's: put it back."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


async def test_a_change_is_taken_over_however_it_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with open_following(tmp_path) as following:
        following.config.write_text(f"{OWN}[limits]\nwall_s = 5\n")
        assert await following.told("settings.reloaded") == {"changed": ["limits.wall_s"]}
        assert following.house.sur.settings.limits.wall_s == 5.0
        new = tmp_path / "new.toml"
        new.write_text(f"{OWN}[limits]\nwall_s = 5\n[daemon]\nreserve_bytes = 9000\n[agents.a]\nargv = ['a']\n")
        new.rename(following.config)
        told = await following.told("settings.reloaded", 2)
        assert told == {"changed": ["agents.a", "daemon.reserve_bytes"]}
        assert "from now on agents.a; only after a restart daemon.reserve_bytes" in caplog.text
        # What only a start takes over is told once, not with every change after it.
        following.config.write_text(f"{OWN}[daemon]\nreserve_bytes = 9000\n[agents.a]\nargv = ['b']\n")
        assert (await following.told("settings.reloaded", 3))["changed"] == ["agents.a", "limits.wall_s"]


async def test_where_the_page_is_served_holds_from_now_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with open_following(tmp_path) as following:
        following.config.write_text(f"{OWN}[stream]\nport = 4711\nnames = ['a.test']\n")
        assert await following.told("settings.reloaded") == {"changed": ["stream.names", "stream.port"]}
        assert following.places == [StreamSettings(port=4711, names=("a.test",))]
        assert following.house.sur.settings.stream == following.places[0]
        assert "from now on stream.names, stream.port" in caplog.text
        # Asked by a person it is tried again where it could not listen.
        await following.reader.read(is_asked=True)
        assert len(following.places) == 2
        following.config.write_text(f"{OWN}[stream]\nlisten = '127.1'\n")
        assert "127.1" in (await following.told("settings.refused"))["words"]


async def test_what_differs_in_nothing_says_nothing(tmp_path: Path) -> None:
    async with open_following(tmp_path) as following:
        following.config.write_text(f"# a comment\n{OWN}")
        following.config.touch()
        await following.reader.read(is_asked=False)
        assert await following.all_told() == []
        following.config.write_text(f"{OWN}[limits]\nwall_s = 6\n")
        await following.told("settings.reloaded")
        assert len(await following.all_told()) == 1


async def test_half_a_file_is_refused_and_the_last_good_one_holds(tmp_path: Path) -> None:
    async with open_following(tmp_path, f"{OWN}[limits]\nwall_s = 5\n") as following:
        await following.told("settings.reloaded")
        following.config.write_text(f"{OWN}[limits]\nwall_s = ")
        refused = await following.told("settings.refused")
        assert "rmctl config check" in refused["words"]
        assert following.house.sur.settings.limits.wall_s == 5.0
        await following.reader.read(is_asked=False)
        assert len(await following.all_told()) == 2, "the same refusal is said once"
        following.config.write_text(f"{OWN}[limits]\nwall_s = 7\n")
        assert await following.told("settings.reloaded", 2) == {"changed": ["limits.wall_s"]}


async def test_a_file_that_is_mended_to_what_holds_is_said_to_be_sound(tmp_path: Path) -> None:
    async with open_following(tmp_path) as following:
        following.config.write_text("= nonsense\n")
        await following.told("settings.refused")
        following.config.write_text(OWN)
        assert await following.told("settings.reloaded") == {"changed": []}


@pytest.mark.parametrize("how", ["gone", "empty"])
async def test_a_file_that_is_gone_or_empty_means_the_defaults_only_when_a_person_says_so(
    tmp_path: Path, how: str
) -> None:
    async with open_following(tmp_path, f"{OWN}[limits]\nwall_s = 5\n") as following:
        await following.told("settings.reloaded")
        if how == "gone":
            following.config.unlink()
        else:
            following.config.write_text("")
        refused = await following.told("settings.refused")
        assert f"config.toml is {how}" in refused["words"]
        assert following.house.sur.settings.limits.wall_s == 5.0
        await following.reader.read(is_asked=True)
        assert following.house.sur.settings == Settings()


async def test_a_file_that_was_never_there_is_followed_from_its_coming(tmp_path: Path) -> None:
    async with open_following(tmp_path, None) as following:
        following.config.write_text("[limits]\nwall_s = 5\n")
        assert "limits.wall_s" in (await following.told("settings.reloaded"))["changed"]


async def test_nothing_is_read_while_stopping(tmp_path: Path) -> None:
    async with open_following(tmp_path) as following:
        following.is_stopping = True
        following.config.write_text("= nonsense\n")
        await following.reader.read(is_asked=True)
        assert await following.all_told() == []
