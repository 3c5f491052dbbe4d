"""Finding out who pays: from a key that settings name, or from the login in a person's configuration directory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ringmaster.agents.base import Account
from ringmaster.model.errors import ErrorKind, RingmasterError

DIGEST_DIGITS = 12


def make_account(agent: str, credential: str, label: str) -> Account:
    """An account whose id tells credentials apart without giving them away."""
    digest = hashlib.sha256(credential.encode("utf-8", "replace")).hexdigest()[:DIGEST_DIGITS]
    return Account(id=f"{agent}:{digest}", agent=agent, label=label)


def key_account(agent: str, key_env: str, environ: Mapping[str, str]) -> Account | None:
    """The account of the key in a variable; None where it is not set."""
    key = environ.get(key_env, "")
    return make_account(agent, key, f"the key in {key_env}") if key else None


def person_directory(environ: Mapping[str, str], variable: str, name: str) -> Path:
    """A person's configuration directory: the one that `variable` names, else `name` in their home."""
    return Path(environ.get(variable) or Path(environ.get("HOME") or "/nonexistent") / name)


def check_key(agent: str, key_env: str, is_needed: bool, environ: Mapping[str, str]) -> None:
    """Refuse to start without the key that settings ask for.

    Raises:
        RingmasterError: USAGE when `key_env` is empty though needed, or names a variable that is not set.
    """
    if not key_env and is_needed:
        raise RingmasterError(
            ErrorKind.USAGE,
            f"agent {agent} has an isolated configuration and no key",
            f'name the variable that holds it: key_env = "…" under [agents.{agent}], or config = "own"',
        )
    if key_env and not environ.get(key_env):
        raise RingmasterError(
            ErrorKind.USAGE,
            f"{key_env}, which holds the key of agent {agent}, is not set where the daemon runs",
            f"set it and restart the daemon, or change key_env under [agents.{agent}]",
        )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none that can be read."""
    try:
        found = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):
        return {}
    return found if isinstance(found, dict) else {}


def dig(found: object, *names: str) -> str:
    """The text at a path of an object, '' where there is none."""
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
