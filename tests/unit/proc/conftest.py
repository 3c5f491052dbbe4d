"""Fixtures for processes that are found by their mark."""

from __future__ import annotations

import uuid

import pytest


@pytest.fixture
def nonce() -> str:
    """A mark that no other process has."""
    return uuid.uuid4().hex
