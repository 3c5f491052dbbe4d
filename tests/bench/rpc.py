"""Round trips a second of a trivial method at 1, 8 and 64 clients, beside a plain trio echo of the same lines."""

from __future__ import annotations

from tests.bench.figures import Report
from tests.bench.rpc_roundtrip import CLIENTS, measure

# What prototypes reached: a careful reader's round trips in multiples of plain trio's, on an idle machine.
CAREFUL = {1: 13 / 18, 8: 90 / 51, 64: 105 / 56}


def run(figures: Report) -> None:
    """Ours and the echo in turns."""
    figures.head("JSON-RPC round trips of a trivial method, clients in processes of their own")
    seconds, rounds = (0.4, 3) if figures.is_quick else (1.0, 5)
    for clients in CLIENTS:
        ours, plain = [], []
        for _ in range(rounds):
            ours.append(measure("ringmaster", clients, seconds))
            plain.append(measure("echo", clients, seconds))
        median = figures.figure(f"{clients} clients", ours, "/s", yardstick=("plain trio echo", plain))
        plain_median = sorted(plain)[len(plain) // 2]
        figures.at_least(f"{clients} clients against the echo", median / plain_median, CAREFUL[clients])
