"""The daemon's life as one nursery tree. What is opened last closes first."""

from __future__ import annotations

import functools
import logging
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from ringmaster import __version__
from ringmaster.bus import Bus
from ringmaster.daemon.announcing import run_status, run_watchdog
from ringmaster.daemon.boot import Boot
from ringmaster.daemon.exchange import Exchange
from ringmaster.daemon.keeping import Keeping
from ringmaster.daemon.life import Life
from ringmaster.daemon.listening import Listening, Parts
from ringmaster.daemon.observing import Observing
from ringmaster.daemon.peers import Peers
from ringmaster.daemon.reloading import SettingsReader, run_settings_watch
from ringmaster.daemon.signals import run_signals
from ringmaster.daemon.streaming import make_on_upgrade
from ringmaster.daemon.switching import Switch
from ringmaster.feed.feed import Feed, open_feed
from ringmaster.model.event import Event
from ringmaster.output.indexing import run_indexing
from ringmaster.proc.identity import own_identity
from ringmaster.proc.inotify import Watcher, open_watcher
from ringmaster.proc.reaper import run_reaper
from ringmaster.reload.candidates import Candidates
from ringmaster.reload.instance import Instance
from ringmaster.reload.meter import Meter
from ringmaster.reload.reloader import Reloader
from ringmaster.reload.reverting import Reverting
from ringmaster.rpc.handoff import HandedConnection, decode_handoff
from ringmaster.rpc.methods import METHODS
from ringmaster.rpc.rights import Identification
from ringmaster.rpc.server import Server
from ringmaster.rpc.services import Services
from ringmaster.store.instance import ensure_instance_id
from ringmaster.store.thread import ThreadStore, open_store
from ringmaster.workers.asking import run_asking
from ringmaster.workers.ordering import mend_order, run_ordering
from ringmaster.workers.projects import Projects
from ringmaster.workers.supervisor import Supervisor
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workers.upkeep import run_upkeep

log = logging.getLogger("ringmaster.daemon")
DISK_PROBE_S = 5.0
ABORT_LIMIT_S = 30.0
LAST_ANSWERS_S = 0.2
"""How long clients over HTTP may take their answers before another image takes this one's place."""
TRIAL_STARTS = 1
"""Attempts that a release may begin before it has proved itself."""


