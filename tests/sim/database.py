"""The inline store of a simulation: one database in memory for many runs, and its calls as plain calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import apsw

from ringmaster.store.calls import Call
from ringmaster.store.connection import Connection, configure_writer, connect_writer, run_script
from ringmaster.store.inline import InlineStore
from ringmaster.store.interface import OnCommit
from ringmaster.store.migrate import load_migrations, migrate
from ringmaster.store.queries import find_sql_dir

P = ParamSpec("P")
T = TypeVar("T")


class Database:
    """Made once: the schema takes a hundred times as long as a step. `reset` makes it as new for the next run."""

    def __init__(self) -> None:
        self.migrations = load_migrations(find_sql_dir())
        self.db = connect_writer(":memory:")
        configure_writer(self.db)
        migrate(self.db, self.migrations)
        names = self.db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
        self._tables = {name: self.db.execute(f"SELECT * FROM {name}").fetchall() for (name,) in names}

    def reset(self) -> None:
        """Every table as a new database has it."""
        run_script(self.db, "PRAGMA foreign_keys = OFF")
        run_script(self.db, "BEGIN")
        for name, rows in self._tables.items():
            run_script(self.db, f"DELETE FROM {name}")
            for row in rows:
                self.db.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row).fetchall()
        run_script(self.db, "COMMIT")
        run_script(self.db, "PRAGMA foreign_keys = ON")


class SimulatedStore(InlineStore):
    """The inline store, of which a simulation also asks without the loop; what `on_commit` raises is raised at once."""

    def __init__(self, database: Database, clock: Callable[[], float], on_commit: OnCommit) -> None:
        super().__init__(database.db, None, database.migrations, clock, on_commit)

    def write_now(
        self,
        fn: Callable[Concatenate[Connection, P], T],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        is_essential: bool,
    ) -> T:
        """As `write` or `write_essential`, without a checkpoint."""
        call = Call(fn, args, kwargs, is_essential)
        self._commit(call)
        if self._failure is not None:
            raise self._failure
        result: T = call.outcome()
        return result

    def read_now(self, fn: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `read`, without a checkpoint; nothing keeps `fn` from writing but its rollback."""
        db = self._db
        db.execute("BEGIN")
        try:
            return fn(Connection(db, self._clock()), *args, **kwargs)
        finally:
            db.execute("ROLLBACK")

    def rows(self, sql: str, params: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """What a checker asks."""
        return self._db.execute(sql, params).fetchall()


def is_sql_error(error: BaseException) -> bool:
    """Whether SQLite refused something: never right in a simulation, whose disk fills up by word alone."""
    return isinstance(error, apsw.Error)
