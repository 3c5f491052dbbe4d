from __future__ import annotations

import pytest

from ringmaster.agents.command import CommandAgent
from ringmaster.agents.registry import agent_for, agent_names
from ringmaster.agents.scripted import ScriptedAgent
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.settings import AgentSettings, Settings

SETTINGS = Settings(agents={"aider": AgentSettings(argv=("aider",)), "scripted": AgentSettings(argv=("evil",))})


def test_built_in_agents_cannot_be_taken_over():
    assert isinstance(agent_for("scripted", SETTINGS), ScriptedAgent)


def test_settings_name_further_agents():
    agent = agent_for("aider", SETTINGS)
    assert isinstance(agent, CommandAgent)
    assert (agent.name, agent.trailer) == ("aider", "Agent: aider")
    assert agent_names(SETTINGS) == ("scripted", "command", "aider")


def test_an_unknown_agent_is_refused_with_those_there_are():
    with pytest.raises(RingmasterError, match="scripted, command, aider") as caught:
        agent_for("hal", SETTINGS)
    assert caught.value.kind is ErrorKind.NOT_FOUND
