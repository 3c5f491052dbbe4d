"""Params and results of `dashboard.*`."""

from __future__ import annotations

import msgspec

from ringmaster.protocol.mutation import Mutation


class DashboardLinkParams(Mutation, frozen=True, kw_only=True):
    """No parameters of its own. A repeat gets another link: none is kept, and one that was lost is over in a minute."""


class DashboardLink(msgspec.Struct, frozen=True, kw_only=True):
    """A link to the page, good once and until `expires_at`: whoever opens it acts as the person who asked for it."""

    url: str
    expires_at: float
