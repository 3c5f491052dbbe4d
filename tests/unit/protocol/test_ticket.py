"""The ticket of a workspace: found from anywhere in it, and nothing in its place is waited for."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from ringmaster.protocol.ticket import Ticket, find_ticket, ticket_file

TICKET = Ticket(attempt="rm-abc12/1", task="rm-abc12", token="t" * 32, socket="/s.sock")


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    ticket_file(tmp_path).parent.mkdir()
    return tmp_path


def test_it_is_found_from_below_and_past_a_repository_inside(workspace: Path) -> None:
    ticket_file(workspace).write_bytes(msgspec.json.encode(TICKET))
    below = workspace / "vendor" / "other"
    (below / ".git").mkdir(parents=True)
    assert find_ticket(below) == TICKET
    (workspace / "vendor" / ".git").write_text("gitdir: elsewhere\n")
    assert find_ticket(below) == TICKET


def test_there_is_none_outside(workspace: Path) -> None:
    assert find_ticket(workspace) is None


@pytest.mark.parametrize("device", ["/dev/zero", ""], ids=["endless", "pipe"])
def test_what_has_no_end_is_damaged_and_not_waited_for(workspace: Path, device: str) -> None:
    if device:
        ticket_file(workspace).symlink_to(device)
    else:
        os.mkfifo(ticket_file(workspace))
    with pytest.raises(msgspec.MsgspecError):
        find_ticket(workspace)
