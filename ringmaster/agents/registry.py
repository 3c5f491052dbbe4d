"""Which agents there are: a literal table of the built-in ones, and those that settings name."""

from __future__ import annotations

from ringmaster.agents.base import Agent
from ringmaster.agents.claude import ClaudeAgent
from ringmaster.agents.codex import CodexAgent
from ringmaster.agents.command import CommandAgent
from ringmaster.agents.scripted import ScriptedAgent
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.worker import HAND
from ringmaster.settings import ClaudeSettings, CodexSettings, Settings

BUILT_IN: dict[str, Agent] = {
    "scripted": ScriptedAgent(),
    "command": CommandAgent(),
    # Nothing is started for it: somebody pulls the task and reports.
    HAND: CommandAgent(HAND),
}
CONFIGURABLE = ("claude", "codex")
"""Kinds that are there without a word in settings, and that settings may say more about."""


def agent_names(settings: Settings) -> tuple[str, ...]:
    """Every agent kind that a worker may have, the built-in ones first."""
    known = (*BUILT_IN, *CONFIGURABLE)
    return (*known, *sorted(name for name in settings.agents if name not in known))


def agent_for(kind: str, settings: Settings) -> Agent:
    """The agent of a kind. A built-in name cannot be taken over by settings.

    Raises:
        RingmasterError: NOT_FOUND naming the kinds there are.
    """
    if kind in BUILT_IN:
        return BUILT_IN[kind]
    named = settings.agents.get(kind)
    if isinstance(named, ClaudeSettings) or (named is None and kind == "claude"):
        return ClaudeAgent(kind, named or ClaudeSettings())
    if isinstance(named, CodexSettings) or (named is None and kind == "codex"):
        return CodexAgent(kind, named or CodexSettings())
    if named is None:
        raise RingmasterError(
            ErrorKind.NOT_FOUND,
            f"there is no agent {kind!r}; there are {', '.join(agent_names(settings))}",
            f"name it in config.toml under [agents.{kind}] with argv = [...], or use the agent `command`",
        )
    return CommandAgent(name=kind, argv=named.argv, env_names=named.env)
