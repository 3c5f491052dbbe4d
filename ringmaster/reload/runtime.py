"""What the daemon needs at run time: the distributions and those that they need."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ringmaster.model.errors import ErrorKind, RingmasterError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

ROOTS = ("trio", "trio-websocket", "h11", "prometheus-client", "apsw", "msgspec", "click", "watchdog")
"""`project.dependencies` of pyproject.toml, which neither a wheel's nor a release's code has at hand."""

_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)


def normalize(name: str) -> str:
    """A distribution's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def runtime_distributions(path: Sequence[str] | None = None) -> tuple[Distribution, ...]:
    """The roots and all that they require, by name: those of the running environment, or those that lie in `path`.

    Raises:
        RingmasterError: INTERNAL when one of the roots is not installed as a distribution.
    """
    # Here: with it come 30 modules more, and each would take its time from the pause of a switch.
    from importlib.metadata import Distribution

    places = list(sys.path if path is None else path)
    found: dict[str, Distribution] = {}
    waiting = list(ROOTS)
    while waiting:
        name = waiting.pop()
        if normalize(name) in found:
            continue
        distribution = next(iter(Distribution.discover(name=name, path=places)), None)
        if distribution is None:
            if name in ROOTS:
                raise RingmasterError(ErrorKind.INTERNAL, f"{name} is not installed as a distribution")
            # A marker left it out on this machine; where it is missing all the same, what runs does without.
            continue
        found[normalize(name)] = distribution
        for requirement in distribution.requires or ():
            _, _, marker = requirement.partition(";")
            match = _NAME.match(requirement)
            if match and "extra" not in marker:
                waiting.append(match[1])
    return tuple(found[name] for name in sorted(found))


def installed_lock(path: Sequence[str] | None = None) -> bytes:
    """What stands in for the lock of an installed wheel: the versions of `runtime_distributions`."""
    lines = [f"{normalize(each.name)}=={each.version}\n" for each in runtime_distributions(path)]
    return "".join(lines).encode()


def locked_versions(lock: bytes) -> dict[str, str]:
    """Version by normalized name, as a lock file names them."""
    return {normalize(name): version for name, version in _PINNED.findall(lock.decode(errors="replace"))}