async def run_daemon(boot: Boot) -> Switch | None:
    """Run until a stop is requested, or another image is to be executed: that is returned, with signals blocked.

    Starting is recovering: what lives is adopted before new work is given out.
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
        await outer.start(run_signals, life.request_stop, life.request_reload, _note_stop_of(boot))
        # What came while one image took the other's place has waited; and children must not inherit the mask.
        boot.signals.let_go()
        # Nor is what came before there was a loop.
        if boot.signals.is_stop_noted:
            life.request_stop("drain")
        if boot.signals.is_reload_noted:
            boot.signals.is_reload_noted = False
            life.request_reload()
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
    return life.switch


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
    sur = await _make_surroundings(boot, keeping, store, bus)
    supervisor = Supervisor(sur, may_work := trio.Event())
    wake.append(supervisor.wake)
    identification = _make_identification(supervisor, keeping)
    async with (
        open_watcher() as watcher,
        _open_feed(boot, sur, watcher) as feed,
        trio.open_nursery() as nursery,
    ):
        meter = Meter(sur.now)
        exchange = Exchange(boot=boot, life=life, keeping=keeping, meter=meter, sur=sur)
        reverting = Reverting(_make_instance(sur), lock_of=sur.repository_lock)
        reloader = _make_reloader(boot, sur, supervisor, exchange, watcher, meter, reverting)
        observing = Observing(store=store, bus=bus, meter=meter, feed=feed, life=life, reloader=reloader)
        listening = exchange.listening = Listening(
            boot.paths,
            sur.settings.stream,
            _make_parts(observing, exchange, identification, feed, life),
            handed_fd=boot.document.door if boot.document is not None else -1,
        )
        services = _make_services(life, keeping, sur, watcher, reloader, meter, feed, listening)
        server = exchange.server = Server(METHODS, services, identification.identify, meter=meter)
        # Before anything is settled: what this image says of the one before is counted too.
        nursery.start_soon(observing.run)
        nursery.start_soon(run_reaper)
        nursery.start_soon(store.run_watch)
        nursery.start_soon(_run_disk_probe, store)
        await reloader.begin()
        await mend_order(sur)
        await nursery.start(supervisor.run)
        await nursery.start(server.serve, boot.listener, _take_handoff(boot))
        await nursery.start(listening.serve)
        may_work.set()
        _start_rounds(nursery, boot, life, sur)
        nursery.start_soon(reloader.run)
        if boot.handle is not None:
            # A candidate that is booted on a copy of the database leaves its projects' lanes alone.
            nursery.start_soon(reverting.run)
        boot.notifier.ready()
        reader = SettingsReader(sur, supervisor, boot.notifier, life.stop.is_set, listening.apply)
        nursery.start_soon(_run_reload, life, reader, reloader)
        nursery.start_soon(run_settings_watch, reader, sur)
        log.info("ringmasterd %s serves %s (state %s)", __version__, boot.paths.socket, boot.paths.name)
        await life.wait_end()
        await _say_goodbye(boot, life, reloader, supervisor, server, listening, sur.settings.daemon.drain_s)
        nursery.cancel_scope.cancel()


def _make_parts(
    observing: Observing, exchange: Exchange, identification: Identification, feed: Feed, life: Life
) -> Parts:
    return Parts(
        server=lambda: exchange.server,
        peers=Peers(identification),
        health=observing.health,
        metrics=observing.metrics,
        on_upgrade=make_on_upgrade(feed, life),
    )


def _make_identification(supervisor: Supervisor, keeping: Keeping) -> Identification:
    return Identification(
        shims=supervisor.live_shims,
        daemon=own_identity(),
        keeper=lambda: keeping.keeper,
        attempt_of_nonce=supervisor.attempt_of_nonce,
    )


def _make_services(
    life: Life,
    keeping: Keeping,
    sur: Surroundings,
    watcher: Watcher,
    reloader: Reloader,
    meter: Meter,
    feed: Feed,
    listening: Listening,
) -> Services:
    return Services(
        sur=sur,
        watcher=watcher,
        projects=Projects(sur),
        started_at=life.started_at,
        request_stop=life.request_stop,
        keep=keeping.keep,
        health=life.health,
        reload=reloader,
        meter=meter,
        feed=feed,
        make_link=listening.make_link,
        page=listening.facts,
    )


def _open_feed(boot: Boot, sur: Surroundings, watcher: Watcher) -> AbstractAsyncContextManager[Feed]:
    return open_feed(
        store=sur.store,
        bus=sur.bus,
        paths=sur.paths,
        settings=lambda: sur.settings,
        watcher=watcher,
        instance_id=sur.instance_id,
        generation=lambda: boot.handle.generation if boot.handle is not None else 0,
    )


def _start_rounds(nursery: trio.Nursery, boot: Boot, life: Life, sur: Surroundings) -> None:
    """What the daemon sees to by itself besides the work on tasks."""
    nursery.start_soon(run_upkeep, sur)
    nursery.start_soon(run_ordering, sur)
    nursery.start_soon(run_asking, sur)
    nursery.start_soon(run_indexing, sur.store, sur.bus, sur.paths, lambda: sur.settings)
    nursery.start_soon(run_status, boot.notifier, sur.store, sur.bus, life.health)


def _note_stop_of(boot: Boot) -> Callable[[], None]:
    """The stub's ear for a stop, which the stub of an older release lacks."""
    found: Callable[[], None] | None = getattr(boot.handle, "note_stop", None)
    return found or (lambda: None)


