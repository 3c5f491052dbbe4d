"""Who is let in, and until when: the token for programs, and for pages codes, logins and tickets. No I/O.

Of what is secret only a digest is kept, and digests are compared in constant time.
"""

from __future__ import annotations

import hmac
import math
import secrets
from collections.abc import Callable, Iterable
from hashlib import sha256

import msgspec
import trio

CODE_S = 60.0
TICKET_S = 30.0
LOGIN_S = 7 * 86400.0
CODES = 32
TICKETS = 256
LOGINS = 64
"""How many of each hold at a time; one more ends the oldest."""


class Grant(msgspec.Struct, frozen=True):
    """By what somebody was let in. login: the digest of a login; '' for the token, which holds as long as this does."""

    login: str = ""
    expires_at: float = math.inf


class Secret(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is left of something secret: its digest in hex, and until when it holds.

    login: of a ticket, the digest of the login that asked for it; '' for none.
    """

    digest: str
    expires_at: float
    login: str = ""


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
        self._changed = trio.Event()

    @property
    def logins(self) -> tuple[Secret, ...]:
        """Logins that hold, and some that are over."""
        return tuple(self._logins)

    def make_code(self, now: float) -> Issued:
        """A code for a link: good once."""
        return self._issue(self._codes, now, CODE_S, CODES)

    def has_code(self, code: str, now: float) -> bool:
        """Whether `redeem` would give a login for it."""
        return _find(self._codes, digest_of(code), now) is not None

    def redeem(self, code: str, now: float) -> Issued | None:
        """A login for a code; None for one that was used, is wrong or old."""
        if _take(self._codes, code, now) is None:
            return None
        login = self._issue(self._logins, now, LOGIN_S, LOGINS)
        self._tell_change()
        return login

    def find(self, bearer: str, now: float) -> Grant | None:
        """What somebody may come in by who has the token, or a login that holds; None for anybody else."""
        digest = digest_of(bearer)
        is_token = hmac.compare_digest(digest, self._token)
        login = _find(self._logins, digest, now)
        return Grant() if is_token else self._grant_of(login)

    def end_login(self, login: str) -> bool:
        """End a login, with all that was let in by it; False where it is none."""
        is_ended = _take(self._logins, login, 0.0) is not None
        if is_ended:
            self._tell_change()
        return is_ended

    def make_ticket(self, grant: Grant, now: float) -> Issued:
        """A ticket for one websocket, which ends with what its maker was let in by."""
        return self._issue(self._tickets, now, TICKET_S, TICKETS, grant.login)

    def take_ticket(self, ticket: str, now: float) -> Grant | None:
        """What was let in by whoever asked for a ticket, None where it is not good; from then on it is not."""
        taken = _take(self._tickets, ticket, now)
        if taken is None:
            return None
        return self._grant_of(_find(self._logins, taken.login, now)) if taken.login else Grant()

    async def wait_over(self, grant: Grant, now: Callable[[], float]) -> None:
        """Until somebody is let in no more by what let him in: it was ended, or its time has come."""
        while True:
            at = now()
            if grant.login and _find(self._logins, grant.login, at) is None:
                return
            with trio.move_on_after(grant.expires_at - at):
                await self._changed.wait()

    def _grant_of(self, login: Secret | None) -> Grant | None:
        return None if login is None else Grant(login.digest, login.expires_at)

    def _tell_change(self) -> None:
        self._on_change()
        self._changed.set()
        self._changed = trio.Event()

    def _issue(self, held: list[Secret], now: float, hold_s: float, most: int, login: str = "") -> Issued:
        issued = Issued(self._make(), now + hold_s)
        held[:] = [one for one in held if one.expires_at > now][-most + 1 :]
        held.append(Secret(digest_of(issued.value), issued.expires_at, login))
        return issued


def _find(held: list[Secret], digest: str, now: float) -> Secret | None:
    found = None
    for one in held:
        # No early return: how long it takes says nothing of where it was.
        if hmac.compare_digest(one.digest, digest) and one.expires_at > now:
            found = one
    return found


def _take(held: list[Secret], value: str, now: float) -> Secret | None:
    found = _find(held, digest_of(value), now)
    if found is not None:
        held.remove(found)
    return found
