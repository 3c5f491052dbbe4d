"""`agent.*` and `cost.*` over the socket."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind
from ringmaster.queue.costs import Costs, note_costs
from ringmaster.settings import ClaudeSettings, Settings
from tests.integration.rpc.harness import Table, open_table


async def test_agents_are_listed_with_what_is_there(table: Table):
    await table.call("worker.spawn", agent="scripted", count=2)
    agents = {view["name"]: view for view in (await table.call("agent.list"))["agents"]}
    assert list(agents)[:5] == ["scripted", "command", "hand", "claude", "codex"]
    assert agents["scripted"]["workers"] == 2
    assert agents["scripted"]["program"]
    assert agents["claude"]["account"] == "", "nobody has logged in here"


async def test_what_has_no_model_cannot_be_tried(table: Table):
    assert (await table.refusal("agent.test", name="scripted")).kind is ErrorKind.USAGE
    assert (await table.refusal("agent.test", name="nobody")).kind is ErrorKind.NOT_FOUND


async def test_what_a_tried_agent_lacks_is_said_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "nobodys"))
    there = tmp_path / "there"
    there.write_text("#!/bin/sh\necho 'Not logged in' >&2\nexit 1\n")
    there.chmod(0o755)
    agents = {
        "absent": ClaudeSettings(bin=str(tmp_path / "absent")),
        "stranger": ClaudeSettings(bin=str(there)),
    }
    async with open_table(tmp_path, Settings(agents={**agents})) as table:
        told = {name: await table.call("agent.test", name=name) for name in agents}
    assert {name: (found["is_working"], found["mend"]) for name, found in told.items()} == {
        "absent": (False, "npm install -g @anthropic-ai/claude-code"),
        "stranger": (False, "claude /login"),
    }
    assert told["absent"]["words"] == f"{tmp_path / 'absent'} is not in the daemon's PATH"


async def test_trying_an_agent_that_is_not_there_leaves_no_directory(tmp_path, monkeypatch):
    place = tmp_path / "nobodys"
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(place))
    async with open_table(tmp_path, Settings(agents={"absent": ClaudeSettings(bin=str(tmp_path / "absent"))})) as table:
        assert not (await table.call("agent.test", name="absent"))["is_working"]
    assert not place.exists()


async def test_costs_add_up_by_model_and_by_task(table: Table):
    await table.add_project()
    await table.call("worker.spawn", agent="scripted", count=2)
    ids = [await table.add_task("One"), await table.add_task("Two")]
    for number, worker in enumerate(("w1", "w2"), start=1):
        claim = await table.claim(worker)
        costs = Costs(model=f"m{number}", cost_usd=0.25 * number, tokens_in=100 * number, tokens_out=10)
        await table.store.write(note_costs, claim.attempt.id, claim.attempt.token, costs)
    found = await table.call("cost.list")
    assert (found["cost_usd"], found["tokens_in"], found["tokens_out"]) == (0.75, 300, 20)
    assert [row["model"] for row in found["by_model"]] == ["m2", "m1"]
    assert {row["task_id"] for row in found["by_task"]} == set(ids)
    assert (await table.call("cost.list", since_at=4e9))["by_task"] == []
