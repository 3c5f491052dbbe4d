"""Ringmaster runs coding agents over a queue of tasks and lands only work that is shown to be good."""

from __future__ import annotations

__version__ = "0.1.0"
