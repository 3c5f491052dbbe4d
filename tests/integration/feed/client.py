"""A client of the feed, as the websocket has it: it takes frames at its own pace, and forgets what no mark covers."""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import trio

from ringmaster.feed.beginning import Start, wanted_of
from ringmaster.feed.cursor import decode_cursor
from ringmaster.feed.feed import Feed
from ringmaster.feed.session import Session
from ringmaster.protocol.feed import FeedSubscribeParams
from tests.integration.feed.truth import Truth
from tests.integration.feed.view import Opening, View

MARKS_KEPT = 6


class Connection:
    """frames: sent and not taken yet. is_told: with `hello`. is_over: the daemon has nothing more to send."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.following = trio.CancelScope()
        self.permits = trio.Semaphore(0)
        self.frames: deque[tuple[Opening, list[str]]] = deque()
        self.session: Session | None = None
        self.next: FeedSubscribeParams | None = None
        self.opening: Opening | None = None
        self.is_told = False
        self.is_over = False
        self.gone = trio.Event()


class Client:
    """view: what it has. marks: what it had at the last of them, oldest first."""

    def __init__(self, name: str, truth: Truth, *, may_skip: bool) -> None:
        self.name = name
        self.truth = truth
        self.may_skip = may_skip
        self.view = View(truth)
        self.marks: list[View] = []
        self.connection: Connection | None = None
        self._opened: Opening | None = None
        self._before = self.view

    def come_to_rest(self) -> None:
        """All that was sent is taken. A subscription in another's place that has nothing to say has begun too."""
        connection = self.connection
        assert connection is not None
        opening = connection.opening
        assert opening is not None, f"{self.name} was not told where it begins"
        if opening is not self._opened:
            assert not connection.is_told, f"{self.name} was not told where it begins"
            self._opened, self._before = opening, self.view.copy()
            self.view.begin(opening, is_expired=False)
        self.view.check_at_rest(is_over=connection.is_over)

    @property
    def needed_seq(self) -> int:
        """The first event that it may still be sent."""
        session = self.connection.session if self.connection is not None else None
        return self.view.seq + 1 if session is None else decode_cursor(session.cursor()).seq + 1

    # Its side of the wire.

    def connect(self, nursery: trio.Nursery, feed: Feed, params: FeedSubscribeParams, came: View | None) -> None:
        """Come, or come back with what it had at a mark."""
        self.view = came.copy() if came is not None else View(self.truth)
        connection = self.connection = Connection()
        self._opened = None
        nursery.start_soon(self._serve, connection, feed, params, self.view.cursor)

    def replace(self, params: FeedSubscribeParams) -> None:
        """Ask for something else on the same connection."""
        if self.connection is not None:
            self.connection.next = params
            self.connection.following.cancel()

    def take(self, count: int) -> None:
        """Take frames that have been sent."""
        connection = self.connection
        while connection is not None and connection.frames and count > 0:
            count -= 1
            self._take_frame(*connection.frames.popleft())

    def _take_frame(self, opening: Opening, frame: list[str]) -> None:
        messages: list[Any] = [json.loads(text) for text in frame]
        kinds = [message["kind"] for message in messages]
        if opening is not self._opened:
            self._opened = opening
            self.view.begin(opening, is_expired="cursor_expired" in kinds)
            if "cursor_expired" in kinds:
                self._check_snapshot(messages[kinds.index("cursor_expired") + 1])
        for message in messages:
            self.view.take(message)
            if message["kind"] in ("mark", "bye"):
                self.marks = [*self.marks[1 - MARKS_KEPT :], self.view.copy()]

    def _check_snapshot(self, message: Any) -> None:
        assert message["kind"] == "snapshot"
        seq = decode_cursor(message["cursor"]).seq
        told = {attempt["attempt_id"] for attempt in message["attempts"]}
        is_all = self.view.params.level != "important"
        for attempt in self.truth.attempts.values():
            if not is_all or not any(job.sources(self.view.params) for job in attempt.jobs.values()):
                continue
            assert (attempt.id in told) == (attempt.start_seq <= seq < attempt.end_seq), f"{attempt.id} in a snapshot"

    async def leave(self, *, is_told: str = "") -> None:
        """The connection ends. is_told: by the daemon, with a word; otherwise what was on its way is lost."""
        connection, self.connection = self.connection, None
        if connection is None:
            return
        connection.scope.cancel()
        await connection.gone.wait()
        if is_told and connection.session is not None and not connection.is_over:
            self.connection = connection
            self.take(1 << 30)
            self.connection = None
            if connection.session.has_given:
                self.view.take(json.loads(connection.session.bye(is_told)))
                self.marks = [*self.marks[1 - MARKS_KEPT :], self.view.copy()]

    # The daemon's side.

    async def _serve(self, connection: Connection, feed: Feed, params: FeedSubscribeParams, cursor: str) -> None:
        is_told = True
        try:
            with connection.scope:
                while True:
                    opening = self._open(params, cursor)
                    start = Start(cursor=cursor, tail_lines=params.tail_lines, is_told=is_told)
                    async with feed.open_session(wanted_of(params), start, may_skip=self.may_skip) as session:
                        opening.base = decode_cursor(session.cursor())
                        opening.until_seq, opening.until_sizes = self.truth.last_seq, self.truth.sizes()
                        opening.may_expire = opening.may_expire or self._may_expire(cursor)
                        connection.session, connection.opening, connection.is_told = session, opening, is_told
                        with trio.CancelScope() as connection.following:
                            if connection.next is None:
                                await self._follow(connection, session, opening)
                    if connection.next is None:
                        return
                    is_told = is_told and not session.has_given
                    cursor = session.cursor() if session.has_given else cursor
                    params, connection.next = connection.next, None
                    if session.has_given:
                        self.take(1 << 30)
                        self.view.mark(cursor)
                    elif self._opened is opening:
                        # It has said nothing, so the next goes on where this one began.
                        self.view = self._before
        finally:
            connection.gone.set()

    async def _follow(self, connection: Connection, session: Session, opening: Opening) -> None:
        while True:
            await connection.permits.acquire()
            messages = await session.next_frame()
            if not messages:
                connection.is_over = True
                await trio.sleep_forever()
            connection.frames.append((opening, messages))

    def _open(self, params: FeedSubscribeParams, cursor: str) -> Opening:
        return Opening(
            params=params,
            cursor=cursor,
            last_seq=self.truth.last_seq,
            sizes=self.truth.sizes(),
            may_expire=self._may_expire(cursor),
        )

    def _may_expire(self, text: str) -> bool:
        """Whether something that a cursor names is gone."""
        if not text:
            return False
        cursor = decode_cursor(text)
        is_gone = any(self.truth.job_of(source).is_removed for source in cursor.offsets)
        return is_gone or cursor.seq + 1 < self.truth.first_seq
