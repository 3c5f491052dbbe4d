"""The daemon's life as one nursery tree. What is opened last closes first."""

from __future__ import annotations

import functools
import logging
import random
import time
from collections.abc import Callable

import trio

from ringmaster import __version__
from ringmaster.bus import Bus
from ringmaster.daemon.announcing import run_status, run_watchdog
from ringmaster.daemon.boot import Boot
from ringmaster.daemon.keeping import Keeping
from ringmaster.daemon.reloading import SettingsReader, run_settings_watch
from ringmaster.daemon.signals import run_signals
from ringmaster.model.event import Event
from ringmaster.proc.identity import own_identity
from ringmaster.proc.inotify import open_watcher
from ringmaster.proc.reaper import run_reaper
from ringmaster.protocol.daemon import Health
from ringmaster.rpc.methods import METHODS
from ringmaster.rpc.rights import Identification
from ringmaster.rpc.server import Server
from ringmaster.rpc.services import Services
from ringmaster.store.instance import ensure_instance_id
from ringmaster.store.thread import ThreadStore, open_store
from ringmaster.workers.projects import Projects
from ringmaster.workers.supervisor import Supervisor
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workers.upkeep import run_upkeep

log = logging.getLogger("ringmaster.daemon")
DISK_PROBE_S = 5.0
ABORT_LIMIT_S = 30.0


class Life:
    """When the daemon ends and what it says of its health; shared by the signals, the RPC and the end."""

    def __init__(self, boot: Boot, keeping: Keeping) -> None:
        self.started_at = time.time()
        self.stop = trio.Event()
        self.mode = "drain"
        self._again = trio.Event()
        self._reload = trio.Event()
        self._boot = boot
        self._keeping = keeping
        self._store: ThreadStore | None = None

    def uses(self, store: ThreadStore) -> None:
        """The store whose state is part of the health."""
        self._store = store

    def request_stop(self, mode: str) -> None:
        """Ask for the end; a second request no longer waits for clients to read their answers."""
        if self.stop.is_set():
            self._again.set()
        if mode == "abort":
            self.mode = mode
        self.stop.set()

    def request_reload(self) -> None:
        """Ask for the settings to be read again; requests that come meanwhile are one."""
        self._reload.set()

    async def wait_reload(self) -> None:
        """Until the next request to read the settings again."""
        await self._reload.wait()
        self._reload = trio.Event()

    async def wait_impatient(self) -> None:
        """Until a second request came."""
        await self._again.wait()

    def health(self) -> Health:
        """How the daemon is, in a word and in a sentence."""
        state, words = "ok", "running"
        if self.stop.is_set():
            state, words = "stopping", "it stops; agents go on and are adopted by the next daemon"
        elif self._store is not None and self._store.is_degraded:
            state, words = "degraded", "the disk is full: reads go on, nothing is accepted or dispatched; make room"
        elif self._boot.paths.estop.exists():
            state, words = "estop", "ESTOP is there: nothing starts before rmctl estop --clear"
        identity, unit = own_identity(), self._boot.unit
        return Health(
            state=state,
            words=words,
            pid=identity.pid,
            started_at=self.started_at,
            is_kept=self._keeping.is_kept,
            unit=unit.name if unit is not None else "",
            is_user_unit=unit is not None and unit.is_user,
        )


async def run_daemon(boot: Boot) -> None:
    """Run until a stop is requested. Starting is recovering: what lives is adopted before new work is given out.

    Raises what broke: the process then ends and its keeper starts it again.
    """
    keeping = Keeping(boot)
    life = Life(boot, keeping)
    bus: Bus[Event] = Bus()
    wake: list[Callable[[], None]] = []

    def on_degraded(is_degraded: bool) -> None:
        log.warning("the disk is full" if is_degraded else "the disk has room again")
        if not is_degraded:
            for call in wake:
                call()

    async with trio.open_nursery() as outer:
        # From the first moment: a stop that comes while the database is being migrated is not lost.
        await outer.start(run_signals, life.request_stop, life.request_reload)
        outer.start_soon(run_watchdog, boot.notifier)
        async with open_store(
            boot.paths.database,
            on_commit=bus.publish,
            on_degraded=on_degraded,
            on_progress=functools.partial(_tell_progress, boot),
            reserve_bytes=boot.settings.daemon.reserve_bytes,
        ) as store:
            life.uses(store)
            await _serve(boot, life, keeping, store, bus, wake)
        outer.cancel_scope.cancel()


