"""Ringmaster runs coding agents over a queue of tasks and lands only work that is shown to be good."""

__version__ = "0.1.0"
