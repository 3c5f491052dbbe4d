"""What the database says of itself."""

from __future__ import annotations

from ringmaster.store.connection import Connection
from ringmaster.store.queries import load_queries

queries = load_queries("versions")


def read_versions(conn: Connection) -> tuple[int, str]:
    """The number of the newest migration applied, and the version of SQLite."""
    return int(conn.value(queries.schema)), str(conn.value(queries.sqlite))
