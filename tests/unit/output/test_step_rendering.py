"""Steps of real streams with what came of them, wherever a reader begins, and nothing of a key in any member."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringmaster.agents.base import Agent
from ringmaster.agents.claude import ClaudeAgent
from ringmaster.agents.codex import CodexAgent
from ringmaster.agents.command import CommandAgent
from ringmaster.output.calls import words_of_end
from ringmaster.output.rendering import CALL_ID, LOOK_BACK, OUTPUT_LINES, OUTPUT_TEXT, STEP_TEXT, StepsRenderer
from ringmaster.protocol.attempt import FileChange, LogStep
from ringmaster.redaction.redactor import REDACTED, Redactor

STREAMS = Path(__file__).parents[1] / "agents" / "streams"
CLAUDE, CODEX, COMMAND = ClaudeAgent(), CodexAgent(), CommandAgent()
AGENTS: dict[str, Agent] = {"claude": CLAUDE, "codex": CODEX, "gemini": COMMAND, "opencode": COMMAND}
KEY = "gh" + "p_" + "A1b2" * 9
VALUE = "hunter2 and more"
REDACTOR = Redactor([VALUE])


def render(agent: Agent, data: bytes, start: int = 0) -> list[LogStep]:
    return list(StepsRenderer(REDACTOR, agent, data[:start]).take(data[start:], is_last=True).steps)


def ends(steps: list[LogStep], kind: str) -> list[tuple[str, int | None, bool]]:
    """What came of the calls of a kind: the first line of the words, exit status, whether it failed."""
    found = [step for step in steps if step.kind == kind and not step.is_start]
    return [(step.text.split("\n")[0], step.exit_code, step.is_failed) for step in found]


def line(**fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def call(call_id: str, command: str) -> bytes:
    block = {"type": "tool_use", "id": call_id, "name": "Bash", "input": {"command": command}}
    return line(type="assistant", message={"content": [block]})


def failure(call_id: str, words: str, more: int = 0) -> bytes:
    block = {"type": "tool_result", "tool_use_id": call_id, "is_error": True, "content": words}
    return line(type="user", message={"content": [block]}, padding="x" * more)


def test_what_claude_ran_is_shown_with_its_exit_where_it_says_one():
    steps = render(CLAUDE, (STREAMS / "claude_tools.jsonl").read_bytes())
    assert ends(steps, "command") == [
        ("exit 3: echo out; echo err >&2; exit 3", 3, True),
        ("No matches found: grep zzz a.txt", None, False),
        ("Files differ: diff a.txt /dev/null", None, False),
        ("exit 0: true", 0, False),
        ("exit 143: sleep 30", 143, True),
        ("exit 1: kill -9 $$", 1, True),
        ("exit 127: cat /nonexist/z; x_no_such", 127, True),
        ("exit 0: sleep 5", 0, False),
    ]
    failed = next(step for step in steps if step.exit_code == 3)
    assert failed.text.split("\n")[1:] == ["out", "err"]
    assert failed.command == "echo out; echo err >&2; exit 3"
    assert failed.at == 1795417932.915
    begun = {step.call_id: step for step in steps if step.is_start}
    assert begun[failed.call_id] == LogStep(
        kind="command", text=failed.command, command=failed.command, call_id=failed.call_id, is_start=True
    )


def test_what_claude_changed_is_shown_when_it_has_come_about():
    steps = render(CLAUDE, (STREAMS / "claude_tools.jsonl").read_bytes())
    changes = [step.files for step in steps if step.files]
    assert changes == [
        (FileChange("/home/dev/toy/new.txt", "add"),),
        (FileChange("/home/dev/toy/a.txt", "update"),),
        (FileChange("/home/dev/toy/a.txt", "update"),),
    ]
    assert ends(steps, "file") == [
        ("add /home/dev/toy/new.txt", None, False),
        ("failed: Edit /home/dev/toy/a.txt", None, True),
        ("update /home/dev/toy/a.txt", None, False),
        ("update /home/dev/toy/a.txt", None, False),
        ("failed: Edit /home/dev/toy/a.txt", None, True),
        ("failed: Grep zzz", None, True),
    ]
    why = next(step.text for step in steps if step.kind == "file" and step.is_failed)
    assert why.endswith("\nFile has not been read yet. Read it first before writing to it.")
    usage = [step for step in steps if step.kind == "usage"]
    assert [(step.tokens_in, step.tokens_out) for step in usage] == [(3500, 350), (3600, 360)]
    assert [step.cost_usd for step in usage] == pytest.approx([0.01575, 0.0162])


def test_what_claude_was_denied_has_failed():
    (denied,) = (s for s in render(CLAUDE, (STREAMS / "claude_denied.jsonl").read_bytes()) if s.is_failed)
    assert (denied.kind, denied.exit_code, denied.command) == ("command", None, "touch x; curl http://x")
    assert denied.text.startswith("failed: touch x; curl http://x\nThis Bash command contains multiple operations.")


def test_what_codex_ran_and_changed_is_shown_with_its_exit():
    steps = render(CODEX, (STREAMS / "codex_tools.jsonl").read_bytes())
    assert ends(steps, "command") == [
        ("exit 3: /bin/bash -lc 'echo out; echo err >&2; exit 3'", 3, True),
        ("exit 0: /bin/bash -lc true", 0, False),
        ("exit 137: /bin/bash -lc 'kill -9 $$'", 137, True),
        ("exit 127: /bin/bash -lc x_no_such", 127, True),
    ]
    assert [step.text.split("\n")[1:] for step in steps if step.exit_code == 3] == [["out", "err"]]
    assert [(file.change, file.path.rpartition("/")[2]) for step in steps for file in step.files] == [
        ("update", "a.txt"),
        ("delete", "c.txt"),
        ("update", "m.txt"),
        ("add", "new.txt"),
    ]
    assert sum(step.is_start for step in steps) == 5, "one goes on when the turn is over"
    assert [(step.tokens_in, step.tokens_out) for step in steps if step.kind == "usage"] == [(2100, 210)]


def test_what_codex_was_refused_and_what_a_servers_tool_said_has_failed():
    change = {"path": "a.py", "kind": "update"}
    tool = {"id": "t", "type": "mcp_tool_call", "server": "docs", "tool": "find"}
    data = b"".join(
        line(type=kind, item=item)
        for kind, item in (
            ("item.completed", {"id": "c", "type": "command_execution", "command": "rm x", "status": "declined"}),
            ("item.completed", {"id": "f", "type": "file_change", "changes": [change], "status": "failed"}),
            ("item.started", tool),
            ("item.completed", tool | {"status": "failed", "error": {"message": "no such page"}}),
            ("item.started", tool),
            ("item.completed", tool | {"status": "completed"}),
        )
    )
    assert [(step.text, step.is_failed) for step in render(CODEX, data)] == [
        ("failed, declined: rm x", True),
        ("failed: update a.py", True),
        ("docs.find", False),
        ("failed: docs.find\nno such page", True),
        ("docs.find", False),
    ]


def test_a_command_that_claude_left_in_the_background_ends_when_it_is_told():
    data = (STREAMS / "claude_tools.jsonl").read_bytes()
    told = data.index(b'{"type":"system","subtype":"task_notification"')
    last = [step for step in render(CLAUDE, b"x" * LOOK_BACK + b"\n" + data[told:]) if step.exit_code is not None]
    assert [step.text for step in last] == ['exit 0: Background command "sleep 5" completed (exit code 0)']
    stopped = (
        data[told:]
        .partition(b"\n")[0]
        .replace(b'"completed"', b'"killed"')
        .replace(b" completed (exit code 0)", b" was stopped")
    )
    (end,) = render(CLAUDE, stopped)
    assert (end.exit_code, end.is_failed) == (None, True)
    assert end.text == 'failed: Background command "sleep 5" was stopped'


def test_a_command_of_claude_that_was_interrupted_has_failed():
    result = {"type": "tool_result", "tool_use_id": "a", "content": "", "is_error": False}
    fields = {"stdout": "", "stderr": "", "interrupted": True}
    end = render(CLAUDE, call("a", "make") + line(type="user", message={"content": [result]}, tool_use_result=fields))[
        -1
    ]
    assert (end.text, end.exit_code, end.is_failed) == ("failed, interrupted: make", None, True)


def test_a_stream_of_gemini_is_known_by_its_form_and_no_exit_is_made_up_for_it():
    steps = render(COMMAND, (STREAMS / "gemini_tools.jsonl").read_bytes())
    assert [step.command for step in steps if step.kind == "command"] == ["echo out; echo err >&2; exit 3", "true"]
    assert all(step.exit_code is None and not step.is_failed for step in steps if step.kind == "command")
    assert ends(steps, "file") == [
        ("write_file /home/dev/toy/new.txt", None, False),
        ("replace /home/dev/toy/a.txt", None, False),
        ("failed: replace /home/dev/toy/a.txt", None, True),
    ]
    assert ends(steps, "tool") == [("failed: nope", None, True)]
    assert [step.text for step in steps if step.kind == "text"] == ["done"], "the prompt is not shown"
    assert [(step.tokens_in, step.tokens_out) for step in steps if step.kind == "usage"] == [(900, 90)]
    assert all(step.at for step in steps)


def test_a_stream_of_opencode_is_known_by_its_form():
    steps = render(COMMAND, (STREAMS / "opencode_tools.jsonl").read_bytes())
    assert ends(steps, "command") == [
        ("exit 3: echo out; echo err >&2; exit 3", 3, True),
        ("exit 0: true", 0, False),
        ("no exit status: sleep 30", None, False),
    ]
    assert next(step for step in steps if step.exit_code == 3).text.split("\n")[1:] == ["out", "err"]
    assert ends(steps, "file") == [
        ("add /home/dev/toy/new.txt", None, False),
        ("read /home/dev/toy/a.txt", None, False),
        ("update /home/dev/toy/a.txt", None, False),
        ("failed: edit /home/dev/toy/a.txt", None, True),
        ("failed: grep zzz", None, True),
        ("update /home/dev/toy/a.txt", None, False),
    ]
    assert [file.change for step in steps for file in step.files] == ["add", "update", "update"]
    usage = [(step.tokens_in, step.tokens_out, step.cost_usd) for step in steps if step.kind == "usage"]
    assert usage == [(100, 10, None)] * 11
    assert [step.text for step in steps if step.kind == "text"] == ["done"]


@pytest.mark.parametrize("path", sorted(STREAMS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_whoever_begins_at_any_line_is_told_the_same(path: Path):
    agent = AGENTS[path.stem.partition("_")[0]]
    data = path.read_bytes()
    start = 0
    of_lines = []
    renderer = StepsRenderer(REDACTOR, agent)
    for row in data.splitlines(keepends=True):
        of_lines.append((start, len(render(agent, data, start)), list(renderer.take(row, is_last=False).steps)))
        start += len(row)
    steps = [step for _, _, found in of_lines for step in found]
    for start, count, _ in of_lines:
        assert render(agent, data, start) == steps[len(steps) - count :]
    assert [count for _, count, _ in of_lines] == [
        sum(len(found) for _, _, found in of_lines[n:]) for n in range(len(of_lines))
    ]


LINES = st.one_of(
    st.builds(call, st.sampled_from("abc"), st.sampled_from(["make", f"echo {KEY}", "two\nlines"])),
    st.builds(
        failure, st.sampled_from("abc"), st.sampled_from(["Exit code 3\nno", "denied"]), st.sampled_from([0, 30_000])
    ),
    st.builds(lambda size: b"x" * size + b"\n", st.sampled_from([1, 1_000, LOOK_BACK - 300, LOOK_BACK, LOOK_BACK + 1])),
)


@settings(max_examples=60)
@given(st.lists(LINES, max_size=9), st.integers(0, 9), st.integers(-60, 60))
def test_a_beginning_is_known_to_all_readers_or_to_none_however_far_it_lies_back(rows, start, around):
    # At the very edge of what is looked back at, a byte decides.
    filler = b"y" * max(0, LOOK_BACK - sum(map(len, rows)) % LOOK_BACK + around) + b"\n"
    data = b"".join([*rows[: len(rows) // 2], filler, *rows[len(rows) // 2 :]])
    lines = data.splitlines(keepends=True)
    at = sum(map(len, lines[:start]))
    whole = StepsRenderer(REDACTOR, CLAUDE)
    whole.take(data[:at], is_last=False)
    assert list(whole.take(data[at:], is_last=True).steps) == render(CLAUDE, data, at)


@pytest.mark.parametrize("distance", [LOOK_BACK - 1, LOOK_BACK])
def test_an_end_knows_its_beginning_less_than_so_far_back(distance):
    first = call("a", "make")
    data = first + b"y" * (distance - len(first) - 1) + b"\n" + failure("a", "Exit code 3\nno")
    for start in (0, len(first), distance):
        end = render(CLAUDE, data, start)[-1]
        assert (end.exit_code, end.is_failed, end.call_id) == (3, True, "a")
        assert end.command == ("make" if distance < LOOK_BACK else "")
        assert end.text == ("exit 3: make\nno" if distance < LOOK_BACK else "exit 3\nno")


@pytest.mark.parametrize("secret", [KEY, VALUE])
def test_no_member_shows_a_key(secret):
    change = {"path": f"/x/{secret}", "kind": "add"}
    items: list[dict[str, Any]] = [
        {"id": f"i {secret}", "type": "command_execution", "command": f"echo {secret}\n{secret}", "exit_code": None},
        {"id": f"i {secret}", "type": "command_execution", "command": f"echo {secret}", "exit_code": 1},
        {
            "id": "j",
            "type": "command_execution",
            "command": f"cat {secret}",
            "aggregated_output": secret,
            "exit_code": 1,
        },
        {"id": "k", "type": "file_change", "changes": [change], "status": "completed"},
        {"id": "l", "type": "mcp_tool_call", "server": secret, "tool": secret, "status": "failed"},
    ]
    items[1]["aggregated_output"] = f"said {secret}\n"
    kinds = ("item.started", *["item.completed"] * 4)
    data = b"".join(line(type=kind, item=item) for kind, item in zip(kinds, items, strict=True))
    steps = [*render(CODEX, data), *render(CODEX, data, data.index(b"\n") + 1)]
    shown = msgspec.json.encode(steps).decode()
    assert len(steps) == 9
    assert REDACTED in shown
    assert secret[5:-5] not in shown


def test_a_beginning_within_a_key_block_shows_nothing_of_it_at_its_end():
    begin, body = "-----BEGIN RSA PRIVATE " + "KEY-----", "q7Qq7Qq7Qq7Q"
    said = line(type="assistant", message={"content": [{"type": "text", "text": begin}]})
    data = said + call("a", body) + failure("a", "Exit code 1")
    for start in (0, len(said), data.rindex(b'{"type": "user"')):
        assert "q7Q" not in "".join(step.text + step.command for step in render(CLAUDE, data, start))


def end_of(output: str, *values: str) -> list[str]:
    """The lines of output that are shown with a failure."""
    data = failure("a", f"Exit code 2\n{output}")
    (step,) = StepsRenderer(Redactor(values), CLAUDE).take(data, is_last=True).steps
    assert len(step.text) <= OUTPUT_TEXT + len("exit 2\n")
    return step.text.split("\n")[1:]


@pytest.mark.parametrize("count", [1, 25, 5_000, 100_000])
def test_the_end_of_what_a_failed_command_wrote_is_shown(count):
    assert end_of("".join(f"{n}\n" for n in range(count))) == [str(n) for n in range(count)][-OUTPUT_LINES:]
    assert end_of("x" * 200_000 + "\nError 2\n")[-1] == "Error 2"


def test_nothing_of_a_key_that_begins_before_what_is_looked_at_is_shown():
    """What follows shrinks to a few marks, so all that is looked at would fit."""
    value, other = "p4ssw0rd" * 2_000, "s3cret/-" * 100
    assert len(value) < STEP_TEXT < 2 * STEP_TEXT < len(value) + len(other) * 30
    assert "p4ss" not in "".join(end_of(f"{value} " + f"{other} " * 30, value, other))
    block = "-----BEGIN RSA PRIVATE " + "KEY-----\n" + "q7Qq7Q\n" * 98 + "-----END RSA PRIVATE " + "KEY-----\n"
    count = 2 * STEP_TEXT // len(f"{other} ")
    shown = end_of(block + f"{other} " * count, other)
    assert "q7Q" not in "".join(shown)
    assert end_of(f"{block}{KEY}\nError 2\n") == [REDACTED, REDACTED, "Error 2"]


def test_members_are_bounded():
    changes = [{"path": f"{n}/{'p' * 4_000}", "kind": "add"} for n in range(50)]
    data = line(type="item.completed", item={"id": "i" * CALL_ID + "i", "type": "file_change", "changes": changes})
    (step,) = render(CODEX, data)
    assert step.call_id == ""
    assert len(step.files) == 4
    long = call("a", "c" * 60_000)
    assert [len(step.command) for step in render(CLAUDE, long + failure("a", "Exit code 1"))] == [STEP_TEXT + 1] * 2


@pytest.mark.parametrize(
    "odd",
    [
        b'{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":7,"is_error":true,"content":{}}]}}',
        b'{"type":"user","message":{"content":[{"type":"tool_result"}]},"tool_use_result":[1]}',
        b'{"type":"user","message":{"content":[{"type":"tool_result","is_error":true,"content":[{"text":"no"}]}]}}',
        b'{"type":"user","timestamp":"never","message":{"content":[{"type":"tool_result","tool_use_id":"a"}]}}',
        b'{"type":"assistant","message":{"content":[{"type":"tool_use","id":"a","name":"Bash","input":"x"}]}}',
        b'{"type":"assistant","message":{"content":[{"type":"tool_use","name":"Write","input":{"file_path":"f"}}]}}',
        b'{"type":"system","subtype":"task_notification","tool_use_id":"a","summary":"(exit code 99999999999999)"}',
        b'{"type":"result","modelUsage":7,"total_cost_usd":"x"}',
        b'{"type":"tool_use","timestamp":1,"sessionID":"s","part":{"tool":"bash","state":{"input":7,"metadata":[]}}}',
        b'{"type":"tool_use","timestamp":1,"sessionID":"s","part":{"state":7}}',
        b'{"type":"step_finish","timestamp":1,"sessionID":"s","part":{"tokens":7,"cost":"x"}}',
        b'{"type":"tool_use","timestamp":"2026-01-01T00:00:00Z","tool_name":"write_file","tool_id":"","parameters":7}',
        b'{"type":"result","timestamp":"2026-01-01T00:00:00Z","status":"error","stats":{"input_tokens":"x"}}',
    ],
)
def test_odd_fields_are_no_fault(odd):
    for agent in (CLAUDE, CODEX, COMMAND):
        assert render(agent, odd + b"\n" + failure("a", "Exit code 99999999999999\nx")) is not None


def test_words_of_an_end_say_all_without_the_members():
    def words(about="", said="", exit_code=None, is_failed=False, files=(), output=""):
        return words_of_end(
            about=about, said=said, exit_code=exit_code, is_failed=is_failed, files=files, output=output
        )

    added = (FileChange("a", "add"), FileChange("b", "delete"))
    assert words("make", exit_code=0, output="quiet") == "exit 0: make"
    assert words("make\ntest", exit_code=2, is_failed=True, output="why") == "exit 2: make …\nwhy"
    assert words("make", "interrupted", is_failed=True) == "failed, interrupted: make"
    assert words("", "No matches found") == "No matches found"
    assert words("", "it ended (exit code 0)", exit_code=0) == "exit 0: it ended (exit code 0)"
    assert words("Edit a", files=added) == "add a\ndelete b"
    assert words("", files=added, is_failed=True, output="no") == "failed: add a …\nno"
    assert words("Edit a") == "Edit a"
    assert words() == ""
