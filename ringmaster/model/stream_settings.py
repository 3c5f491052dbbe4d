"""Where the door listens: the table `[stream]` of the settings."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import msgspec

TOKEN_FILE = "stream.token"
"""In the state directory; who can read it is let in."""

Address = Annotated[str, msgspec.Meta(pattern=r"\A[0-9A-Fa-f:.]+\Z")]
Name = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9.-]+(:[0-9]{1,5})?\Z")]


class StreamSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[stream]`: the page and the feed over HTTP. See docs/page.md.

    listen: an address of this machine; another than loopback lets in whoever has the token from elsewhere, unencrypted.
    port: 0 for the one of last time, or a free one. names: what else it may be called in `Host`: `name` or `name:port`.
    """

    is_enabled: bool = True
    listen: Address = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    names: tuple[Name, ...] = ()

    def __post_init__(self) -> None:
        """An address is kept as the system writes it, for it is compared. Raises ValueError for one that is none."""
        msgspec.structs.force_setattr(self, "listen", str(ipaddress.ip_address(self.listen)))
