"""Rank the tasks of a graph: a program of its own, so that neither the loop nor a claim ever waits for it.

    python -I -S order_program.py < GRAPH > RANKS

GRAPH is lines of JSON: `{"rules": …}` first, then `{"edges": [[waiter, other, kind], …]}` and `{"tasks": [[seq,
priority, arrived_at, deadline_at, is_epic, rank, is_open, terms], …]}` in any order; see `queue/order.py`. RANKS is
lines of at most 500 `[seq, priority, deadline_at, is_open, old_rank, rank, terms]`: the tasks whose rank or terms are
others now. It has 60 s of a processor, and is the first to give one up.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # Last, so that nothing that lies beside the package can stand in for the standard library.
    sys.path.append(__file__.rsplit("/", 3)[0])
    from ringmaster.queue.order_run import main

    sys.exit(main())
