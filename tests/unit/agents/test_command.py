from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.agents.base import AgentEnd
from ringmaster.agents.command import CommandAgent, check_template
from ringmaster.model.errors import ErrorKind, RingmasterError
from tests.fakes.agent_values import make_context

EXITED = AgentEnd(reason="exited", code=0)


def read(tmp_path: Path, stdout: bytes, stderr: bytes = b""):
    (tmp_path / "stdout").write_bytes(stdout)
    (tmp_path / "stderr").write_bytes(stderr)
    return CommandAgent().read_report(EXITED, tmp_path / "stdout", tmp_path / "stderr")


def test_the_template_of_the_worker_is_filled_in(tmp_path):
    argv = ("aider", "--message-file={prompt_file}", "{workspace}", "{task}:{attempt}", "{model}", "{socket}")
    ctx = make_context(tmp_path, command=argv)
    assert CommandAgent().command(ctx).argv == (
        "aider",
        f"--message-file={ctx.prompt_file}",
        str(ctx.workspace),
        "rm-abcde:rm-abcde/2",
        "large",
        str(ctx.socket),
    )


def test_a_named_agent_takes_its_own_template_and_variables(tmp_path):
    command = CommandAgent("aider", ("aider", "{model}"), ("OPENAI_API_KEY",)).command(
        make_context(tmp_path, command=("other",))
    )
    assert command.argv == ("aider", "large")
    assert command.env_names == ("OPENAI_API_KEY",)


def test_every_agent_is_told_where_and_who_it_is(tmp_path):
    ctx = make_context(tmp_path, command=("true",))
    assert CommandAgent().command(ctx).env == {
        "RM_TASK": "rm-abcde",
        "RM_ATTEMPT": "rm-abcde/2",
        "RM_ATTEMPT_NUMBER": "2",
        "RM_TOKEN": "t0ken",
        "RM_WORKSPACE": str(ctx.workspace),
        "RM_PROMPT_FILE": str(ctx.prompt_file),
        "RMCTL_SOCKET": str(ctx.socket),
        "RM_MODEL": "large",
    }


@pytest.mark.parametrize(
    "argument",
    ["${HOME}", "{print $1}", '{"a": {"b": 1}}', "{}", "{1}"],
)
def test_braces_that_are_no_placeholder_stay(tmp_path, argument: str):
    assert CommandAgent().command(make_context(tmp_path, command=("sh", argument))).argv[1] == argument


def test_doubled_braces_stand_for_the_text(tmp_path):
    assert CommandAgent().command(make_context(tmp_path, command=("x", "{{task}}"))).argv == ("x", "{task}")


def test_what_an_argument_is_filled_with_is_not_filled_again(tmp_path):
    assert CommandAgent().command(make_context(tmp_path, command=("x", "{model}"), model="{task}")).argv[1] == "{task}"


def test_an_unknown_placeholder_is_refused_in_words():
    with pytest.raises(RingmasterError) as caught:
        check_template(("x", "{promt_file}"))
    assert caught.value.kind is ErrorKind.USAGE
    assert "{promt_file}" in caught.value.message
    assert "{prompt_file}" in caught.value.hint


@pytest.mark.parametrize("argv", [(), ("",)])
def test_no_command_is_refused_in_words(argv):
    with pytest.raises(RingmasterError, match="has no command"):
        check_template(argv)


def test_the_last_result_line_counts(tmp_path):
    report = read(
        tmp_path,
        b'noise\n{"type":"result","status":"failed"}\n'
        b'{"type":"result","status":"needs_decision","question":"Which?","options":["a","b"]}\n',
    )
    assert (report.status, report.question, report.options) == ("needs_decision", "Which?", ("a", "b"))
    assert report.unknown_lines == 1


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"result","status":"splendid"}',
        b'{"type":"result"}',
        b'{"type":"result","status":"succeeded","options":3}',
        b'["type","result"]',
        b'{"type":"result","status":"succeeded"',
        b'{"a":' * 100_000,
        bytes(range(256)),
    ],
    ids=["status", "none", "types", "list", "cut", "nested", "binary"],
)
def test_odd_lines_are_counted_and_believed_nothing(tmp_path, line: bytes):
    report = read(tmp_path, line + b"\n")
    assert report.status == "unknown"
    assert report.unknown_lines >= 1
    assert CommandAgent().steps(line)


def test_missing_files_give_an_empty_report(tmp_path):
    report = CommandAgent().read_report(EXITED, tmp_path / "none", tmp_path / "none")
    assert (report.status, report.last_words) == ("unknown", "")


def test_a_promise_is_only_noted(tmp_path):
    report = read(tmp_path, b"all good <promise>COMPLETE</promise>\n")
    assert report.is_complete_said
    assert report.status == "unknown"


def test_last_words_are_the_end_of_both_streams(tmp_path):
    report = read(tmp_path, b"early\n" * 5_000 + b"the end\n", b"a warning\n")
    assert report.last_words.endswith("the end\na warning")
    assert len(report.last_words) <= 4_000


def test_a_line_is_followed_as_it_is():
    assert [step.text for step in CommandAgent().steps(b"compiling\n")] == ["compiling"]
    assert CommandAgent().steps(b"\n") == ()


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "message", "role": "assistant", "content": "no time"}',
        b'{"type": "result", "timestamp": "2026-01-01T00:00:00Z", "status": "success"}',
        b'{"type": "text", "timestamp": 1, "part": {"text": "no session"}}',
        b'{"type": "tool_use", "timestamp": 1, "sessionID": "s"}',
    ],
)
def test_what_only_resembles_a_known_stream_is_followed_as_it_is(line):
    assert [(step.kind, step.text) for step in CommandAgent().steps(line)] == [("text", line.decode())]
