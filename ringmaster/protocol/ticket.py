"""The file by which somebody who works by hand is known: in the git directory of the workspace they were given."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

NAME = "ringmaster-attempt.json"
MOST_BYTES = 1 << 16


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """Which attempt the workspace is for. token: a secret, so the file is its owner's alone. socket: of its daemon."""

    attempt: str
    task: str
    token: str
    socket: str
    format: int = 1


def ticket_file(workspace: Path) -> Path:
    """Where it lies: no `git clean` removes it there, and no commit takes it along."""
    return workspace / ".git" / NAME


def find_ticket(directory: Path) -> Ticket | None:
    """The ticket of the workspace that a directory lies in, None when it is none.

    Repositories inside the workspace are passed over. Raises OSError for a ticket that may not be read, and
    msgspec.MsgspecError for one that is damaged.
    """
    for place in (directory, *directory.parents):
        try:
            return msgspec.json.decode(_read(ticket_file(place)), type=Ticket)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None


def _read(path: Path) -> bytes:
    """At once and never much, whatever an agent has left in its place: a pipe is empty, a device has no end."""
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        return file.read(MOST_BYTES) or b""
