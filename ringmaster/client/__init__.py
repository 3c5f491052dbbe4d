"""Blocking client of the daemon: what `rmctl` speaks through. Imports no trio, no apsw, and no msgspec by itself."""

from __future__ import annotations

from ringmaster.client.client import Client
from ringmaster.client.transport import Lost

__all__ = ["Client", "Lost"]
