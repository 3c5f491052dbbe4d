"""Who is let in at the door, and as whom: everything else is refused in one line, and nothing changes."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
from pathlib import Path

import pytest
import trio

from ringmaster.rpc.rights import Caller, CallerKind
from ringmaster.web.routes import Peer
from tests.fakes.door import ATTEMPT, TOKEN, UPGRADE, RunningDoor, Visitor, open_door, until
from tests.fakes.rpc import OPERATOR


async def log_in(visitor: Visitor, code: str, **headers: str):
    return await visitor.ask("POST", "/login", json.dumps({"code": code}).encode(), **headers)


async def test_a_code_is_good_once_and_for_a_minute(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        code = door.access.make_code(door.now).value
        said = await log_in(visitor, code)
        assert said.status == 200
        login = said.json["login"]
        for wrong in (code, "", "x" * 43, code[:-1]):
            said = await log_in(visitor, wrong)
            assert (said.status, said.words) == (401, "this link was used, or is over a minute old")
        late = door.access.make_code(door.now).value
        door.now += 60.5
        assert (await log_in(visitor, late)).status == 401
        assert (await visitor.call("test.echo", login, n=3)).json["result"]["n"] == 3


async def test_a_login_ends_when_it_is_ended_and_with_its_time(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        logins = [(await log_in(visitor, door.access.make_code(door.now).value)).json["login"] for _ in range(2)]
        assert (await visitor.ask("POST", "/logout", b"{}", authorization=f"Bearer {logins[0]}")).status == 204
        async with door.visit() as another:
            assert (await another.call("test.echo", logins[0])).status == 401
        assert (await visitor.call("test.echo", logins[1])).status == 200
        assert (await visitor.ask("POST", "/logout", b"{}", authorization=f"Bearer {TOKEN}")).status == 400
        door.now += 8 * 86400
        assert (await visitor.call("test.echo", TOKEN)).status == 200
        for login in logins:
            async with door.visit() as another:
                assert (await another.call("test.echo", login)).status == 401


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN])
@pytest.mark.parametrize(("method", "path"), [("POST", "/rpc"), ("POST", "/ticket"), ("GET", "/metrics")])
async def test_nobody_is_let_in_without_token_or_login(tmp_path: Path, method: str, path: str, authorization: str):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        body = b"{}" if method == "POST" else None
        said = await visitor.ask(method, path, body, authorization=authorization)
        assert said.status == 401
        assert said.headers["www-authenticate"] == "Bearer"
        assert "token" in said.words


async def test_a_token_in_the_address_is_refused(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        for path in (f"/rpc?token={TOKEN}", f"/metrics?access_token={TOKEN}", f"/?token={TOKEN}"):
            said = await visitor.ask("POST" if "rpc" in path else "GET", path, b"{}" if "rpc" in path else None)
            assert (said.status, said.words) == (400, "this address takes no query")
            if said.headers.get("connection") == "close":
                break
    async with open_door(tmp_path / "2") as door, door.visit() as visitor:
        said = await visitor.ask("GET", f"/stream?token={TOKEN}", upgrade="websocket", connection="Upgrade")
        assert (said.status, door.upgraded) == (400, [])


async def ticket_of(door: RunningDoor) -> str:
    async with door.visit() as visitor:
        return str((await visitor.ask("POST", "/ticket", b"{}", authorization=f"Bearer {TOKEN}")).json["ticket"])


async def test_a_ticket_opens_one_websocket_for_a_page_of_the_same_origin(tmp_path: Path):
    async with open_door(tmp_path) as door:
        origin = f"http://127.0.0.1:{door.port}"
        ticket = await ticket_of(door)
        for headers, status in (
            (UPGRADE, 403),
            (UPGRADE | {"origin": "http://evil.test"}, 403),
            (UPGRADE | {"origin": "null"}, 403),
            ({"origin": origin}, 426),
            (UPGRADE | {"origin": origin}, 101),
            (UPGRADE | {"origin": origin}, 401),
        ):
            async with door.visit() as visitor:
                assert (await visitor.ask("GET", f"/stream?ticket={ticket}", None, **headers)).status == status
        assert [caller for _, caller in door.upgraded] == [OPERATOR]
        head = door.upgraded[0][0]
        assert head.startswith(b"GET /stream?ticket=")
        assert head.endswith(b"\r\n\r\n")
        late = await ticket_of(door)
        door.now += 31
        async with door.visit() as visitor:
            said = await visitor.ask("GET", f"/stream?ticket={late}", None, **UPGRADE, origin=origin)
            assert (said.status, said.words) == (401, "this ticket was used, or is too old")


@pytest.mark.parametrize("has_ticket", [True, False])
async def test_a_websocket_ends_with_the_login_it_came_by_and_not_with_another(tmp_path: Path, has_ticket: bool):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        door.is_following = True
        logins = [(await log_in(visitor, door.access.make_code(door.now).value)).json["login"] for _ in range(2)]
        for login in logins:
            given = {"authorization": f"Bearer {login}"}
            ticket = (await visitor.ask("POST", "/ticket", b"{}", **given)).json["ticket"] if has_ticket else ""
            path = f"/stream?ticket={ticket}" if has_ticket else "/stream"
            headers = UPGRADE | ({"origin": f"http://127.0.0.1:{door.port}"} if has_ticket else given)
            async with door.visit() as page, door.visit() as other, trio.open_nursery() as nursery:
                assert (await page.ask("GET", path, None, **headers)).status == 101
                ended: list[bytes] = []

                async def follow(page: Visitor = page, ended: list[bytes] = ended) -> None:
                    ended.append(await page.stream.receive_some(1000))

                nursery.start_soon(follow)
                assert (await other.ask("POST", "/logout", b"{}", authorization=f"Bearer {TOKEN}")).status == 400
                assert ended == []
                async with door.visit() as third:
                    assert (await third.ask("POST", "/logout", b"{}", authorization=f"Bearer {login}")).status == 204
                await until(ended.copy)
                assert ended[0].startswith(b"the login is over")


async def test_a_ticket_is_worth_nothing_after_a_logout(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor, door.visit() as page:
        login = (await log_in(visitor, door.access.make_code(door.now).value)).json["login"]
        ticket = (await visitor.ask("POST", "/ticket", b"{}", authorization=f"Bearer {login}")).json["ticket"]
        assert (await visitor.ask("POST", "/logout", b"{}", authorization=f"Bearer {login}")).status == 204
        origin = f"http://127.0.0.1:{door.port}"
        assert (await page.ask("GET", f"/stream?ticket={ticket}", None, **UPGRADE, origin=origin)).status == 401


async def test_of_two_who_come_with_the_same_at_once_one_is_let_in(tmp_path: Path):
    async with open_door(tmp_path) as door:
        code, ticket = door.access.make_code(door.now).value, await ticket_of(door)
        door.identify_gate, door.identifying = trio.Event(), 0
        body = json.dumps({"code": code}).encode()
        origin = f"http://127.0.0.1:{door.port}"
        statuses: dict[str, list[int]] = {"/login": [], "/stream": []}

        async def come(method: str, path: str, body: bytes | None, **headers: str) -> None:
            async with door.visit() as visitor:
                said = await visitor.ask(method, path, body, **headers)
                statuses[path.partition("?")[0]].append(said.status)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(come, "POST", "/login", body)
                nursery.start_soon(
                    functools.partial(come, "GET", f"/stream?ticket={ticket}", None, **UPGRADE, origin=origin)
                )
            await until(lambda: door.identifying == 6)
            door.identify_gate.set()
        assert sorted(statuses["/login"]) == [200] + [401] * 4
        assert sorted(statuses["/stream"]) == [101] + [401] * 4


async def test_a_program_opens_a_websocket_with_the_token_and_no_origin(tmp_path: Path):
    async with open_door(tmp_path) as door:
        async with door.visit() as visitor:
            said = await visitor.ask("GET", "/stream", None, **UPGRADE, authorization=f"Bearer {TOKEN}")
            assert said.status == 101
        async with door.visit() as visitor:
            assert (await visitor.ask("GET", "/stream", None, **UPGRADE)).status == 401


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"sec_websocket_version": "8"}, 426),
        ({"sec_websocket_version": ""}, 426),
        ({"connection": "keep-alive"}, 426),
        ({"upgrade": "h2c"}, 426),
        ({"sec_websocket_key": ""}, 400),
        ({"sec_websocket_key": "short=="}, 400),
        ({"sec_websocket_key": "dGhlIHNhbXBsZSBub25jZQ==, dGhlIHNhbXBsZSBub25jZQ=="}, 400),
        ({"content_length": "2"}, 426),
    ],
)
async def test_half_a_handshake_is_refused_and_spends_no_ticket(tmp_path: Path, wrong: dict[str, str], status: int):
    async with open_door(tmp_path) as door:
        ticket, origin = await ticket_of(door), f"http://127.0.0.1:{door.port}"
        for given, expected in ((wrong, status), ({}, 101)):
            async with door.visit() as visitor:
                headers = UPGRADE | {"origin": origin} | given
                said = await visitor.ask("GET", f"/stream?ticket={ticket}", None, **headers)
                assert said.status == expected
                assert said.status != 426 or said.headers["upgrade"] == "websocket"
                assert said.status != 426 or "websocket client" in said.json["error"]["hint"]


async def test_one_websocket_too_many_is_told_so(tmp_path: Path):
    async with open_door(tmp_path, websockets=2) as door, contextlib.AsyncExitStack() as stack:
        door.is_following = True
        given = UPGRADE | {"authorization": f"Bearer {TOKEN}"}
        visitors = [await stack.enter_async_context(door.visit()) for _ in range(4)]
        assert [(await one.ask("GET", "/stream", None, **given)).status for one in visitors[:2]] == [101, 101]
        said = await visitors[2].ask("GET", "/stream", None, **given)
        assert (said.status, said.words) == (503, "2 websockets are open, which is the limit")
        await visitors[0].stream.aclose()
        await door.door.part()
        door.door.resume()
        assert (await visitors[3].ask("GET", "/stream", None, **given)).status == 101


async def test_no_page_of_another_site_has_a_browser_load_anything(tmp_path: Path):
    async with open_door(tmp_path) as door:
        for site, mode, path, status in (
            ("cross-site", "no-cors", "/app.js", 403),
            ("same-site", "no-cors", "/app.js", 403),
            ("cross-site", "cors", "/health", 403),
            ("cross-site", "navigate", "/", 200),
            ("same-origin", "cors", "/app.js", 200),
            ("none", "navigate", "/", 200),
        ):
            async with door.visit() as visitor:
                said = await visitor.ask("GET", path, None, sec_fetch_site=site, sec_fetch_mode=mode)
                assert said.status == status, (site, mode, path)
        async with door.visit() as visitor:
            code = door.access.make_code(door.now).value
            said = await log_in(visitor, code, sec_fetch_site="cross-site", sec_fetch_mode="navigate")
            assert said.status == 403


async def test_what_is_secret_is_in_no_log(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    async with open_door(tmp_path) as door:
        with caplog.at_level(logging.DEBUG):
            code, ticket = door.access.make_code(door.now).value, await ticket_of(door)
            async with door.visit() as visitor:
                login = (await log_in(visitor, code)).json["login"]
                assert (await log_in(visitor, code)).status == 401
                assert (await visitor.call("test.echo", login)).status == 200
                assert (await visitor.call("test.echo", login + "x")).status == 401
            for origin in ("http://evil.test", f"http://127.0.0.1:{door.port}"):
                async with door.visit() as page:
                    await page.ask("GET", f"/stream?ticket={ticket}", None, **UPGRADE, origin=origin)
        for secret in (code, ticket, login, TOKEN):
            assert secret not in caplog.text


async def test_bytes_behind_the_head_of_an_upgrade_are_refused(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        given = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in UPGRADE.items())
        head = f"GET /stream HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\n{given}"
        await visitor.send(f"{head}authorization: Bearer {TOKEN}\r\n\r\n\x81\x85".encode("latin-1"))
        assert (await visitor.answer()).status == 400
        assert door.upgraded == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("", 400),
        ("evil.test", 421),
        ("evil.test:{port}", 421),
        ("127.0.0.1", 421),
        ("127.0.0.1:1", 421),
        ("127.0.0.1.evil.test:{port}", 421),
        ("127.0.0.1:{port}.evil.test", 421),
        ("[::1]:{port}", 421),
        ("[::ffff:127.0.0.1]:{port}", 421),
        ("0.0.0.0:{port}", 421),
        ("127.1:{port}", 421),
        ("0x7f.0.0.1:{port}", 421),
        ("127.0.0.1:0{port}", 421),
        ("127.0.0.1.:{port}", 421),
        ("localhost.:{port}", 421),
        ("localhost:{port}.", 421),
        ("user@127.0.0.1:{port}", 421),
        ("127.0.0.1:{port}, evil.test", 421),
        ("page.test.", 421),
        ("127.0.0.1:{port}", 200),
        ("localhost:{port}", 200),
        ("LOCALHOST:{port}", 200),
        ("page.test", 200),
        ("page.test:{port}", 200),
        ("page.test:1", 421),
    ],
)
async def test_only_the_names_of_the_door_are_answered(tmp_path: Path, host: str, status: int):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        for path in ("/", "/health"):
            assert (await visitor.ask("GET", path, host=host.format(port=door.port))).status == status
            if status != 200:
                break


@pytest.mark.parametrize(
    "origin",
    ["http://evil.test", "null", "https://127.0.0.1:{port}", "http://127.0.0.1", "http://localhost:{port}", ""],
)
async def test_a_page_of_another_origin_is_refused_whatever_it_has(tmp_path: Path, origin: str):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        code = door.access.make_code(door.now).value
        # An empty one is sent as an empty one.
        said = await log_in(visitor, code, origin=origin.format(port=door.port) or " ")
        assert said.status == 403
        async with door.visit() as own:
            assert (await log_in(own, code, origin=f"http://127.0.0.1:{door.port}")).status == 200


async def test_a_form_or_a_question_beforehand_of_another_page_gets_nowhere(tmp_path: Path):
    call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "test.count"}).encode()
    async with open_door(tmp_path) as door:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"):
            async with door.visit() as visitor:
                said = await visitor.ask("POST", "/rpc", call, content_type=kind, authorization=f"Bearer {TOKEN}")
                assert (said.status, said.words) == (415, "this address takes application/json alone")
                assert said.json["error"]["hint"] == "send `Content-Type: application/json`"
        async with door.visit() as visitor:
            asks = {"origin": f"http://127.0.0.1:{door.port}", "access_control_request_method": "POST"}
            said = await visitor.ask("OPTIONS", "/rpc", None, **asks)
            assert said.status == 405
            assert not [name for name in said.headers if name.startswith("access-control")]
            assert (await visitor.ask("GET", "/rpc")).headers["allow"] == "POST"


async def test_an_attempt_that_has_the_token_has_an_attempts_rights(tmp_path: Path):
    async with open_door(tmp_path) as door:
        door.peer = Peer(ATTEMPT, ATTEMPT.words, is_person=False)
        async with door.visit() as visitor:
            assert (await visitor.call("test.echo", n=1)).json["result"]["n"] == 1
            error = (await visitor.call("test.write_gated")).json["error"]
            assert error["data"]["kind"] == "permission"
            assert not door.rpc.world.begun
            said = await visitor.ask("GET", "/metrics", authorization=f"Bearer {TOKEN}")
            assert (said.status, "attempt" in said.words) == (403, True)
        async with door.visit() as visitor:
            code = door.access.make_code(door.now).value
            assert (await log_in(visitor, code)).status == 403
        async with door.visit() as visitor:
            assert (await visitor.ask("GET", "/stream", None, **UPGRADE, authorization=f"Bearer {TOKEN}")).status == 101
        assert door.upgraded[0][1] == ATTEMPT


async def test_whose_process_is_gone_may_do_nothing(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        door.peer = Peer(Caller(CallerKind.NONE, "its process is gone"), "its process is gone", False, True)
        said = await visitor.call("test.echo")
        assert (said.status, said.words) == (403, "this is not for its caller: its process is gone")
        async with door.visit() as another:
            assert (await another.ask("GET", "/health")).status == 200


async def test_pages_need_no_token_and_nothing_else_of_the_folder_is_a_page(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        said = await visitor.ask("GET", "/")
        assert (said.status, said.body) == (200, b"<!doctype html>")
        policy = said.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert f"connect-src 'self' ws://127.0.0.1:{door.port}" in policy
        assert {"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} <= set(policy.split("; "))
        assert (said.headers["referrer-policy"], said.headers["x-content-type-options"]) == ("no-referrer", "nosniff")
        tag = said.headers["etag"]
        assert (await visitor.ask("GET", "/", if_none_match=tag)).status == 304
        (door.folder / "index.html").write_text("<!doctype html><p>edited")
        assert (await visitor.ask("GET", "/", if_none_match=tag)).body.endswith(b"edited")
        assert (await visitor.ask("GET", "/app.js")).headers["content-type"].startswith("text/javascript")
        os.mkfifo(door.folder / "pipe.txt")
        (door.folder / "folder.js").mkdir()
        for name in ("/pipe.txt", "/folder.js"):
            async with door.visit() as another:
                assert (await another.ask("GET", name)).status == 404
    for path in (
        "/../outside.txt", "/%2e%2e/outside.txt", "/..%2foutside.txt", "/./app.js", "//outside.txt", "/app.js/",
        "/app.js%00.html", "/secret.py", "/.hidden", "/nothing.js", "/index.html/../app.js", "/a" * 2000 + ".js",
        f"/{tmp_path}/outside.txt", "\\..\\outside.txt", "/" + "x" * 300 + ".js",
    ):  # fmt: skip
        async with open_door(tmp_path / str(abs(hash(path)))) as door, door.visit() as visitor:
            assert (await visitor.ask("GET", path)).status in (400, 404)


async def test_head_says_what_get_would(tmp_path: Path):
    async with open_door(tmp_path) as door, door.visit() as visitor:
        await visitor.send(f"HEAD / HTTP/1.1\r\nhost: 127.0.0.1:{door.port}\r\nconnection: close\r\n\r\n".encode())
        data = b""
        while more := await visitor.stream.receive_some(65536):
            data += more
        assert b"Content-Length: 15\r\n" in data
        assert data.endswith(b"\r\n\r\n")
