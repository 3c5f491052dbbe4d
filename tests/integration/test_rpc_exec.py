"""A server that replaces itself by exec: its pid, its listener and its clients stay."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.handing import Client, Images, open_images
from tests.fakes.rpc import request

CHECKOUT = Path(__file__).resolve().parents[2]
EXECS = 2


@contextmanager
def open_program(images: Images) -> Iterator[subprocess.Popen[bytes]]:
    fd = images.listener.fileno()
    argv = [sys.executable, "-m", "tests.fakes.reexec", str(fd), "-1", "0"]
    with subprocess.Popen(
        argv, pass_fds=[fd], cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def call_without_end(client: Client, stop: threading.Event, answered: list[int]) -> None:
    """Call one after the other, three at a time, and never connect again."""
    methods = ("test.echo", "test.later", "test.write_gated")
    number = 0
    while not stop.is_set():
        client.send_json(*(request(method, number + n, n=number + n) for n, method in enumerate(methods)))
        answers = sorted(client.answers(len(methods)), key=lambda answer: int(answer["id"]))
        for answer in answers:
            assert answer["result"] == {"n": answer["id"]}
            answered.append(answer["id"])
        number += len(methods)


def test_clients_that_never_retry_outlive_the_code_that_serves_them(tmp_path):
    stop = threading.Event()
    answered: list[list[int]] = [[] for _ in range(4)]
    seen: list[Any] = []
    with ExitStack() as stack:
        images = stack.enter_context(open_images(tmp_path))
        process = stack.enter_context(open_program(images))
        callers = [stack.enter_context(Client(images)) for _ in answered]
        follower, operator = stack.enter_context(Client(images)), stack.enter_context(Client(images))
        follower.send_json(request("test.ticks", n=0))
        assert follower.answer()["result"] == {"subscription": 1}

        def follow() -> None:
            while not stop.is_set():
                seen.append(follower.answer()["params"]["item"])

        threads = [
            threading.Thread(target=call_without_end, args=(client, stop, numbers))
            for client, numbers in zip(callers, answered, strict=True)
        ]
        threads.append(threading.Thread(target=follow))
        for thread in threads:
            thread.start()
        try:
            for number in range(EXECS):
                operator.send_json(request("test.exec", number))
                assert operator.answer()["id"] == number
                # Sent while nobody serves: one client's is in the middle of a line.
                half = b'{"jsonrpc":"2.0","method":"test.image","id":"half",'
                operator.send(half)
                with Client(images) as late:
                    late.send_json(request("test.image"))
                    assert late.answer()["result"] == {"n": number + 1}
                operator.send(b'"params":{}}\n')
                assert operator.answer() == {"jsonrpc": "2.0", "result": {"n": number + 1}, "id": "half"}
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert process.poll() is None
        # The listener, two pairs that wake its loop, the clients, and perhaps the late one: nothing is left behind.
        links = [os.readlink(fd) for fd in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert sum(link.startswith("socket:") for link in links) <= 1 + 4 + len(callers) + 2 + 1
        assert not any("handoff" in link for link in links)
    assert seen == list(range(len(seen)))
    for numbers in answered:
        assert numbers == list(range(len(numbers)))
        assert numbers
