"""Which names the door goes by: another page's script must not reach it under a name of its own (DNS rebinding)."""

from __future__ import annotations

from collections.abc import Sequence

from ringmaster.web.message import Refusal, Request

HINT = "open the link that `rmctl dashboard` prints; other names are allowed by `names` of [stream]"


class Origins:
    """The address and port that are listened on, and further names of the settings (`name` or `name:port`)."""

    def __init__(self, address: str, port: int, names: Sequence[str] = ()) -> None:
        own = {f"[{address}]" if ":" in address else address}
        if address.startswith("127.") or address == "::1":
            own.add("localhost")
        self._hosts = {f"{name}:{port}" for name in own}
        if port == 80:
            self._hosts |= own
        self._port = port
        self.allow(names)

    def allow(self, names: Sequence[str]) -> None:
        """From now on these are the further names."""
        # A proxy before it may speak TLS, and a browser leaves out the port of its scheme.
        self._named = {name.lower() for name in names}
        self._named |= {f"{name}:{self._port}" for name in self._named if not _has_port(name)}

    def check(self, request: Request) -> str:
        """The host that a request names. Raises `Refusal` for a foreign host or origin."""
        host = request.header("host").lower()
        if not host:
            raise Refusal(400, "the request names no host", HINT)
        if host not in self._hosts and host not in self._named:
            raise Refusal(421, f"this is not {_shown(host)}", HINT)
        origin = request.headers.get("origin")
        if origin is not None and origin.lower() not in self._origins_of(host):
            raise Refusal(403, f"a page of {_shown(origin)} may not ask anything here", HINT)
        return host

    def _origins_of(self, host: str) -> tuple[str, ...]:
        return (f"http://{host}", f"https://{host}") if host in self._named else (f"http://{host}",)


def check_site(request: Request) -> None:
    """Raises `Refusal` for what a page of another site, or of another port, has a browser load into it.

    Browsers say so since 2020 or 2023. Following a link to the page is nothing of that, and a websocket, of which not
    all of them say where it is from, has its ticket.
    """
    site, mode = request.header("sec-fetch-site"), request.header("sec-fetch-mode")
    if site in ("cross-site", "same-site") and not (mode == "navigate" and request.method == "GET"):
        raise Refusal(403, "another page may not load anything from here", HINT)


def _has_port(name: str) -> bool:
    return name.rpartition(":")[2].isdigit() and not name.endswith("]")


def _shown(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in name[:80])
