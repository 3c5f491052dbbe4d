"""While an answer is waited for: whoever shows that is called in time, and a subscription goes along."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import pytest

from ringmaster.client import Client
from ringmaster.client.feed import FeedReader
from ringmaster.model.errors import RingmasterError
from tests.fakes.rpc_server import HangUp, RpcServer, Stream


def test_whoever_waits_is_called_when_it_asked_to_be(tmp_path: Path) -> None:
    asked = threading.Event()
    calls: list[float] = []

    def on_wait() -> float:
        calls.append(time.monotonic())
        if len(calls) == 4:
            asked.set()
        return 0.02

    def answer(params: object) -> dict[str, int]:
        asked.wait(30)
        return {"n": 1}

    with RpcServer(tmp_path / "s", {"a.b": answer}), Client(str(tmp_path / "s")) as client:
        client.on_wait = on_wait
        assert client.call("a.b") == {"n": 1}
    gaps = [later - earlier for earlier, later in itertools.pairwise(calls[:4])]
    assert min(gaps) >= 0.02, "it is not called in a busy loop"


def test_who_wants_no_further_call_gets_none(tmp_path: Path) -> None:
    calls: list[None] = []
    with RpcServer(tmp_path / "s", {"a.b": 1}), Client(str(tmp_path / "s")) as client:
        client.on_wait = lambda: calls.append(None)
        assert client.call("a.b") == 1
    assert len(calls) == 1


@pytest.mark.parametrize("pause_s", [0.01, None])
def test_a_deadline_holds_for_who_shows_that_it_waits(tmp_path: Path, pause_s: float | None) -> None:
    is_over = threading.Event()
    with RpcServer(tmp_path / "s", {"a.b": lambda params: is_over.wait(30)}):
        with Client(str(tmp_path / "s"), timeout_s=0.05) as client:
            client.on_wait = lambda: pause_s
            with pytest.raises(RingmasterError, match="in time"):
                client.call("a.b")
        is_over.set()


def test_a_subscription_goes_along_with_each_connection(tmp_path: Path) -> None:
    heard: list[object] = []
    answers = {"x.follow": lambda params: Stream("x.item", [{"n": 1}, {"n": 2}]), "a.wait": [HangUp(), "done"]}
    with RpcServer(tmp_path / "s", answers) as server, Client(str(tmp_path / "s")) as client:
        client.hear("x.follow", {"of": "t"}, heard.append)
        assert client.call("a.wait", is_repeatable=True) == "done"
    assert heard[-3:] == [None, {"n": 1}, {"n": 2}]
    assert [call.params for call in server.calls if call.method == "x.follow"] == [{"of": "t"}] * 2


def test_a_subscription_that_is_refused_disturbs_nothing(tmp_path: Path) -> None:
    heard: list[object] = []
    with RpcServer(tmp_path / "s", {"a.wait": "done"}), Client(str(tmp_path / "s")) as client:
        client.hear("x.follow", {}, heard.append)
        assert client.call("a.wait") == "done"
    assert heard == []


def test_the_feed_gives_what_a_mark_follows_and_the_rest_once_it_came_again(tmp_path: Path) -> None:
    def lines(offset: int, text: str) -> dict[str, object]:
        return {"kind": "lines", "offset": offset, "text": text}

    begun = {"kind": "hello", "cursor": "c0"}
    first = Stream(
        "feed.messages",
        [[begun, lines(0, "a"), {"kind": "mark", "cursor": "c1"}], [lines(1, "b")], [lines(2, "c")]],
        is_hung_up=True,
    )
    # Cut at another place than before.
    second = Stream("feed.messages", [[begun, lines(1, "bc")], [{"kind": "bye", "cursor": "c3"}], [lines(3, "d")]])
    with RpcServer(tmp_path / "s", {"feed.subscribe": [first, second]}) as server:
        with Client(str(tmp_path / "s")) as client:
            reader = FeedReader(client, {"output": ["stdout"]})
            messages = list(reader.messages())
    assert [message.get("text", message["kind"]) for message in messages] == ["hello", "a", "mark", "bc", "bye", "d"]
    assert reader.cursor == "c3"
    assert [call.cursor for call in server.called("feed.subscribe")] == ["", "c1"]
