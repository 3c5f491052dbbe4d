"""Reading the settings again while the daemon runs: what holds from now on, and what takes a restart."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable

import msgspec
import trio

from ringmaster.bus import Wakeup
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.stream_settings import StreamSettings
from ringmaster.reload.watched import Watched
from ringmaster.reload.watcher import run_watcher
from ringmaster.settings import AT_START_ALONE, Settings, load_settings, taken_over
from ringmaster.store.connection import Connection
from ringmaster.systemd.notify import Notifier
from ringmaster.workers.conversation import find_payers
from ringmaster.workers.supervisor import Supervisor
from ringmaster.workers.surroundings import Surroundings

log = logging.getLogger("ringmaster.settings")


class SettingsReader:
    """Reads the settings again, on a person's word or when their file changes; the last good ones stay in force.

    is_stopping: nothing is read any more then, since systemd takes a word about a reload after STOPPING for the end
    of stopping. on_stream: has the page served where they say.
    """

    def __init__(
        self,
        sur: Surroundings,
        supervisor: Supervisor,
        notifier: Notifier,
        is_stopping: Callable[[], bool],
        on_stream: Callable[[StreamSettings], Awaitable[None]],
    ) -> None:
        self._notifier = notifier
        self._sur = sur
        self._supervisor = supervisor
        self._is_stopping = is_stopping
        self._on_stream = on_stream
        self._seen = sur.settings
        self._had_file = sur.paths.config.exists()
        self._refused = ""
        self._turn = trio.Lock()

    async def read(self, *, is_asked: bool) -> None:
        """Take over what can change; a bad file changes nothing and is named in the log and in an event.

        is_asked: by a person, who hears of it in any case, and who means a file that is gone or empty; without, what
        differs in nothing from what was last read says nothing. Attempts at work keep the limits they were started
        with. systemd hears that it begins and that it is over.
        """
        async with self._turn:
            if self._is_stopping():
                return
            try:
                found = await trio.to_thread.run_sync(self._load, is_asked)
            except RingmasterError as error:
                if is_asked or error.message != self._refused:
                    await self._refuse(error)
                return
            if is_asked or self._refused or found != self._seen:
                await self._take_over(found, since=self._sur.settings if is_asked else self._seen)

    def _load(self, is_asked: bool) -> Settings:
        """Blocking. Raises RingmasterError: USAGE for a bad file, and for one that is gone or empty when unasked."""
        config = self._sur.paths.config
        found = load_settings(config)
        try:
            has_file, is_empty = True, config.stat().st_size == 0
        except FileNotFoundError:
            has_file = is_empty = False
        if not is_asked and self._had_file and (is_empty or not has_file):
            # Between two steps of whoever replaces it, it looks as if all defaults were wanted.
            what = "empty" if has_file else "gone"
            raise RingmasterError(ErrorKind.USAGE, f"{config} is {what}", "for the defaults: send a SIGHUP or restart")
        self._had_file = has_file
        return found

    async def _refuse(self, error: RingmasterError) -> None:
        self._refused = error.message
        self._notifier.reloading()
        hint = f" ({error.hint})" if error.hint else ""
        log.error("the settings stay as they are: %s%s", error.message, hint)
        await self._emit("settings.refused", {"words": f"{error.message}{hint}"})
        self._notifier.ready()
        self._notifier.status(f"the settings stay as they are: {error.message}")

    async def _take_over(self, found: Settings, *, since: Settings) -> None:
        sur = self._sur
        self._notifier.reloading()
        changed = changed_names(since, found)
        is_mended = bool(self._refused)
        self._seen, self._refused = found, ""
        sur.settings = taken_over(found, sur.settings)
        sur.settings_read.set()
        logging.getLogger().setLevel(sur.settings.daemon.log_level.upper())
        payers = await trio.to_thread.run_sync(find_payers, sur.settings, os.environ)
        sur.payers.clear()
        sur.payers.update(payers)
        self._supervisor.wake()
        log.info("settings read again from %s: %s", sur.paths.config, told(changed))
        await self._on_stream(sur.settings.stream)
        if changed or is_mended:
            await self._emit("settings.reloaded", {"changed": list(changed)})
        self._notifier.ready()

    async def _emit(self, type: str, data: dict[str, object]) -> None:
        def emit(conn: Connection) -> None:
            conn.emit(type, data=data)

        try:
            await self._sur.store.write(emit)
        except RingmasterError as error:
            # A full disk: the settings hold all the same, and the log has said so.
            log.warning("there is no event of it: %s", error.message)


async def run_settings_watch(reader: SettingsReader, sur: Surroundings) -> None:
    """Read the settings again whenever their file changes, however it is written. Runs until cancelled."""
    hinted = Wakeup()
    # A debounce that is set anew holds from the next event on; nobody waits for it.
    config = (Watched(kind="file", path=sur.paths.config),)
    async with trio.open_nursery() as nursery:

        async def watch() -> None:
            await run_watcher(lambda: config, hinted.set, own=lambda: sur.settings.own, wake=Wakeup())

        nursery.start_soon(watch)
        while True:
            await hinted.wait()
            await reader.read(is_asked=False)


def changed_names(before: Settings, after: Settings) -> tuple[str, ...]:
    """The settings that differ, as `section.name`; an agent is one."""
    old, new = (
        {
            f"{section}.{name}": value
            for section, table in (
                ("daemon", msgspec.structs.asdict(settings.daemon)),
                ("limits", msgspec.structs.asdict(settings.limits)),
                ("room", msgspec.structs.asdict(settings.room)),
                ("self", msgspec.structs.asdict(settings.own)),
                ("order", msgspec.structs.asdict(settings.order)),
                ("stream", msgspec.structs.asdict(settings.stream)),
                ("agents", settings.agents),
            )
            for name, value in table.items()
        }
        for settings in (before, after)
    )
    return tuple(sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name)))


def told(changed: tuple[str, ...]) -> str:
    """Which of them hold now and which do not yet, in words."""
    live = [name for name in changed if name not in AT_START_ALONE]
    late = [name for name in changed if name in AT_START_ALONE]
    parts = []
    if live:
        parts.append(f"from now on {', '.join(live)}")
    if late:
        parts.append(f"only after a restart {', '.join(late)}")
    return "; ".join(parts) or "nothing has changed"
