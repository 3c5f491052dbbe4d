"""The blocking client against a scripted peer: what it sends, what it repeats, what it says."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from ringmaster.client import Client, Lost
from ringmaster.model.errors import ErrorKind, RingmasterError


class Number(msgspec.Struct):
    """n: any number."""

    n: int = 0


class Conversation:
    """One accepted connection of the scripted peer."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._file = connection.makefile("rb")

    def read(self) -> dict:
        return json.loads(self._file.readline())

    def write(self, *documents: object) -> None:
        self._socket.sendall(b"".join(json.dumps(document).encode() + b"\n" for document in documents))

    def answer(self, result: object) -> None:
        self.write({"jsonrpc": "2.0", "result": result, "id": self.read()["id"]})

    def refuse(self, code: int = -32000, message: str = "no", **data: object) -> None:
        error = {"code": code, "message": message, "data": data}
        self.write({"jsonrpc": "2.0", "error": error, "id": self.read()["id"]})

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@contextmanager
def open_peer(path: Path, *scripts: Callable[[Conversation], object]) -> Iterator[list[BaseException]]:
    """A peer that plays one script for each connection, in order, hangs up, and stops listening after the last."""
    errors: list[BaseException] = []
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)
    listener.settimeout(10)

    def run() -> None:
        with listener:
            for script in scripts:
                connection, _ = listener.accept()
                conversation = Conversation(connection)
                try:
                    script(conversation)
                except Exception as error:  # noqa: BLE001 -- told to the test's own thread
                    errors.append(error)
                finally:
                    conversation.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield errors
    finally:
        thread.join()
    assert errors == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "default.sock"


def open_client(path: Path, **options) -> Client:
    return Client(str(path), **{"timeout_s": 10.0, **options})


def failure(action: Callable[[], object]) -> RingmasterError:
    with pytest.raises(RingmasterError) as caught:
        action()
    assert "\n" not in caught.value.message
    return caught.value


def test_a_call_sends_one_line_and_returns_its_result(path):
    seen = []

    def script(conversation):
        seen.append(conversation.read())
        conversation.write({"jsonrpc": "2.0", "result": {"n": 4}, "id": seen[0]["id"]})
        conversation.answer({"n": 5})

    with open_peer(path, script), open_client(path) as client:
        assert client.call("a.b", {"x": "é\n"}) == {"n": 4}
        assert client.call("a.b", Number(1), Number) == Number(5)
    assert seen == [{"jsonrpc": "2.0", "id": 1, "method": "a.b", "params": {"x": "é\n"}}]


def test_an_error_comes_back_as_it_was_raised(path):
    def script(conversation):
        conversation.refuse(message="task rm-1 is done", kind="wrong_state", hint="reopen it", protocol=1)

    with open_peer(path, script), open_client(path) as client:
        error = failure(lambda: client.call("a.b"))
    assert (error.kind, error.message, error.hint, error.exit_code) == (
        ErrorKind.WRONG_STATE,
        "task rm-1 is done",
        "reopen it",
        5,
    )


def test_a_daemon_of_another_protocol_is_told_as_that(path):
    with (
        open_peer(path, lambda c: c.refuse(-32601, "unknown method a.b", kind="protocol", protocol=99)),
        open_client(path) as client,
    ):
        error = failure(lambda: client.call("a.b"))
    assert error.exit_code == 8
    assert "protocol 99, this rmctl 1" in error.message


def test_an_error_without_data_or_of_an_unknown_kind_is_a_protocol_error(path):
    def script(conversation):
        number = conversation.read()["id"]
        conversation.write({"jsonrpc": "2.0", "error": {"code": 1, "message": "eh"}, "id": number})
        conversation.refuse(kind="newfangled")

    with open_peer(path, script), open_client(path) as client:
        assert failure(lambda: client.call("a.b")).kind is ErrorKind.PROTOCOL
        assert failure(lambda: client.call("a.b")).kind is ErrorKind.PROTOCOL


def test_an_answer_of_another_shape_is_a_protocol_error(path):
    with open_peer(path, lambda c: c.answer({"n": "four"})), open_client(path) as client:
        assert failure(lambda: client.call("a.b", {}, Number)).exit_code == 8


@pytest.mark.parametrize(
    ("params", "options"), [({}, {"is_repeatable": True}), ({"idempotency_key": "k"}, {}), ({"n": 1}, None)]
)
def test_a_request_whose_answer_was_lost_is_repeated_only_where_that_is_safe(path, params, options):
    seen: list[object] = []
    scripts = [lambda c: seen.append(c.read()["params"]), lambda c: seen.append(c.read()["params"])]
    if options is None:
        with open_peer(path, scripts[0]), open_client(path) as client:
            error = failure(lambda: client.call("a.b", params))
        assert isinstance(error, Lost)
        assert seen == [params]
        return
    with open_peer(path, *scripts, lambda c: c.answer("done")), open_client(path) as client:
        assert client.call("a.b", params, **options) == "done"
    assert seen == [params, params]


def test_a_daemon_that_is_stopping_is_asked_again(path):
    with (
        open_peer(path, lambda c: c.refuse(kind="stopping"), lambda c: c.answer(1)),
        open_client(path) as client,
    ):
        assert client.call("a.b", is_repeatable=True) == 1


def test_a_refusal_is_not_repeated(path):
    with open_peer(path, lambda c: c.refuse(kind="disk_full")), open_client(path) as client:
        assert failure(lambda: client.call("a.b", is_repeatable=True)).kind is ErrorKind.DISK_FULL


