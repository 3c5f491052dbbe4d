"""Attempts at work: dispatcher, supervisor, lanes, recovery."""
