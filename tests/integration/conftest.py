"""rmctl as a program, and the scripted daemon it speaks to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.rmctl import Rmctl
from tests.fakes.rpc_server import RpcServer


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RpcServer]:
    with RpcServer(tmp_path / "rm.sock") as server:
        yield server


@pytest.fixture
def rmctl(daemon: RpcServer) -> Rmctl:
    return Rmctl(daemon.path)
