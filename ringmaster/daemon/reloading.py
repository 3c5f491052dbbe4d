"""Reading the settings again while the daemon runs: what holds from now on, and what takes a restart."""

from __future__ import annotations

import logging
import os

import msgspec
import trio

from ringmaster.daemon.boot import Boot
from ringmaster.model.errors import RingmasterError
from ringmaster.settings import AT_START_ALONE, Settings, load_settings, taken_over
from ringmaster.workers.conversation import find_payers
from ringmaster.workers.supervisor import Supervisor
from ringmaster.workers.surroundings import Surroundings

log = logging.getLogger("ringmaster.settings")


async def reload_settings(boot: Boot, sur: Surroundings, supervisor: Supervisor) -> None:
    """Read the file again and take over what can change; a bad file changes nothing and is named in the log.

    Attempts at work keep the limits they were started with. systemd hears that it begins and that it is over.
    """
    boot.notifier.reloading()
    try:
        found = await trio.to_thread.run_sync(load_settings, sur.paths.config)
    except RingmasterError as error:
        hint = f" ({error.hint})" if error.hint else ""
        log.error("the settings stay as they are: %s%s", error.message, hint)  # noqa: TRY400 - foreseen, and in words
        boot.notifier.ready()
        boot.notifier.status(f"the settings stay as they are: {error.message}")
        return
    changed = changed_names(sur.settings, found)
    sur.settings = taken_over(found, sur.settings)
    sur.settings_read.set()
    logging.getLogger().setLevel(sur.settings.daemon.log_level.upper())
    payers = await trio.to_thread.run_sync(find_payers, sur.settings, os.environ)
    sur.payers.clear()
    sur.payers.update(payers)
    supervisor.wake()
    log.info("settings read again from %s: %s", sur.paths.config, told(changed))
    boot.notifier.ready()


def changed_names(before: Settings, after: Settings) -> tuple[str, ...]:
    """The settings that differ, as `section.name`; an agent is one."""
    old, new = (
        {
            f"{section}.{name}": value
            for section, table in (
                ("daemon", msgspec.structs.asdict(settings.daemon)),
                ("limits", msgspec.structs.asdict(settings.limits)),
                ("self", msgspec.structs.asdict(settings.own)),
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
