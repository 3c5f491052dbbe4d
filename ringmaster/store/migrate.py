"""Opening the database file: is it ours, is it whole, is it of a schema this code can use; then bring it up.

Migrations are files `sql/migrations/NNNN_name.sql`, applied in order, each in its own transaction:
a kill at any moment leaves a whole schema, some number of migrations old. They only add, so that the
code before them can still run on what they leave. One that breaks that says so in a line
`-- min_code_schema: N`, and code that knows fewer than N migrations then refuses the database.

The table `meta` (key, value) belongs to this module and holds `schema`, `min_code_schema` and the digest of each
migration that ran.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw
import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.connection import configure_writer, connect_writer, run_script
from ringmaster.store.queries import split_statements

# "RMST" in the file's header: tells our files from other programs' databases.
APPLICATION_ID = 0x524D5354

_MAGIC = b"SQLite format 3\x00"
_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_MIN_CODE_SCHEMA = re.compile(r"^--\s*min_code_schema:\s*(\d+)\s*$", re.MULTILINE)
_ADDITIVE = re.compile(
    r"(CREATE\s+(UNIQUE\s+)?INDEX|CREATE\s+(VIRTUAL\s+)?TABLE|CREATE\s+VIEW|CREATE\s+TRIGGER"
    r"|ALTER\s+TABLE\s+\S+\s+ADD|INSERT|UPDATE|DROP\s+(INDEX|TRIGGER|VIEW))\b",
    re.IGNORECASE,
)

OnProgress = Callable[[str], None]


class MigrationFileError(Exception):
    """A migration file that cannot be used: a mistake of the programmer."""


class Migration(msgspec.Struct, frozen=True):
    """One step of the schema. `min_code_schema` is 0 where older code may go on."""

    number: int
    name: str
    statements: tuple[str, ...]
    min_code_schema: int

    @property
    def digest(self) -> str:
        """What it does, whatever its comments and blanks say: sha256 in hex."""
        words = "\n".join(" ".join(_bare(statement).split()) for statement in self.statements)
        return hashlib.sha256(words.encode()).hexdigest()


class Schema(msgspec.Struct, frozen=True):
    """What a database says of itself."""

    schema: int
    min_code_schema: int


def load_migrations(sql_dir: Path) -> tuple[Migration, ...]:
    """Read `migrations/` in order.

    Raises MigrationFileError for a name out of pattern, a gap or double in the numbers, no file at
    all, and a statement that is not additive.
    """
    migrations = [_load(path) for path in sorted((sql_dir / "migrations").glob("*.sql"))]
    if not migrations:
        raise MigrationFileError(f"no migrations in {sql_dir / 'migrations'}")
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            raise MigrationFileError(f"migration {expected:04d} is missing or doubled")
    return tuple(migrations)


def _load(path: Path) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise MigrationFileError(f"{path} is not named NNNN_name.sql")
    text = path.read_text(encoding="utf-8")
    statements = tuple(split_statements(text))
    for statement in statements:
        bare = _bare(statement)
        if _ADDITIVE.match(bare) is None:
            raise MigrationFileError(f"{path}: not additive: {bare.splitlines()[0]}")
    needed = _MIN_CODE_SCHEMA.search(text)
    return Migration(int(match[1]), match[2], statements, int(needed[1]) if needed else 0)


def _bare(statement: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", "", statement, flags=re.DOTALL).strip()


def open_database(
    path: Path, migrations: Sequence[Migration], on_progress: OnProgress | None = None
) -> apsw.Connection:
    """Open the file at `path` for writing, creating it or bringing it up to the newest migration.

    Blocks until any other process that is doing the same has finished. An existing database is
    copied to `<path>.before-NNNN` before migration NNNN, the first that it lacks. The caller
    closes the connection. No connection to the same file may be open in this process: reading its
    header would drop that connection's locks.

    Raises RingmasterError, and leaves the file as it was, when it is not a database, another
    program's, damaged, or only usable by newer code; also when the disk is full or the file
    cannot be opened.
    """
    try:
        with open_directory_lock(path.parent):
            return _open_locked(path, migrations, on_progress)
    except apsw.Error as error:
        told = in_words(path, error)
        if told is None:
            raise
        raise told from error


def _open_locked(path: Path, migrations: Sequence[Migration], on_progress: OnProgress | None) -> apsw.Connection:
    is_new = _check_header(path)
    db = connect_writer(path)
    try:
        if is_new:
            # While the file is not yet in WAL mode, so that the mark is in the file itself and a
            # kill cannot leave a file that looks like another program's.
            run_script(db, f"PRAGMA application_id = {APPLICATION_ID}")
        found = read_schema(db)
        _refuse_newer(path, found, migrations)
        configure_writer(db)
        if 0 < found.schema < len(migrations):
            back_up(db, Path(f"{path}.before-{found.schema + 1:04d}"), on_progress)
        migrate(db, migrations, on_progress)
    except BaseException:
        # A close would write the log back into a file that is to stay as it was found.
        db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.close()
        raise
    return db


def read_schema(db: apsw.Connection) -> Schema:
    """What the database holds; zeros for an empty one."""
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'meta'").fetchall():
        return Schema(0, 0)
    rows = db.execute("SELECT key, value FROM meta WHERE key IN ('schema', 'min_code_schema')").fetchall()
    values = {str(key): int(str(value)) for key, value in rows}
    return Schema(values.get("schema", 0), values.get("min_code_schema", 0))


def digest_key(number: int) -> str:
    """Under what `meta` holds the digest of the migration that ran as `number`; the first five left none."""
    return f"migration-{number:04d}"


def migrate(db: apsw.Connection, migrations: Sequence[Migration], on_progress: OnProgress | None = None) -> None:
    """Apply what `db` lacks. Outside a transaction; each migration is one of its own."""
    found = read_schema(db).schema
    for migration in (migration for migration in migrations if migration.number > found):
        _apply(db, migration, on_progress)


def _apply(db: apsw.Connection, migration: Migration, on_progress: OnProgress | None) -> None:
    _report(on_progress, f"migration {migration.number:04d} {migration.name}")
    db.execute("BEGIN IMMEDIATE")
    try:
        run_script(
            db,
            "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
        )
        before = read_schema(db)
        for statement in migration.statements:
            run_script(db, statement)
        needed = max(before.min_code_schema, migration.min_code_schema)
        noted = {"schema": migration.number, "min_code_schema": needed, digest_key(migration.number): migration.digest}
        for key, value in noted.items():
            db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, str(value))).fetchall()
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _report(on_progress: OnProgress | None, line: str) -> None:
    if on_progress is not None:
        on_progress(line)


def back_up(db: apsw.Connection, target: Path, on_progress: OnProgress | None) -> None:
    """Copy the database to `target`, whole or not at all. Outside a transaction."""
    _report(on_progress, f"copying the database to {target.name}")
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        db.execute("VACUUM INTO ?", (str(partial),)).fetchall()
    except apsw.Error:
        partial.unlink(missing_ok=True)
        raise
    _fsync(partial)
    partial.replace(target)
    _fsync(target.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_directory_lock(directory: Path) -> Iterator[None]:
    """Keep other processes from opening or migrating a database in `directory` meanwhile. Blocks."""
    # The directory, not the database file: closing any descriptor of that drops SQLite's own locks.
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise RingmasterError(
            ErrorKind.REFUSED, f"cannot open the state directory {directory}: {error.strerror}"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_header(path: Path) -> bool:
    """Return whether the file is new (missing or empty); refuse what is plainly not ours.

    Read as bytes: SQLite would take up another program's log, and so change it, just by looking.
    """
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise RingmasterError(ErrorKind.REFUSED, f"cannot read {path}: {error.strerror}") from error
    if not header:
        return True
    if not header.startswith(_MAGIC):
        raise _refusal(path, "is not a database")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise _refusal(path, "is a database of another program")
    return False


def _refusal(path: Path, what: str) -> RingmasterError:
    return RingmasterError(ErrorKind.REFUSED, f"{path} {what}", "move it away, or choose another state directory")


def _refuse_newer(path: Path, found: Schema, migrations: Sequence[Migration]) -> None:
    if found.min_code_schema > len(migrations):
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"{path} was written by newer code: it needs schema {found.min_code_schema},"
            f" this code knows {len(migrations)}",
            f"start the newer release, or put a copy from before it ({path.name}.before-*) in its place",
        )


def in_words(path: Path, error: apsw.Error) -> RingmasterError | None:
    """The same for people; None when it is nothing that they can mend."""
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return RingmasterError(
            ErrorKind.REFUSED,
            f"{path} is damaged ({error})",
            f"put a copy in its place ({path.name}.before-*), or move it away to begin anew",
        )
    if isinstance(error, apsw.BusyError):
        return RingmasterError(
            ErrorKind.TIMED_OUT,
            f"another program holds {path} locked",
            f"`fuser -v {path}` names it",
        )
    if isinstance(error, apsw.CantOpenError | apsw.ReadOnlyError | apsw.PermissionsError):
        return RingmasterError(ErrorKind.REFUSED, f"cannot write {path} ({error})", "check its owner and mode")
    return None
