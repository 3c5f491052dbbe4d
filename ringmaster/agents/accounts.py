"""Finding out who pays: from a key that settings name, or from the login in a person's configuration directory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from ringmaster.agents.base import Account, AgentContext, refuse_open_house
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.settings import ClaudeSettings, CodexSettings

DIGEST_DIGITS = 12
S = TypeVar("S", ClaudeSettings, CodexSettings)


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


class ModelAgent(Generic[S]):
    """What the agents of a vendor's model have in common: settings, a program and a key. A base for their classes.

    name: the agent's name, of which there may be several.
    """

    is_resumable = True
    is_stdout_for_programs = True

    def __init__(self, name: str, trailer: str, settings: S) -> None:
        self.name = name
        self.trailer = trailer
        self.settings: S = settings

    @property
    def program(self) -> str:
        """See `Agent.program`."""
        return self.settings.bin

    def check(self, ctx: AgentContext) -> None:
        """Raises USAGE when the key that settings name is not set, or `full` is asked for without a sandbox."""
        check_key(self.name, self.settings.key_env, self.settings.config == "isolated", ctx.environ)
        if ctx.permissions == "full":
            refuse_open_house(ctx)

    @property
    def env_names(self) -> tuple[str, ...]:
        """The variables that settings hand over, the key's first."""
        return (self.settings.key_env, *self.settings.env) if self.settings.key_env else self.settings.env


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
    except (OSError, msgspec.DecodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def dig(found: object, *names: str) -> str:
    """The text at a path of an object, '' where there is none."""
    for name in names:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
