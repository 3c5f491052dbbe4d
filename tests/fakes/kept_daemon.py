"""A daemon for the keeper to keep: answers health and stop on the inherited listener. With `die` it ends at once."""

from __future__ import annotations

import json
import os
import socket
import sys


def main() -> int:
    if "die" in sys.argv:
        print("no disk, no hope", flush=True)
        return 1
    listener = socket.socket(fileno=int(os.environ["RINGMASTER_LISTENER_FD"]))
    while True:
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                request = json.loads(line)
                answer = {"state": "ok", "words": "", "pid": os.getpid(), "started_at": 1.0, "is_kept": True}
                is_over = request["method"] == "daemon.stop"
                if is_over:
                    answer = {"pid": os.getpid(), "live_attempts": 2}
                connection.sendall(
                    json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": answer}).encode() + b"\n"
                )
                if is_over:
                    return 0


if __name__ == "__main__":
    sys.exit(main())
