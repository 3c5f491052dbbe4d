"""`rmctl dashboard`: the link in a pipe, a browser on a desktop."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringmaster.protocol.dashboard import DashboardLink
from tests.fakes.rmctl import Rmctl
from tests.fakes.rpc_server import RpcServer

URL = "http://127.0.0.1:4711/#code=abc"


@pytest.fixture
def browsing(daemon: RpcServer, tmp_path: Path) -> tuple[Rmctl, Path]:
    """rmctl on a desktop whose browser notes what it was told to open."""
    daemon.answers["dashboard.link"] = DashboardLink(url=URL, expires_at=1_000_000.0)
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    return Rmctl(daemon.path, {"BROWSER": f"{browser} %s", "DISPLAY": "", "WAYLAND_DISPLAY": ""}), opened


def test_in_a_pipe_or_when_asked_for_the_link_is_printed(browsing: tuple[Rmctl, Path]):
    rmctl, opened = browsing
    assert rmctl("dashboard") == (0, f"{URL}\n", "")
    assert rmctl("dashboard", "--url", "-q") == (0, f"{URL}\n", "")
    told = json.loads(rmctl("dashboard", "-o", "json").out)
    assert told == {"url": URL, "expires_at": "1970-01-12T13:46:40.000Z"}
    code, screen = rmctl.on_terminal("dashboard", "--url")[:2]
    assert (code, URL in screen) == (0, True)
    assert not opened.exists()


def test_on_a_desktop_it_is_opened(browsing: tuple[Rmctl, Path]):
    rmctl, opened = browsing
    code, screen = rmctl.on_terminal("dashboard")[:2]
    assert (code, "opened in the browser" in screen, URL in screen) == (0, True, False)
    assert opened.read_text() == f"{URL}\n"
