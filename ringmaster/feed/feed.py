"""The feed of one daemon: recent events, and one reader for each source that somebody follows."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from ringmaster.agents.base import Agent
from ringmaster.agents.registry import BUILT_IN, agent_for
from ringmaster.bus import Bus, Lagged
from ringmaster.feed.beginning import Start, resolve_wanted, wanted_of
from ringmaster.feed.cursor import Source
from ringmaster.feed.figures import FeedFigures
from ringmaster.feed.reader import Origin, Reader
from ringmaster.feed.session import Session, encode
from ringmaster.feed.wanted import Wanted
from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.proc.inotify import Watcher
from ringmaster.protocol.feed import FeedEvent, FeedSubscribeParams
from ringmaster.queue.feed import refuse_unknown_types
from ringmaster.settings import Paths, Settings
from ringmaster.store import Store, events

RECENT_EVENTS = 4096


class Feed:
    """Made by `open_feed`, which runs it. figures: counted since then. last_seq: the newest event that was heard of."""

    def __init__(
        self,
        *,
        store: Store,
        paths: Paths,
        settings: Callable[[], Settings],
        watcher: Watcher,
        instance_id: str,
        generation: Callable[[], int],
        nursery: trio.Nursery,
    ) -> None:
        self.store = store
        self.paths = paths
        self.instance_id = instance_id
        self.generation = generation
        self.figures = FeedFigures()
        self.last_seq = 0
        self._settings = settings
        self._watcher = watcher
        self._nursery = nursery
        self._sessions: dict[Session, None] = {}
        self._readers: dict[Source, Reader] = {}
        self._recent: deque[Event] = deque(maxlen=RECENT_EVENTS)
        self._encoded: dict[int, str] = {}

    async def resolve(self, params: FeedSubscribeParams, own_task: str = "", *, is_granted: bool = False) -> Wanted:
        """What is asked for, with whole ids. own_task: the only task the caller may look at, '' for all.

        is_granted: it was resolved before, and goes on though its project is gone since, or its type of event.
        Raises RingmasterError: NOT_FOUND, USAGE; PERMISSION for another task than that.
        """
        if is_granted:
            await trio.lowlevel.checkpoint()
            return wanted_of(params)
        refuse_unknown_types(params.type)
        wanted = await self.store.read(resolve_wanted, params, own_task)
        if own_task not in ("", wanted.task_id):
            raise RingmasterError(
                ErrorKind.PERMISSION,
                f"an attempt may not follow task {wanted.task_id}",
                f"an attempt sees its own task: rmctl task show {own_task}",
            )
        return wanted

    @asynccontextmanager
    async def open_session(self, wanted: Wanted, beginning: Start, *, may_skip: bool) -> AsyncIterator[Session]:
        """A subscription, until the block is left. may_skip: see `Session`."""
        session = Session(self, wanted, may_skip=may_skip)
        self._sessions[session] = None
        self.figures.subscribers += 1
        try:
            await session.begin(beginning)
            yield session
        finally:
            self.figures.subscribers -= 1
            del self._sessions[session]
            session.close()

    # For sessions.

    def events_after(self, seq: int, limit: int) -> list[Event] | None:
        """The next events after `seq`, at most `limit`; None where they are not kept and the store has to be asked."""
        recent = self._recent
        # After a lag the store may be ahead of what is kept.
        if not recent or not recent[0].seq - 1 <= seq < recent[-1].seq:
            return None
        behind = recent[-1].seq - seq
        # From the end on: that is where who is up to date looks, and where a deque is quick.
        return [recent[-place] for place in range(behind, max(0, behind - limit), -1)]

    def encode_event(self, event: Event) -> str:
        """The message about an event; made once for all who are up to date."""
        text = self._encoded.get(event.seq)
        if text is None:
            text = encode(FeedEvent(event=event))
            if self._recent and event.seq >= self._recent[0].seq:
                self._encoded[event.seq] = text
        return text

    def note_frame(self, size: int) -> None:
        """Count a frame that was given out."""
        self.figures.frames += 1
        self.figures.bytes += size

    def open_reader(self, session: Session, attempt: Attempt, source: Source, *, is_over: bool) -> Reader:
        """The reader of a source, which tells the session of what is new until `close_reader`."""
        reader = self._readers.get(source)
        if reader is None or reader.has_failed:
            # Who comes back tries again; those who have the one that failed leave it when they are told.
            origin = Origin(
                source=source, attempt_directory=self.paths.attempt(attempt.id), agent=self._agent_of(attempt)
            )
            reader = self._readers[source] = Reader(origin, self._watcher, self.figures, is_over=is_over)
            self._nursery.start_soon(reader.run)
        elif is_over:
            reader.end_soon()
        reader.followers[session] = None
        return reader

    def close_reader(self, session: Session, reader: Reader) -> None:
        """The session does not follow the source any more; the last one ends the reader."""
        reader.followers.pop(session, None)
        if not reader.followers:
            if self._readers.get(reader.source) is reader:
                del self._readers[reader.source]
            reader.scope.cancel()
            reader.close()

    def _agent_of(self, attempt: Attempt) -> Agent:
        try:
            return agent_for(attempt.agent, self._settings())
        except RingmasterError:
            # The settings do not name it any more; its lines can still be shown as they are.
            return BUILT_IN["command"]

    async def run(self, bus: Bus[Event], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Hear of events until cancelled."""
        with bus.open_subscription() as heard:
            self.last_seq = await self.store.read(events.last_seq)
            task_status.started()
            while True:
                for event in await heard.receive_batch():
                    if isinstance(event, Lagged):
                        # Who follows reads the store up to where the events that are kept begin again.
                        self._forget_recent()
                        self.last_seq = await self.store.read(events.last_seq)
                    else:
                        self._take(event)
                for session in self._sessions:
                    session.wake_events()

    def _take(self, event: Event) -> None:
        if self._recent and event.seq != self._recent[-1].seq + 1:
            self._forget_recent()
        elif len(self._recent) == RECENT_EVENTS:
            self._encoded.pop(self._recent[0].seq, None)
        self._recent.append(event)
        self.last_seq = max(self.last_seq, event.seq)

    def _forget_recent(self) -> None:
        self._recent.clear()
        self._encoded.clear()


@asynccontextmanager
async def open_feed(
    *,
    store: Store,
    bus: Bus[Event],
    paths: Paths,
    settings: Callable[[], Settings],
    watcher: Watcher,
    instance_id: str,
    generation: Callable[[], int],
) -> AsyncIterator[Feed]:
    """The feed, until the block is left; sessions have to be closed before."""
    async with trio.open_nursery() as nursery:
        feed = Feed(
            store=store,
            paths=paths,
            settings=settings,
            watcher=watcher,
            instance_id=instance_id,
            generation=generation,
            nursery=nursery,
        )
        await nursery.start(feed.run, bus)
        yield feed
        nursery.cancel_scope.cancel()
