"""Who is let in: the token for programs, and for pages codes, logins and tickets. Values and rules; no I/O.

Of what is secret only a digest is kept, and digests are compared in constant time.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable
from hashlib import sha256

import msgspec

CODE_S = 60.0
TICKET_S = 30.0
LOGIN_S = 7 * 86400.0
CODES = 32
TICKETS = 256
LOGINS = 64
"""How many of each hold at a time; one more ends the oldest."""


class Secret(msgspec.Struct, frozen=True):
    """What is left of something secret: its digest in hex, and until when it holds."""

    digest: str
    expires_at: float


class Issued(msgspec.Struct, frozen=True):
    """A new one, for who asked for it."""

    value: str
    expires_at: float


def digest_of(value: str) -> str:
    """SHA-256 in hex. What is hashed has 256 random bits, so nothing slower is needed."""
    return sha256(value.encode()).hexdigest()


class Access:
    """The token and what was issued since. logins: those of an earlier life. make: a new secret value.

    on_change: called when there are other logins than before.
    """

    def __init__(
        self,
        token: str,
        logins: Iterable[Secret] = (),
        *,
        make: Callable[[], str] = lambda: secrets.token_urlsafe(32),
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._token = digest_of(token)
        self._make = make
        self._on_change = on_change
        self._logins = list(logins)[-LOGINS:]
        self._codes: list[Secret] = []
        self._tickets: list[Secret] = []

    @property
    def logins(self) -> tuple[Secret, ...]:
        """Logins that hold, and some that are over."""
        return tuple(self._logins)

    def make_code(self, now: float) -> Issued:
        """A code for a link: good once."""
        return self._issue(self._codes, now, CODE_S, CODES)

    def redeem(self, code: str, now: float) -> Issued | None:
        """A login for a code; None for one that was used, is wrong or old."""
        if not _take(self._codes, code, now):
            return None
        login = self._issue(self._logins, now, LOGIN_S, LOGINS)
        self._on_change()
        return login

    def has(self, bearer: str, now: float) -> bool:
        """Whether this is the token, or a login that holds."""
        digest = digest_of(bearer)
        is_token = hmac.compare_digest(digest, self._token)
        return (_find(self._logins, digest, now) is not None) or is_token

    def end_login(self, login: str) -> bool:
        """End a login; False where it is none."""
        is_ended = _take(self._logins, login, 0.0)
        if is_ended:
            self._on_change()
        return is_ended

    def make_ticket(self, now: float) -> Issued:
        """A ticket for one websocket."""
        return self._issue(self._tickets, now, TICKET_S, TICKETS)

    def take_ticket(self, ticket: str, now: float) -> bool:
        """Whether a ticket is good; from then on it is not."""
        return _take(self._tickets, ticket, now)

    def _issue(self, held: list[Secret], now: float, hold_s: float, most: int) -> Issued:
        issued = Issued(self._make(), now + hold_s)
        held[:] = [one for one in held if one.expires_at > now][-most + 1 :]
        held.append(Secret(digest_of(issued.value), issued.expires_at))
        return issued


def _find(held: list[Secret], digest: str, now: float) -> int | None:
    found = None
    for index, one in enumerate(held):
        # No early return: how long it takes says nothing of where it was.
        if hmac.compare_digest(one.digest, digest) and one.expires_at > now:
            found = index
    return found


def _take(held: list[Secret], value: str, now: float) -> bool:
    index = _find(held, digest_of(value), now)
    if index is not None:
        del held[index]
    return index is not None
