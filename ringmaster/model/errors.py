"""The errors a user can meet: each has a kind that programs test and words that people read."""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """What went wrong, for programs. The values are part of the protocol."""

    USAGE = "usage"
    NOT_FOUND = "not_found"
    WRONG_STATE = "wrong_state"
    LEASE_LOST = "lease_lost"
    CONFLICT = "conflict"
    NOTHING_TO_CLAIM = "nothing_to_claim"
    REFUSED = "refused"
    PERMISSION = "permission"
    UNREACHABLE = "unreachable"
    PROTOCOL = "protocol"
    DISK_FULL = "disk_full"
    TIMED_OUT = "timed_out"
    STOPPING = "stopping"
    INTERNAL = "internal"


RETRYABLE = frozenset({ErrorKind.UNREACHABLE, ErrorKind.DISK_FULL, ErrorKind.TIMED_OUT, ErrorKind.STOPPING})

EXIT_CODES: dict[ErrorKind, int] = {
    ErrorKind.USAGE: 2,
    ErrorKind.NOT_FOUND: 4,
    ErrorKind.WRONG_STATE: 5,
    ErrorKind.LEASE_LOST: 5,
    ErrorKind.CONFLICT: 5,
    ErrorKind.NOTHING_TO_CLAIM: 5,
    ErrorKind.REFUSED: 6,
    ErrorKind.PERMISSION: 7,
    ErrorKind.UNREACHABLE: 3,
    ErrorKind.PROTOCOL: 8,
    ErrorKind.DISK_FULL: 1,
    ErrorKind.TIMED_OUT: 124,
    ErrorKind.STOPPING: 3,
    ErrorKind.INTERNAL: 1,
}


class RingmasterError(Exception):
    """An expected failure, in words.

    message: one line, no trailing full stop, that says what is wrong.
    hint: what to do next, often a command; may be empty.
    """

    def __init__(self, kind: ErrorKind, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint

    @property
    def is_retryable(self) -> bool:
        """Whether the same request may succeed later without being changed."""
        return self.kind in RETRYABLE

    @property
    def exit_code(self) -> int:
        """The exit code `rmctl` ends with."""
        return EXIT_CODES[self.kind]
