"""Who somebody is that works on an attempt by hand: what they say, their environment, or the workspace they are in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError


class Holder(NamedTuple):
    """Which attempt, and the token that proves it."""

    attempt_id: str
    token: str


def find_holder(session: Session, attempt_id: str, token: str) -> Holder:
    """Options before RM_ATTEMPT and RM_TOKEN, these before the file of the workspace; never the newest attempt.

    The file also says which daemon is meant, where nothing else does.

    Raises:
        RingmasterError: USAGE when no token, or no attempt to it, can be found; PERMISSION for a file that may not
            be read.
    """
    environ = session.environ
    if not token:
        token, attempt_id = environ.get("RM_TOKEN", ""), attempt_id or environ.get("RM_ATTEMPT", "")
    elif not attempt_id:
        attempt_id = environ.get("RM_ATTEMPT", "")
    if token and attempt_id:
        return Holder(attempt_id, token)
    found = _from_workspace(session)
    if found is None or (attempt_id and attempt_id != found.attempt_id):
        raise RingmasterError(
            ErrorKind.USAGE,
            f"no token of {attempt_id or 'an attempt'}: this is not its workspace, and RM_TOKEN is not set"
            if not token
            else "a token alone does not say of which attempt",
            "go to the workspace that rmctl pull named, or add --attempt TASK/N --token TOKEN",
        )
    return Holder(found.attempt_id, token or found.token)


def _from_workspace(session: Session) -> Holder | None:
    import msgspec

    from ringmaster.protocol.ticket import NAME, find_ticket

    try:
        ticket = find_ticket(Path(os.getcwd()))
    except PermissionError as error:
        raise RingmasterError(ErrorKind.PERMISSION, f"cannot read {error.filename}: {error.strerror}") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise RingmasterError(
            ErrorKind.USAGE, f"{NAME} of this workspace cannot be read: {error}", "add --attempt TASK/N --token TOKEN"
        ) from None
    if ticket is None:
        return None
    is_said = session.instance or session.environ.get("RMCTL_SOCKET")
    if not is_said and ticket.socket != session.socket_path() and ticket.socket.endswith(".sock"):
        session.instance = ticket.socket
    return Holder(ticket.attempt, ticket.token)