def test_no_socket_and_a_dead_one_are_told_apart(path):
    error = failure(lambda: open_client(path).call("a.b", is_repeatable=True))
    assert (error.exit_code, error.hint) == (3, "start it: rmctl daemon start")
    assert "no socket at" in error.message
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    error = failure(lambda: open_client(path, name="selfhost").call("a.b"))
    assert (error.exit_code, error.hint) == (3, "start it: rmctl -s selfhost daemon start")
    assert "has died" in error.message


def test_the_only_other_daemon_that_is_up_is_named(path, tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
    with socket.socket(socket.AF_UNIX) as selfhost, socket.socket(socket.AF_UNIX) as third:
        selfhost.bind(str(tmp_path / "selfhost.sock"))
        selfhost.listen()
        hint = failure(lambda: open_client(path).call("a.b")).hint
        assert hint.startswith("selfhost is up: rmctl -s selfhost")
        third.bind(str(tmp_path / "third.sock"))
        third.listen()
        assert "is up" not in failure(lambda: open_client(path).call("a.b")).hint


def test_a_path_that_is_too_long_is_said_so(tmp_path):
    error = failure(lambda: open_client(tmp_path / ("x" * 120)).call("a.b"))
    assert (error.kind, "107" in error.message) == (ErrorKind.USAGE, True)


def test_a_silent_daemon_is_given_up_on_and_its_late_answer_is_not_taken_for_another(path):
    may_go = threading.Event()

    def silent(conversation):
        conversation.read()
        may_go.wait(10)

    with open_peer(path, silent, lambda c: c.answer("second")):
        with open_client(path, timeout_s=0.05) as client:
            assert failure(lambda: client.call("a.b", is_repeatable=True)).exit_code == 124
            may_go.set()
            client.timeout_s = 10.0
            assert client.call("a.b") == "second"


def test_many_calls_go_out_at_once_and_each_stands_for_itself(path):
    def script(conversation):
        requests = [conversation.read() for _ in range(3)]
        for request in reversed(requests):
            if request["method"] == "bad":
                conversation.write(
                    {
                        "jsonrpc": "2.0",
                        "id": request["id"],
                        "error": {"code": -32000, "message": "no", "data": {"kind": "conflict"}},
                    }
                )
            else:
                conversation.write({"jsonrpc": "2.0", "id": request["id"], "result": request["params"]["n"]})

    with open_peer(path, script), open_client(path) as client:
        first, second, third = client.call_many([("good", {"n": 1}), ("bad", {}), ("good", Number(3))])
    assert (first, third) == (1, 3)
    assert isinstance(second, RingmasterError)
    assert second.kind is ErrorKind.CONFLICT


def test_many_large_calls_and_answers_do_not_lock_each_other_up(path):
    size, count = 100_000, 50

    def script(conversation):
        for _ in range(count):
            request = conversation.read()
            conversation.write({"jsonrpc": "2.0", "id": request["id"], "result": request["params"]})

    with open_peer(path, script), open_client(path) as client:
        results = client.call_many([("echo", {"text": "x" * size})] * count)
    assert [len(result["text"]) for result in results] == [size] * count


def test_a_notification_has_no_id_and_waits_for_nothing(path):
    seen = []
    with open_peer(path, lambda c: seen.append(c.read())), open_client(path) as client:
        client.notify("a.b", {"n": 1})
    assert seen == [{"jsonrpc": "2.0", "method": "a.b", "params": {"n": 1}}]


def item(n: int) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": "x.item", "params": {"subscription": 1, "item": {"n": n}}}


def ended(error: object = None) -> dict[str, object]:
    return {"jsonrpc": "2.0", "method": "rpc.ended", "params": {"subscription": 1, "error": error}}


def test_a_stream_yields_its_items_until_it_is_over(path):
    def script(conversation):
        conversation.answer({"subscription": 1, "cursor": 7})
        conversation.write(item(1), item(2), ended())

    begun: list[object] = []
    with open_peer(path, script), open_client(path) as client:
        assert list(client.stream("x.follow", {}, Number, on_begin=begun.append)) == [Number(1), Number(2)]
    assert begun == [{"subscription": 1, "cursor": 7}]


def test_a_stream_that_failed_raises_what_it_failed_with(path):
    def script(conversation):
        conversation.answer({"subscription": 1})
        conversation.write(item(1), ended({"code": -32000, "message": "gone", "data": {"kind": "not_found"}}))

    with open_peer(path, script), open_client(path) as client:
        stream = client.stream("x.follow", {})
        assert next(stream) == {"n": 1}
        assert failure(lambda: next(stream)).kind is ErrorKind.NOT_FOUND


def test_a_stream_that_was_cut_goes_on_behind_its_last_item(path):
    seen: list[object] = []

    def script(*items: dict[str, object]) -> Callable[[Conversation], None]:
        def play(conversation: Conversation) -> None:
            request = conversation.read()
            seen.append(request["params"])
            conversation.write({"jsonrpc": "2.0", "id": request["id"], "result": {"subscription": 1}}, *items)

        return play

    scripts = (script(item(1), item(2)), script(), script(item(3), ended()))
    with open_peer(path, *scripts), open_client(path) as client:
        items = list(client.stream("x.follow", {"after": 0}, resume=lambda last: {"after": last["n"]}))
    assert [found["n"] for found in items] == [1, 2, 3]
    assert seen == [{"after": 0}, {"after": 2}, {"after": 2}]


def test_a_stream_without_resume_says_that_it_was_cut(path):
    def script(conversation):
        conversation.answer({"subscription": 1})

    with open_peer(path, script), open_client(path) as client:
        with pytest.raises(Lost):
            list(client.stream("x.follow", {}))


def test_the_client_starts_without_the_heavy_modules():
    code = "import sys, ringmaster.client; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert {"trio", "apsw", "msgspec", "click", "asyncio"}.isdisjoint(done.stdout.split())
