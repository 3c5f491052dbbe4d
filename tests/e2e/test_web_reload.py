"""The page over a reload: the same port, the same logins, nobody refused; and after a kill."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fakes.own_source import OwnSource, open_own_source

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
INIT = "ringmaster/__init__.py"
NEWER = '"""Newer."""\n\n__version__ = "9.1"\n'


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnSource]:
    with open_own_source(tmp_path_factory.mktemp("own"), probation_s=0.1) as made:
        yield made


def post(port: int, path: str, document: object, bearer: str = "") -> tuple[int, Any]:
    """A request over a connection of its own. A refused or reset connection is an error of the test."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
    try:
        connection.request("POST", path, json.dumps(document), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def log_in(own: OwnSource, port: int) -> str:
    """A login, as the page gets it from the link."""
    url = own.daemon.call("dashboard.link")["url"]
    base, _, code = url.partition("/#code=")
    assert base == f"http://127.0.0.1:{port}"
    status, said = post(port, "/login", {"code": code})
    assert status == 200, said
    return str(said["login"])


def port_of(own: OwnSource) -> int:
    return int(json.loads((own.daemon.state / "stream.json").read_text())["port"])


def test_a_page_notices_a_reload_only_by_being_asked_to_ask_again(own: OwnSource) -> None:
    port, before = port_of(own), own.generation
    login = log_in(own, port)
    seen: list[tuple[int, Any]] = []
    is_over = threading.Event()

    def ask_again_and_again() -> None:
        while not is_over.is_set():
            request = {"jsonrpc": "2.0", "id": 1, "method": "daemon.version"}
            seen.append(post(port, "/rpc", request, login))

    asking = threading.Thread(target=ask_again_and_again)
    asking.start()
    try:
        event = own.take({INIT: NEWER})
    finally:
        is_over.set()
        asking.join()
    assert event["type"] == "generation.good", event
    assert {status for status, _ in seen} <= {200, 503}
    generations = [said["result"]["generation"] for status, said in seen if status == 200]
    assert generations[0] == before
    assert generations[-1] == event["data"]["generation"]
    assert port_of(own) == port


def test_port_token_and_logins_outlive_a_kill_and_the_place_is_gone_after_a_stop(own: OwnSource) -> None:
    port, token = port_of(own), (own.daemon.state / "stream.token").read_text()
    login = log_in(own, port)
    own.daemon.kill()
    own.daemon.start()
    assert port_of(own) == port
    request = {"jsonrpc": "2.0", "id": 1, "method": "daemon.health"}
    for bearer in (token.strip(), login):
        status, said = post(port, "/rpc", request, bearer)
        assert (status, said["result"]["state"]) == (200, "ok")
    assert own.daemon.stop() == 0
    assert not (own.daemon.state / "stream.json").exists()
    own.daemon.start()
    assert port_of(own) == port
