from __future__ import annotations

import pytest

from ringmaster.agents.claude import ClaudeAgent
from ringmaster.agents.codex import CodexAgent
from ringmaster.agents.command import CommandAgent
from ringmaster.agents.registry import agent_for, agent_names
from ringmaster.agents.scripted import ScriptedAgent
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.settings import AgentSettings, Settings, load_settings

SETTINGS = Settings(agents={"aider": AgentSettings(argv=("aider",)), "scripted": AgentSettings(argv=("evil",))})


def test_built_in_agents_cannot_be_taken_over():
    assert isinstance(agent_for("scripted", SETTINGS), ScriptedAgent)


def test_settings_name_further_agents():
    agent = agent_for("aider", SETTINGS)
    assert isinstance(agent, CommandAgent)
    assert (agent.name, agent.trailer) == ("aider", "Agent: aider")
    assert agent_names(SETTINGS) == ("scripted", "command", "hand", "claude", "codex", "aider")


def test_an_unknown_agent_is_refused_with_those_there_are():
    with pytest.raises(RingmasterError, match="scripted, command, hand, claude, codex, aider") as caught:
        agent_for("hal", SETTINGS)
    assert caught.value.kind is ErrorKind.NOT_FOUND


def test_an_agents_kind_is_that_of_its_name_unless_said(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text(
        '[agents.claude]\nmax_turns = 5\n[agents.work]\nkind = "claude"\nkey_env = "WORK_KEY"\n'
        '[agents.codex]\nmodel = "m"\n[agents.aider]\nargv = ["aider"]\n'
    )
    settings = load_settings(config)
    kinds = {name: type(agent_for(name, settings)) for name in settings.agents}
    assert kinds == {"claude": ClaudeAgent, "work": ClaudeAgent, "codex": CodexAgent, "aider": CommandAgent}
    assert agent_for("work", settings).name == "work"


def test_a_setting_of_another_kind_is_refused(tmp_path):
    config = tmp_path / "config.toml"
    config.write_text('[agents.claude]\nargv = ["x"]\n')
    with pytest.raises(RingmasterError, match="argv"):
        load_settings(config)


@pytest.mark.parametrize(("agent", "variable"), [(ClaudeAgent(), "CLAUDE_CONFIG_DIR"), (CodexAgent(), "CODEX_HOME")])
def test_a_login_that_cannot_be_looked_at_is_none(agent, variable):
    # As for a directory that is closed to this user, which a root's test cannot have: the look itself fails.
    assert agent.account({variable: "/" + "x" * 300}) is None
