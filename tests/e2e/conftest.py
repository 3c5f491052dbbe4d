"""The daemon that the tests of one file share; a test that breaks its daemon opens its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.e2e.operator import Operator, open_operator
from tests.fakes.real_claude import PROGRAMS, why_missing


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with open_operator(tmp_path_factory.mktemp("op")) as made:
        yield made


def find_agent(name: str, left_out: Callable[[str, str], NoReturn]) -> Path:
    reason = why_missing(name)
    if reason:
        left_out(name, reason)
    return PROGRAMS / name


@pytest.fixture(scope="session")
def claude_program(left_out: Callable[[str, str], NoReturn]) -> Path:
    """The real Claude Code."""
    return find_agent("claude", left_out)


@pytest.fixture(scope="session")
def codex_program(left_out: Callable[[str, str], NoReturn]) -> Path:
    """The real Codex."""
    return find_agent("codex", left_out)
