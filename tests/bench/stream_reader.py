"""Readers of the stream that were not written here, as a program for the environment that `bin/setup-bench` makes.

    python stream_reader.py OPTIONS

OPTIONS is JSON. place: a `stream.json`; token: '' for none; attempt_id: whose stdout is read, from its beginning to its
end; count: of connections. path: of the file of that output, which gaps are filled from. is_from_mark: come back with
the cursor of the last mark, not with the one of `bye`, and drop what came since by its offset. frames_to: a file for
all frames that the first connection got, '' for none.

Prints `ready` when all follow, and at the end one line of JSON: what each connection got, the seconds of processor time
since then, and the milliseconds from writing to receiving of the first and the last line of each message. The numbers
of the lines follow on each other, and the digest is of all the text: nothing can be lost or come twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import resource
import sys
import time
from typing import Any

import websockets  # type: ignore[import-not-found]  # of .bench alone

RESTART = 1012


class Connection:
    """One subscriber, over all its connections."""

    def __init__(self, options: dict[str, Any], *, is_first: bool) -> None:
        self.options = options
        self.failures: list[str] = []
        self.lines = self.bytes = self.frames = self.dropped_bytes = self.gap_bytes = 0
        self.resyncs = self.comebacks = self.events = 0
        self.latencies_ms: list[float] = []
        self.finished_at = 0.0
        self.first_at = 0.0
        self.is_ready = asyncio.Event()
        self._digest = hashlib.sha256()
        self._offset = 0
        self._number = 0
        self._seq = 0
        self._cursor = ""
        self._is_over = False
        self._captured: list[str] | None = [] if is_first and options["frames_to"] else None

    async def follow(self) -> None:
        """Until the output has ended, or something is wrong."""
        while not self._is_over and not self.failures:
            with open(self.options["place"]) as file:
                port = json.load(file)["port"]
            token = self.options["token"]
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            url = f"ws://127.0.0.1:{port}/stream"
            async with websockets.connect(url, max_size=None, compression=None, additional_headers=headers) as ws:
                wanted = {"attempt_id": self.options["attempt_id"], "output": ["stdout"], "tail_lines": None}
                await ws.send(json.dumps({"kind": "subscribe", "cursor": self._cursor, **wanted}))
                try:
                    async for frame in ws:
                        self._take(frame, time.time())
                        if self._is_over or self.failures:
                            return
                except websockets.ConnectionClosedError:
                    pass
                if ws.close_code != RESTART:
                    self.failures.append(f"closed with {ws.close_code}: {ws.close_reason}")
                self.comebacks += 1

    def _take(self, frame: str, now: float) -> None:
        self.frames += 1
        self.bytes += len(frame)
        if self._captured is not None:
            self._captured.append(frame)
        for text in frame.split("\n"):
            message = json.loads(text)
            kind = message["kind"]
            if kind == "lines":
                self._take_lines(message, now)
            elif kind == "event":
                self.events += 1
                if message["event"]["seq"] <= self._seq and not self.options["is_from_mark"]:
                    self.failures.append(f"event {message['event']['seq']} came twice")
                self._seq = max(self._seq, message["event"]["seq"])
            elif kind in ("hello", "mark") or (kind == "bye" and not self.options["is_from_mark"]):
                self._cursor = message["cursor"]
                self.is_ready.set()
            elif kind == "resync":
                self._take_resync(message)
            elif kind != "bye":
                self.failures.append(f"unexpected: {text[:200]}")

    def _take_lines(self, message: dict[str, Any], now: float) -> None:
        text, offset = message["text"], message["offset"]
        if offset < self._offset and self.comebacks:
            # Was on its way when the connection was closed. Of this text a character is a byte.
            again = min(self._offset, message["next_offset"]) - offset
            self.dropped_bytes += again
            text, offset = text[again:], self._offset
        if offset != self._offset:
            self.failures.append(f"a gap or a double: {offset} in place of {self._offset}")
        self._offset = max(self._offset, message["next_offset"])
        self._digest.update(text.encode())
        self._is_over = message["is_end"]
        if text:
            self._check_lines(text, now)

    def _check_lines(self, text: str, now: float) -> None:
        self.first_at = self.first_at or now
        self.finished_at = now
        count = text.count("\n")
        first = text[: text.index("\n")].split(" ", 2)
        last = text[text.rfind("\n", 0, -1) + 1 :].split(" ", 2)
        if self._number < 0:
            self._number = int(first[0])
        if int(first[0]) != self._number or int(last[0]) != self._number + count - 1 or not text.endswith("\n"):
            self.failures.append(f"lines {first[0]} to {last[0]}, {count} of them, in place of {self._number}")
        self._number += count
        self.lines += count
        self.latencies_ms += [(now - float(first[1])) * 1000, (now - float(last[1])) * 1000]

    def _take_resync(self, message: dict[str, Any]) -> None:
        self.resyncs += 1
        self._cursor = message["cursor"]
        for gap in message["gaps"]:
            if gap["offset"] != self._offset:
                self.failures.append(f"a gap from {gap['offset']} on was told at {self._offset}")
            with open(self.options["path"], "rb") as file:
                file.seek(self._offset)
                self._digest.update(file.read(gap["next_offset"] - self._offset))
            self.gap_bytes += gap["next_offset"] - self._offset
            self._offset, self._number = gap["next_offset"], -1

    def result(self) -> dict[str, Any]:
        """What is told of it. Writes the frames where they are wanted."""
        if self._captured is not None:
            with open(self.options["frames_to"], "w") as file:
                file.writelines(json.dumps(frame) + "\n" for frame in self._captured)
        names = ("failures", "lines", "bytes", "frames", "dropped_bytes", "gap_bytes", "resyncs", "comebacks", "events")
        figures = {name: getattr(self, name) for name in (*names, "latencies_ms", "first_at", "finished_at")}
        return {**figures, "digest": self._digest.hexdigest(), "offset": self._offset}


def cpu_s() -> float:
    """Seconds of processor time that this process has taken."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def main() -> None:
    options = json.loads(sys.argv[1])
    connections = [Connection(options, is_first=number == 0) for number in range(options["count"])]
    following = asyncio.gather(*(connection.follow() for connection in connections))
    ready = asyncio.gather(*(connection.is_ready.wait() for connection in connections))
    # Where one fails before it follows, all that is to be said is why.
    both: list[asyncio.Future[Any]] = [following, ready]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    before_s = cpu_s()
    print("ready", flush=True)
    await following
    ready.cancel()
    results = [connection.result() for connection in connections]
    print(json.dumps({"cpu_s": cpu_s() - before_s, "connections": results}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
