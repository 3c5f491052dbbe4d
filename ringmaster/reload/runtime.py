"""What the daemon needs at run time: the distributions and those that they need."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from ringmaster.model.errors import ErrorKind, RingmasterError

ROOTS = ("trio", "trio-websocket", "apsw", "msgspec", "click", "watchdog")
"""`project.dependencies` of pyproject.toml, which neither a wheel's nor a release's code has at hand."""

_NAME = re.compile(r"^\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)


def normalize(name: str) -> str:
    """A distribution's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def runtime_distributions() -> tuple[Distribution, ...]:
    """The running environment's own: the roots and all that they require here, by name.

    Raises:
        RingmasterError: INTERNAL when one of the roots is not installed as a distribution.
    """
    found: dict[str, Distribution] = {}
    waiting = [(root, True) for root in ROOTS]
    while waiting:
        name, is_root = waiting.pop()
        if normalize(name) in found:
            continue
        try:
            found[normalize(name)] = distribution(name)
        except PackageNotFoundError:
            # What a marker leaves out on this machine is not installed either; what is missing all the same has no
            # bearing here: this environment runs.
            if is_root:
                raise RingmasterError(ErrorKind.INTERNAL, f"{name} is not installed as a distribution") from None
            continue
        for requirement in found[normalize(name)].requires or ():
            _, _, marker = requirement.partition(";")
            match = _NAME.match(requirement)
            if match and "extra" not in marker:
                waiting.append((match[1], False))
    return tuple(found[name] for name in sorted(found))


def installed_lock() -> bytes:
    """What stands in for the lock of an installed wheel: the versions that it runs with."""
    lines = [f"{normalize(each.name)}=={each.version}\n" for each in runtime_distributions()]
    return "".join(lines).encode()


def locked_versions(lock: bytes) -> dict[str, str]:
    """Version by normalized name, as a lock file names them."""
    return {normalize(name): version for name, version in _PINNED.findall(lock.decode(errors="replace"))}
