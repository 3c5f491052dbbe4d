"""Real CLI, scripted model: conversations, adoption, limits, configuration and sandbox."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.fakes.model_server import SCRIPT, Turn
from tests.fakes.model_wire import Fail, Reply, Use
from tests.fakes.real_claude import DONE, KEY, RETRIES, URL, Claudes, agent_table, bash, open_claudes, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def claudes(tmp_path_factory: pytest.TempPathFactory, claude_program: Path) -> Iterator[Claudes]:
    root = tmp_path_factory.mktemp("claude")
    hanging = root / "hanging"
    # It answers when it is asked for its version.
    hanging.write_text(f'#!/bin/sh\n{claude_program} "$@"\n[ "$1" != -p ] || exec sleep 1000\n')
    hanging.chmod(0o755)
    person = root / "person"
    person.mkdir()
    hooks = {"SessionStart": [{"hooks": [{"type": "command", "command": f"touch {root}/hooked"}]}]}
    (person / "settings.json").write_text(json.dumps({"hooks": hooks, "env": {"FROM_PERSON": "yes"}}))
    more = agent_table("person", claude_program, URL, KEY) + agent_table("hanging", hanging, URL, key_env=KEY)
    more += agent_table("refused", claude_program, URL, KEY, RETRIES, key_env="OTHER_KEY")
    environ = {"CLAUDE_CONFIG_DIR": str(person), "OTHER_KEY": "sk-other"}
    with open_claudes(root, claude_program, limits="lingering_s = 0.3", more=more, **environ) as made:
        yield made


def nth(turn: Turn, *replies: Reply) -> Reply:
    return replies[min(turn.number, len(replies) - 1)]


def attempts_of(detail: Any) -> list[Any]:
    return list(detail["attempts"])


def test_a_retry_goes_on_with_the_same_conversation(claudes: Claudes):
    prompts: dict[int, int] = {}

    def script(turn: Turn) -> Reply:
        prompts[turn.attempt] = len(SCRIPT.findall(json.dumps(turn.body["messages"])))
        return nth(turn, write("value.txt", "wrong\n") if turn.attempt == 1 else bash("echo right > value.txt"), DONE)

    claudes.model.scripts["again"] = script
    project = claudes.operator.project(agent="claude", gate="! grep -rqw wrong --include=*.txt .")
    task = claudes.add("again", project.name)
    claudes.again(task)
    first, second = attempts_of(claudes.operator.landed(task))
    assert (first["outcome"], second["outcome"]) == ("gate_failed", "succeeded")
    assert first["session_id"] == second["session_id"] != ""
    assert prompts == {1: 1, 2: 2}, "the second run's conversation holds the first one's prompt"
    served = claudes.model.total("again")
    assert first["tokens_in"] + second["tokens_in"] == served.input
    assert first["tokens_out"] + second["tokens_out"] == served.output


def test_the_daemon_killed_in_the_middle_of_tool_calls_adopts_and_loses_nothing(claudes: Claudes):
    root, operator = claudes.operator.root, claudes.operator
    names = ("one", "two", "three")
    project = operator.project(agent="claude")
    for name in names:
        for kind in ("on", "go"):
            os.mkfifo(root / f"{kind}-{name}")
        claudes.model.script(name, bash(f"echo on > {root}/on-{name}; cat {root}/go-{name}; echo 1 > {name}.txt"), DONE)
    for name in names[1:]:
        operator.daemon.call("worker.spawn", id=f"seat-{name}", agent="claude", project_id=project.name)
    tasks = {name: claudes.add(name, project.name) for name in names}
    for name in names:
        assert (root / f"on-{name}").read_text() == "on\n"
    operator.daemon.kill()
    # Two of them end their call while no daemon runs, one after the next has adopted it.
    for name in names[:2]:
        (root / f"go-{name}").write_text("go\n")
    operator.daemon.start()
    (root / "go-three").write_text("go\n")
    for name, task in tasks.items():
        (attempt,) = attempts_of(operator.landed(task))
        served = claudes.model.total(name)
        assert (attempt["tokens_in"], attempt["tokens_out"]) == (served.input, served.output)
        assert [line["type"] for line in stream_of(attempt)].count("result") == 1
        assert project.git("show", f"main:{name}.txt") == "1"


def stream_of(attempt: Any) -> list[Any]:
    stdout = Path(attempt["files"]) / "agent" / "stdout"
    return [json.loads(line) for line in stdout.read_bytes().splitlines()]


def test_what_it_runs_and_changes_is_told_with_its_exit_while_it_works_and_after(claudes: Claudes):
    claudes.model.script("exits", bash("echo broken; exit 3"), bash("true"), write("a.txt", "one\n"), DONE)
    operator = claudes.operator
    project = operator.project(agent="claude")
    task = claudes.add("exits", project.name)
    followed = operator.ok("logs", "-f", task, "-S", "steps")
    operator.landed(task)
    read = operator.ok("logs", task, "-S", "steps")
    for text in (followed, read):
        assert text.index("\nexit 3: echo broken; exit 3\nbroken\n") < text.index("\nexit 0: true\n")
        assert "\nadd a.txt\n" in text
    steps = operator.json("logs", task, "-S", "steps")["steps"]
    failed = [step for step in steps if step.get("is_failed")]
    assert [(step["command"], step["exit_code"]) for step in failed] == [("echo broken; exit 3", 3)]
    begun = [step for step in steps if step.get("is_start")]
    assert failed[0]["call_id"] == begun[0]["call_id"]
    assert [file["change"] for step in steps for file in step.get("files", ())] == ["add"]
    spent = steps[-1]
    assert (spent["kind"], spent["tokens_in"]) == ("usage", claudes.model.total("exits").input)


def test_an_agent_that_hangs_after_its_result_is_ended_and_its_work_counts(claudes: Claudes):
    claudes.model.script("hangs", write("one.txt", "1\n"), DONE)
    project = claudes.operator.project(agent="hanging")
    (attempt,) = attempts_of(claudes.operator.landed(claudes.add("hangs", project.name)))
    assert attempt["report"]["end"]["reason"] == "lingering"


def test_the_persons_configuration_serves_without_its_hooks_and_the_repositorys_grants(claudes: Claudes):
    """Their environment is there; no hook of theirs or of the repository runs, and no server is started."""
    hooked = claudes.operator.root / "hooked"
    grants = {
        "hooks": {"SessionStart": [{"hooks": [{"type": "command", "command": f"touch {hooked}"}]}]},
        "permissions": {"allow": ["WebFetch"]},
    }
    files = {
        "README": "toy\n",
        ".claude/settings.json": json.dumps(grants),
        ".mcp.json": json.dumps({"mcpServers": {"x": {"command": "touch", "args": [str(hooked)]}}}),
    }
    claudes.model.script(
        "own",
        Use("WebFetch", {"url": "http://127.0.0.1:9/", "prompt": "x"}),
        bash('test "$FROM_PERSON" = yes && echo yes > seen.txt'),
        DONE,
    )
    project = claudes.operator.project(files=files, agent="person")
    (attempt,) = attempts_of(claudes.operator.landed(claudes.add("own", project.name)))
    assert not hooked.exists()
    assert attempt["report"]["denials"] == 1
    assert project.git("show", "main:seen.txt") == "yes"
    init = next(line for line in stream_of(attempt) if line.get("subtype") == "init")
    assert init["mcp_servers"] == []


def test_with_leave_to_edit_alone_commands_are_refused(claudes: Claudes):
    claudes.model.script("edits", bash("python3 -c 'open(chr(97), chr(119))'"), write("edit.txt", "yes\n"), DONE)
    project = claudes.operator.project(agent="claude", permissions="edit")
    (attempt,) = attempts_of(claudes.operator.landed(claudes.add("edits", project.name)))
    assert attempt["report"]["files"] == ["edit.txt"]
    assert attempt["report"]["denials"] == 1


def test_leave_to_do_anything_takes_a_sandbox_and_holds_inside_of_it(
    claudes: Claudes, left_out: Callable[[str, str], NoReturn]
):
    probe = ["bwrap", "--unshare-pid", "--ro-bind", "/", "/", "true"]
    if shutil.which("bwrap") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        left_out("bwrap", "bubblewrap is missing or does not work here: apt install bubblewrap")
    state = claudes.operator.daemon.state
    secret = f"{state}/ringmaster.db"
    claudes.model.script("walled", bash(f"touch /outside.txt; ls {secret} > seen.txt; echo in > in.txt"), DONE)
    project = claudes.operator.project(agent="claude", permissions="full", sandbox="bwrap")
    claudes.operator.landed(claudes.add("walled", project.name))
    assert project.git("show", "main:in.txt") == "in"
    assert project.git("show", "main:seen.txt") == "", "the daemon's state is not to be seen"
    assert not Path("/outside.txt").exists()
    without = claudes.operator.project(agent="claude", permissions="full")
    ended = claudes.operator.ended(claudes.add("walled", without.name))
    assert ended["outcome"] == "spawn_failed"
    assert "no sandbox around it" in ended["reason"]


def test_a_refused_key_lets_its_account_rest_and_no_other(claudes: Claudes):
    claudes.model.script("refused", Fail(401, "authentication_error"))
    claudes.model.script("works", write("works.txt", "1\n"), DONE)
    operator = claudes.operator
    project = operator.project(agent="refused")
    ended = operator.ended(claudes.add("refused", project.name))
    assert (ended["outcome"], ended["account"][:7]) == ("failed", "claude:")
    paused = operator.daemon.call("events.read", type=["account.paused"])["events"]
    assert [event["data"]["account"] for event in paused] == [ended["account"]]
    waiting = claudes.add("works", project.name)
    other = operator.project(agent="claude")
    operator.landed(claudes.add("works", other.name))
    assert operator.detail(waiting)["attempts"] == []


def test_an_agent_is_tried_and_what_was_spent_is_told(claudes: Claudes):
    """After the others: its run ends the pause of an account, and the sum is that of every answer."""
    operator = claudes.operator
    listed = {row["name"]: row for row in operator.json("agent", "list")}
    assert listed["claude"]["version"] == "2.1.197 (Claude Code)"
    assert listed["claude"]["account_label"] == "the key in ANTHROPIC_API_KEY"
    out = operator.ok("agent", "test", "claude")
    assert "claude works" in out
    assert "$0.0004" in out or "$0.0005" in out
    resumed = operator.ok("agent", "test", "refused")
    assert "works" in resumed
    rows = operator.json("cost")
    assert rows
    assert rows[0]["model"] == "claude-sonnet-5"
