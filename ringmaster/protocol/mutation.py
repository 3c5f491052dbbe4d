"""What every mutating method's parameters have besides their own."""

from __future__ import annotations

import msgspec


class Mutation(msgspec.Struct, frozen=True, kw_only=True):
    """idempotency_key: a repeat under the same key and method gets the first answer and changes nothing."""

    idempotency_key: str = ""