def _tell_progress(boot: Boot, words: str) -> None:
    """On the store's thread: a step of a long start is in the log and in the status line."""
    log.info("%s", words)
    boot.notifier.status(f"starting: {words}")


async def _serve(
    boot: Boot,
    life: Life,
    keeping: Keeping,
    store: ThreadStore,
    bus: Bus[Event],
    wake: list[Callable[[], None]],
) -> None:
    rng = random.SystemRandom()
    instance_id = await store.write_essential(ensure_instance_id, f"{rng.getrandbits(64):016x}")
    sur = Surroundings(
        store=store,
        bus=bus,
        paths=boot.paths,
        settings=boot.settings,
        instance_id=instance_id,
        roots=lambda: (own_identity(), *keeping.keepers),
        rng=rng,
    )
    supervisor = Supervisor(sur)
    wake.append(supervisor.wake)
    identification = Identification(
        shims=supervisor.live_shims,
        daemon=own_identity(),
        keeper=lambda: keeping.keeper,
        attempt_of_nonce=supervisor.attempt_of_nonce,
    )
    async with open_watcher() as watcher, trio.open_nursery() as nursery:
        services = Services(
            sur=sur,
            watcher=watcher,
            projects=Projects(sur),
            started_at=life.started_at,
            request_stop=life.request_stop,
            keep=keeping.keep,
            health=life.health,
        )
        server = Server(METHODS, services, identification.identify)
        nursery.start_soon(run_reaper)
        nursery.start_soon(store.run_watch)
        nursery.start_soon(_run_disk_probe, store)
        await nursery.start(supervisor.run)
        nursery.start_soon(run_upkeep, sur)
        await nursery.start(server.serve, boot.listener)
        nursery.start_soon(run_status, boot.notifier, store, bus, life.health)
        boot.notifier.ready()
        reader = SettingsReader(sur, supervisor, boot.notifier, life.stop.is_set)
        nursery.start_soon(_run_reload, life, reader)
        nursery.start_soon(run_settings_watch, reader, sur)
        log.info("ringmasterd %s serves %s (state %s)", __version__, boot.paths.socket, boot.paths.name)
        await life.stop.wait()
        boot.notifier.stopping()
        boot.notifier.status(life.health().words)
        await _leave(sur.settings.daemon.drain_s, life, supervisor, server)
        nursery.cancel_scope.cancel()


async def _run_reload(life: Life, reader: SettingsReader) -> None:
    while True:
        await life.wait_reload()
        await reader.read(is_asked=True)


async def _leave(drain_s: float, life: Life, supervisor: Supervisor, server: Server) -> None:
    """Answer what was begun, for at most `drain_s`; with `abort`, end every attempt first."""
    log.info("stopping (%s)", life.mode)
    if life.mode == "abort":
        with trio.move_on_after(ABORT_LIMIT_S):
            await supervisor.abort()
    with trio.move_on_after(drain_s):
        async with trio.open_nursery() as nursery:

            async def give_up_early() -> None:
                await life.wait_impatient()
                nursery.cancel_scope.cancel()

            nursery.start_soon(give_up_early)
            await server.drain()
            nursery.cancel_scope.cancel()


async def _run_disk_probe(store: ThreadStore) -> None:
    """While the disk is full, look every few seconds whether there is room again: nothing else would say so."""
    while True:
        await trio.sleep(DISK_PROBE_S)
        if store.is_degraded:
            await store.probe_disk()
