"""A bare trio-websocket server that sends frames it was given: `python stream_echo.py PLACE FRAMES COUNT`.

FRAMES has one JSON string a line. PLACE becomes a file with the port. When COUNT clients have said something, each is
sent all frames as fast as it takes them; then the time at which that began is printed, and on a line of stdin it ends.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import trio
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket


async def main() -> None:
    place, count = Path(sys.argv[1]), int(sys.argv[3])
    frames = [json.loads(line) for line in Path(sys.argv[2]).read_text().splitlines()]
    waiting = 0
    all_there = trio.Event()

    async def serve(request: WebSocketRequest) -> None:
        nonlocal waiting
        ws: WebSocketConnection = await request.accept()
        await ws.get_message()
        # The first one is `hello`, by which a reader knows that it follows.
        await ws.send_message(frames[0])
        waiting += 1
        if waiting == count:
            all_there.set()
        await all_there.wait()
        try:
            for frame in frames[1:]:
                await ws.send_message(frame)
            await ws.get_message()
        except ConnectionClosed:
            return

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, serve, "127.0.0.1", 0, None)
        place.write_text(json.dumps({"port": server.port}))
        print("ready", flush=True)
        await all_there.wait()
        print(time.time(), flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
