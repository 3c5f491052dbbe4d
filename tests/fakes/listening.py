"""A listening Unix socket for a server in the test's own process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ringmaster.proc.instance import claim_instance


@contextmanager
def open_listener(path: Path) -> Iterator[socket.socket]:
    """Listen at `path` as a daemon does, holding the lock of its directory until the block is left."""
    claim = claim_instance(path.parent, path, "test")
    with open(claim.lock_fd, "rb"), socket.socket(fileno=claim.listener_fd) as listener:
        listener.setblocking(False)
        yield listener
    path.unlink(missing_ok=True)
