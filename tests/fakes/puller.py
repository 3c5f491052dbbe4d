"""One who works by hand, as a program of its own: pulls, does it, reports, until it is killed or told to end.

    python puller.py SOCKET WORKER LEASE_S

Says a line for each step on stdout, so that whoever kills it can choose the moment. Ends by itself when stdin ends and
there is nothing to pull.
"""

from __future__ import annotations

import select
import sys
from pathlib import Path
from typing import Any

from ringmaster.client import Client
from ringmaster.model.errors import ErrorKind, RingmasterError

# An attempt of a killed one holds its seat until its lease has run out, so a new one has a new name.
LATER = (ErrorKind.NOTHING_TO_CLAIM, ErrorKind.UNREACHABLE, ErrorKind.STOPPING)


def say(word: str, attempt_id: str = "") -> None:
    print(word, attempt_id, flush=True)


def work(client: Client, worker: str, lease_s: float, count: int) -> None:
    key = f"{worker}-{count}"
    pulled: Any = client.call("attempt.pull", {"worker": worker, "lease_s": lease_s, "idempotency_key": key})
    names = {"attempt_id": pulled["attempt"], "token": pulled["token"]}
    say("pulled", pulled["attempt"])
    client.call("attempt.prompt", names, is_repeatable=True)
    if pulled["title"].startswith("Write"):
        place = Path(pulled["workspace"]) / "work"
        place.mkdir(exist_ok=True)
        (place / f"{pulled['task']}.txt").write_text(f"{pulled['task']}\n")
    say("written", pulled["attempt"])
    client.call("attempt.heartbeat", {**names, "idempotency_key": f"{key}-h"})
    say("alive", pulled["attempt"])
    client.call("attempt.report", {**names, "status": "succeeded", "idempotency_key": f"{key}-r"})
    say("reported", pulled["attempt"])
    client.call("worker.wait", {"id": worker, "is_seat_enough": True}, is_repeatable=True)


def main() -> None:
    socket, worker, lease_s = sys.argv[1], sys.argv[2], float(sys.argv[3])
    count = 0
    with Client(socket, timeout_s=120.0) as client:
        while True:
            count += 1
            try:
                work(client, worker, lease_s, count)
            except RingmasterError as error:
                if error.kind is ErrorKind.LEASE_LOST:
                    say("late")
                elif error.kind not in LATER:
                    raise
                elif select.select([sys.stdin], [], [], 0.2)[0] and not sys.stdin.read(1):
                    return


if __name__ == "__main__":
    main()
