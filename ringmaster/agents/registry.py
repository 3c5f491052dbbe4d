"""Which agents there are: a literal table of the built-in ones, and those that settings name."""

from __future__ import annotations

from ringmaster.agents.base import Agent
from ringmaster.agents.command import CommandAgent
from ringmaster.agents.scripted import ScriptedAgent
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.settings import Settings

BUILT_IN: dict[str, Agent] = {
    "scripted": ScriptedAgent(),
    "command": CommandAgent(),
}


def agent_names(settings: Settings) -> tuple[str, ...]:
    """Every agent kind that a worker may have, the built-in ones first."""
    return (*BUILT_IN, *sorted(name for name in settings.agents if name not in BUILT_IN))


def agent_for(kind: str, settings: Settings) -> Agent:
    """The agent of a kind. A built-in name cannot be taken over by settings.

    Raises:
        RingmasterError: NOT_FOUND naming the kinds there are.
    """
    if kind in BUILT_IN:
        return BUILT_IN[kind]
    named = settings.agents.get(kind)
    if named is None:
        raise RingmasterError(
            ErrorKind.NOT_FOUND,
            f"there is no agent {kind!r}; there are {', '.join(agent_names(settings))}",
            f"name it in config.toml under [agents.{kind}] with argv = [...], or use the agent `command`",
        )
    return CommandAgent(name=kind, argv=named.argv, env_names=named.env)