async def _make_surroundings(boot: Boot, keeping: Keeping, store: ThreadStore, bus: Bus[Event]) -> Surroundings:
    rng = random.SystemRandom()
    return Surroundings(
        store=store,
        bus=bus,
        paths=boot.paths,
        settings=boot.settings,
        instance_id=await store.write_essential(ensure_instance_id, f"{rng.getrandbits(64):016x}"),
        roots=lambda: (own_identity(), *keeping.keepers),
        is_continued=boot.is_continued,
        starts_left=TRIAL_STARTS if boot.is_trial else None,
        rng=rng,
    )


def _make_instance(sur: Surroundings) -> Instance:
    return Instance(
        store=sur.store,
        bus=sur.bus,
        paths=sur.paths,
        settings=lambda: sur.settings,
        id=sur.instance_id,
        roots=sur.roots,
        rng=sur.rng,
    )


def _make_reloader(
    boot: Boot,
    sur: Surroundings,
    supervisor: Supervisor,
    exchange: Exchange,
    watcher: Watcher,
    meter: Meter,
    reverting: Reverting,
) -> Reloader:
    instance = _make_instance(sur)
    return Reloader(
        instance,
        handle=boot.handle,
        candidates=Candidates(instance, watcher=watcher, package=package_of(boot.program)),
        before=boot.document.measures if boot.document is not None else None,
        refused=boot.document.refused if boot.document is not None else "",
        meter=meter,
        switch=exchange.switch,
        on_good=functools.partial(_lift_bound, sur, supervisor),
        unadopted=supervisor.unadopted,
        on_hint=reverting.wake,
    )


def _take_handoff(boot: Boot) -> tuple[HandedConnection, ...]:
    """The clients of the image before; from here on they are this one's, and are lost with it."""
    if boot.document is None:
        return ()
    handed: tuple[HandedConnection, ...] = ()
    try:
        handed = decode_handoff(boot.document.connections)
    except ValueError as error:
        if boot.is_trial:
            raise
        log.error("%s; the clients are hung up on", error)  # noqa: TRY400 - foreseen, and in words
    if boot.handle is not None:
        boot.handle.take_handoff()
    return handed


def package_of(program: Sequence[str]) -> Path | None:
    """The package beside the stub that was run, in a checkout or around it in an installed one; None for others."""
    stub = Path(program[0])
    for package in (stub.parent.parent / "ringmaster", stub.parent.parent):
        if (package / "daemon" / "main.py").is_file():
            return package
    return None


def _lift_bound(sur: Surroundings, supervisor: Supervisor) -> None:
    """The release has proved itself: attempts are begun as settings allow."""
    sur.starts_left = None
    supervisor.wake()


async def _run_reload(life: Life, reader: SettingsReader, reloader: Reloader) -> None:
    while True:
        await life.wait_reload()
        await reader.read(is_asked=True)
        reloader.wake(is_asked=True)


async def _say_goodbye(
    boot: Boot,
    life: Life,
    reloader: Reloader,
    supervisor: Supervisor,
    server: Server,
    listening: Listening,
    drain_s: float,
) -> None:
    """What clients are still told before everything is closed."""
    if life.switch is not None:
        with trio.move_on_after(LAST_ANSWERS_S):
            await listening.drain()
        return
    # What is stopped before it has proved itself has not failed, however long the end takes.
    await reloader.withdraw_trial()
    boot.notifier.stopping()
    boot.notifier.status(life.health().words)
    await _leave(drain_s, life, supervisor, server, listening)
    listening.remove_place()


async def _leave(drain_s: float, life: Life, supervisor: Supervisor, server: Server, listening: Listening) -> None:
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
            await listening.drain()
            nursery.cancel_scope.cancel()


async def _run_disk_probe(store: ThreadStore) -> None:
    """While the disk is full, look every few seconds whether there is room again: nothing else would say so."""
    while True:
        await trio.sleep(DISK_PROBE_S)
        if store.is_degraded:
            await store.probe_disk()
