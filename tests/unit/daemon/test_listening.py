"""Where the page is: said in `stream.json`, followed when the settings change, and left alone where that cannot be."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import trio

from ringmaster.daemon.listening import Listening, Parts
from ringmaster.daemon.peers import Peers
from ringmaster.model.errors import RingmasterError
from ringmaster.model.stream_settings import StreamSettings
from ringmaster.rpc.rights import Caller, Identification
from ringmaster.settings import resolve_paths


def no_server() -> NoReturn:
    raise AssertionError("nobody calls anything here")


def make_listening(state: Path, settings: StreamSettings, **given: Any) -> Listening:
    """A door of a daemon, with nothing behind it."""
    state.mkdir(exist_ok=True)
    identification = Identification(shims=dict, daemon=None, keeper=lambda: None, attempt_of_nonce=lambda nonce: "")
    parts = Parts(server=no_server, peers=Peers(identification), health=lambda: (200, {"state": "ok"}), **given)
    return Listening(resolve_paths(str(state), {"HOME": str(state)}), settings, parts)


@asynccontextmanager
async def serving(listening: Listening) -> AsyncIterator[None]:
    """Served until the block is left."""
    async with trio.open_nursery() as nursery:
        await nursery.start(listening.serve)
        yield
        nursery.cancel_scope.cancel()


def place_of(state: Path) -> tuple[str, int] | None:
    """Where `stream.json` says it is."""
    try:
        said = json.loads((state / "stream.json").read_text())
    except FileNotFoundError:
        return None
    return said["url"], said["port"]


async def answer_of(address: str, port: int, host: str = "") -> int:
    """The status of `/health`."""
    with trio.fail_after(10):
        async with await trio.open_tcp_stream(address, port) as stream:
            name = host or f"{address}:{port}"
            await stream.send_all(f"GET /health HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
            return int((await stream.receive_some(1000)).split()[1])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


async def test_the_page_moves_where_the_settings_say_and_names_hold_at_once(tmp_path: Path):
    listening = make_listening(tmp_path / "state", StreamSettings())
    async with serving(listening):
        url, port = place_of(tmp_path / "state") or ("", 0)
        assert await answer_of("127.0.0.1", port, "page.test") == 421
        kept = await trio.open_tcp_stream("127.0.0.1", port)
        await listening.apply(StreamSettings(names=("page.test",)))
        assert place_of(tmp_path / "state") == (url, port)
        assert await answer_of("127.0.0.1", port, "page.test") == 200
        # The same one again changes nothing for whoever is there.
        await kept.send_all(f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert (await kept.receive_some(1000)).startswith(b"HTTP/1.1 200 ")
        other = free_port()
        await listening.apply(StreamSettings(port=other))
        assert place_of(tmp_path / "state") == (f"http://127.0.0.1:{other}", other)
        assert listening.make_link().url.startswith(f"http://127.0.0.1:{other}/#code=")
        assert await answer_of("127.0.0.1", other) == 200
        assert await kept.receive_some(1000) == b""
        await kept.aclose()
        with pytest.raises(OSError, match="all attempts to connect"):
            await answer_of("127.0.0.1", port)
        # Another address at the same port: that has to be free first.
        await listening.apply(StreamSettings(listen="127.0.0.2", port=other))
        assert await answer_of("127.0.0.2", other) == 200
        with pytest.raises(OSError, match="all attempts to connect"):
            await answer_of("127.0.0.1", other)


async def test_where_it_cannot_listen_it_stays_and_says_so_once_and_tries_again_when_asked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    listening = make_listening(tmp_path / "state", StreamSettings())
    async with serving(listening):
        before = place_of(tmp_path / "state")
        assert before is not None
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            await listening.apply(StreamSettings(port=port))
            assert place_of(tmp_path / "state") == before
            assert await answer_of("127.0.0.1", before[1]) == 200
            words = f"cannot listen on 127.0.0.1:{port}: Address already in use"
            said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
            assert said == [f"the page stays at {before[0]}: {words}"]
            assert (listening.facts().url, listening.facts().why_not) == (before[0], words)
        await listening.apply(StreamSettings(port=port))
        assert place_of(tmp_path / "state") == (f"http://127.0.0.1:{port}", port)
        assert listening.facts().why_not == ""


async def test_it_is_ended_and_begun_while_the_daemon_runs(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listening = make_listening(tmp_path / "state", StreamSettings(port=port))
        async with serving(listening):
            assert place_of(tmp_path / "state") is None
            with pytest.raises(RingmasterError, match=f"cannot listen on 127.0.0.1:{port}"):
                listening.make_link()
            await listening.apply(StreamSettings(is_enabled=False))
            with pytest.raises(RingmasterError, match="is_enabled of \\[stream\\] is false"):
                listening.make_link()
            await listening.apply(StreamSettings())
            here = place_of(tmp_path / "state")
            assert here is not None
            code = listening.make_link().url
            await listening.apply(StreamSettings(is_enabled=False))
            assert place_of(tmp_path / "state") is None
            with pytest.raises(OSError, match="all attempts to connect"):
                await answer_of("127.0.0.1", here[1])
            await listening.apply(StreamSettings())
            # On the port it had, with what it has given out.
            assert place_of(tmp_path / "state") == here
            assert listening.make_link().url != code


async def test_two_daemons_with_the_same_port_do_not_share_it(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    port = free_port()
    first, second = (make_listening(tmp_path / name, StreamSettings(port=port)) for name in ("one", "two"))
    async with serving(first), serving(second):
        assert place_of(tmp_path / "one") is not None
        assert place_of(tmp_path / "two") is None
        assert f"no page: cannot listen on 127.0.0.1:{port}: Address already in use" in caplog.text


async def test_websockets_are_told_before_the_page_moves(tmp_path: Path):
    told: list[str] = []

    async def on_upgrade(stream: trio.abc.HalfCloseableStream, head: bytes, caller: Caller, wait_over: Any) -> None:
        await stream.send_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        try:
            await wait_over()
        finally:
            told.append("over")

    listening = make_listening(tmp_path / "state", StreamSettings(), on_upgrade=on_upgrade)
    async with serving(listening):
        _, port = place_of(tmp_path / "state") or ("", 0)
        token = (tmp_path / "state" / "stream.token").read_text().strip()
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(
            f"GET /stream HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n".encode()
            + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert (await stream.receive_some(1000)).startswith(b"HTTP/1.1 101 ")
        await listening.apply(StreamSettings(port=free_port()))
        assert told == ["over"]
        await stream.aclose()
