"""What every mutating method's parameters have besides their own."""

from __future__ import annotations

import msgspec


class Mutation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """idempotency_key: a repeat under the same key and method gets the first answer and changes nothing.

    What is not set is not sent: a newer client's parameters are then good for the older daemon that it finds running.
    """

    idempotency_key: str = ""
