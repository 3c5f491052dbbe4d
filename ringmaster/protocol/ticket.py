"""The file by which somebody who works by hand is known: in the git directory of the workspace they were given."""

from __future__ import annotations

from pathlib import Path

import msgspec

NAME = "ringmaster-attempt.json"


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
            return msgspec.json.decode(ticket_file(place).read_bytes(), type=Ticket)
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None
