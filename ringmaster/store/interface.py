"""What every part of the daemon may ask of a store, whether it has threads or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

from ringmaster.model.event import Event
from ringmaster.store.connection import Connection
from ringmaster.store.timing import StatementTimes

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

OnCommit: TypeAlias = Callable[[Sequence[Event]], None]
OnDegraded: TypeAlias = Callable[[bool], None]


def ignore_events(events: Sequence[Event]) -> None:
    """The `on_commit` of whoever does not want to know."""


class Done(Protocol[T_co]):
    """A write that has been answered."""

    def outcome(self) -> T_co:
        """What the write returned; raises what `Store.write` would."""
        ...


class Store(Protocol):
    """One database with one writer. Made by `open_store` or `open_inline_store`, which close it.

    `fn` is always a plain function `fn(conn, *args, **kwargs)`. It may be run more than once before
    its one result counts, so it must depend on nothing but `conn` and its arguments and have no
    effect but through `conn`. A use case is one call: two awaits are two transactions.
    """

    @property
    def is_degraded(self) -> bool:
        """Whether the disk is full: reads go on, writes that are not essential are refused."""
        ...

    @property
    def times(self) -> StatementTimes:
        """How long statements took, from a sample of all."""
        ...

    async def write(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` in a write transaction and return its result when that is durable.

        What `fn` raises is raised here and nothing of that call is kept; the other members of the
        batch are unharmed. Events emitted by `fn` have been handed to `on_commit` on return.

        Cancellation: a checkpoint on entry. Once queued, a write cannot be cancelled: it returns
        its result even in a cancelled scope, so that nobody takes a committed write for undone.

        Raises RingmasterError: `disk_full` while degraded, `stopping` after close, `timed_out`
        when another program holds the database.
        """
        ...

    async def write_essential(
        self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """As `write`, but also tried while the disk is full, on the room the reserve gave up.

        For what must not be lost: outcomes, landings, decisions. Never for new work.
        """
        ...

    async def write_long(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `write`, for many rows at once: a batch by itself, which ends the process only when it stands still.

        As long as SQLite takes steps it may go on; without any, as in its commit, it has `LONG_LIMIT_S`. The others'
        writes wait meanwhile, so whoever calls this bounds its rows.
        """
        ...

    def write_soon(
        self,
        on_done: Callable[[Done[T]], None],
        fn: Callable[Concatenate[Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Queue a write without waiting for it, behind those queued before; on the loop only.

        on_done: called on the loop when it is durable or has failed, after `on_commit`, once, never before
        this returns. It must neither block nor raise: `run_watch` raises what it raises. This spares a trio
        task for each of many writes that only pass their result on.

        Cancellation: none; once queued it is carried out. Raises RingmasterError `stopping` after close.
        """
        ...

    async def read(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `fn` on a snapshot of the committed state, where it may take its time.

        A statement that writes raises apsw.ReadOnlyError. A write that has returned is seen.
        Cancellation: returns at once; a query under way is broken off.
        """
        ...

    async def probe_disk(self) -> bool:
        """While degraded, try to set the reserve aside again; return whether writes are accepted.

        The daemon calls it on a timer. Cancellation as for `write`.
        """
        ...

    async def migrate(self, sql_dir: Path) -> None:
        """Bring the database up to the migrations of another release, whose `sql/` is `sql_dir`, and go on with it.

        After a copy to `<database>.before-NNNN`, during which writes go on, and between two batches: writes wait for
        the migrations alone, without the limit of a batch. `on_progress` is told of each step, also on another thread
        than the writer's. The running code goes on with the newer schema, and can be started on it again. A release
        that knows no more than the database has changes nothing. One call at a time.

        Cancellation as for `write`, between the steps too. Raises RingmasterError and changes nothing: `refused` when
        what is new is not additive, cannot be run under the running code, or is not what ran here under that number;
        `disk_full`. A step that the data themselves do not allow is `refused` too, with the whole steps before it
        kept.
        """
        ...

    async def run_watch(self) -> None:
        """Run for as long as the store is open; raise when it can no longer be trusted.

        Raises what `on_commit` or the store's own machinery raised: a reader of events that missed
        some, or a dead thread, is not survived but restarted from. A batch that makes no progress
        for `BATCH_LIMIT_S` (one of `write_long`: for `LONG_LIMIT_S`) ends the process at once, because its callers
        cannot be cancelled.
        """
        ...
