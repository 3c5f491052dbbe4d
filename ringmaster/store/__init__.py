"""The database: its two threads, migrations, named queries, and one module per entity."""

from __future__ import annotations

from ringmaster.store.connection import Connection
from ringmaster.store.interface import Store

__all__ = ["Connection", "Store"]
