"""The scripted agent as the shim starts it: a real process in a real workspace, prompt on stdin."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ringmaster.model.outcomes import Outcome
from ringmaster.output.rendering import StepsRenderer
from ringmaster.prompt.facts import Answer
from ringmaster.redaction.redactor import Redactor
from tests.fakes.agent_values import make_context
from tests.fakes.scripted_bench import AGENT, LIMIT_S, Bench, Run


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


class Daemon(socketserver.ThreadingUnixStreamServer):
    """Answers each JSON-RPC line with the reply it was given, and keeps what it was asked."""

    def __init__(self, path: Path, reply: dict[str, Any]) -> None:
        self.requests: list[dict[str, Any]] = []
        daemon = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                daemon.requests.append(json.loads(self.rfile.readline()))
                self.wfile.write(json.dumps({"jsonrpc": "2.0", "id": 1} | reply).encode() + b"\n")

        super().__init__(str(path), Handler)


@contextlib.contextmanager
def open_daemon(path: Path, reply: dict[str, Any]) -> Iterator[Daemon]:
    with Daemon(path, reply) as daemon:
        thread = threading.Thread(target=daemon.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield daemon
        finally:
            daemon.shutdown()
            thread.join()


def open_writer(fifo: Path) -> int:
    """Open a FIFO to write: returns once the agent has it open to read."""
    return os.open(fifo, os.O_WRONLY)


def end_process(pid: int) -> None:
    """Kill a process that is nobody's child here, and wait until it is gone."""
    pidfd = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        assert select.select([pidfd], [], [], LIMIT_S)[0]
    finally:
        os.close(pidfd)


def test_steps_are_done_for_real_in_the_workspace(bench: Bench):
    run = bench.run(
        [
            {"do": "say", "text": "I begin"},
            {"do": "read", "path": "a.py"},
            {"do": "edit", "path": "a.py", "old": "x = 1", "new": "x = 2"},
            {"do": "write", "path": "new/b.sh", "text": "#!/bin/sh\necho made\n", "mode": "755"},
            {"do": "run", "argv": ["./new/b.sh"]},
            {"do": "run", "shell": "exit 3", "expect": 3},
            {"do": "git", "argv": ["status", "--short"]},
            {"do": "commit", "message": "Make x two"},
            {"do": "delete", "path": "new"},
        ]
    )
    assert (run.report.status, run.report.summary) == ("succeeded", "9 steps done"), run.stderr
    assert (run.report.steps, run.report.unknown_lines) == (9, 0)
    assert bench.git("show", "HEAD:a.py") == "x = 2\n"
    assert bench.git("log", "-1", "--format=%B").strip().split("\n") == ["Make x two", "", AGENT.trailer]
    assert bench.git("status", "--short").strip() == "D new/b.sh"
    assert [output["text"] for output in run.outputs()][:2] == ["x = 1\n", "made\n"]
    assert run.outcome() is None


def test_a_run_that_is_made_again_finds_its_edits_made(bench: Bench):
    steps = [
        {"do": "edit", "path": "a.py", "old": "x = 1", "new": "x = 1  # one"},
        {"do": "commit", "message": "Say it"},
    ]
    assert bench.run(steps).report.status == "succeeded"
    assert bench.run(steps, number=2).report.status == "succeeded"
    assert (bench.workspace / "a.py").read_text() == "x = 1  # one\n"
    assert bench.git("rev-list", "--count", "HEAD").strip() == "2"


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ({"do": "dance"}, "unknown step"),
        ({"do": "edit", "path": "a.py", "old": "y = 1", "new": "y = 2"}, "0 times"),
        ({"do": "edit", "path": "a.py", "old": "none.py", "new": ""}, "0 times"),
        ({"do": "read", "path": "none"}, "No such file"),
        ({"do": "read", "path": "/etc/hostname"}, "leads out of the workspace"),
        ({"do": "write", "path": "../x", "text": ""}, "leads out of the workspace"),
        ({"do": "write", "path": "x"}, "needs 'text'"),
        ({"do": "run", "argv": ["false"]}, "exited with 1, not 0"),
        ({"do": "run", "argv": ["no-such-program"]}, "cannot run no-such-program"),
        ({"do": "say", "text": "x", "when": {"moon": "full"}}, "unknown condition 'moon'"),
    ],
)
def test_a_step_that_cannot_be_done_fails_the_run_by_name(bench: Bench, step: dict[str, Any], words: str):
    run = bench.run([{"do": "say", "text": "first"}, step, {"do": "write", "path": "after", "text": ""}])
    assert run.report.status == "failed"
    assert run.report.summary.startswith(f"step 2 ({step['do']}): ")
    assert words in run.report.summary
    assert run.end.code == 1
    assert not (bench.workspace / "after").exists()
    assert run.outcome() is Outcome.FAILED


def test_a_task_without_steps_fails_in_words(bench: Bench):
    run = bench.run("Write something nice.")
    assert "no block ```steps" in run.report.summary
    assert run.outcome() is Outcome.FAILED


def test_steps_may_depend_on_the_attempt(bench: Bench):
    steps = [
        {"do": "say", "text": "one", "when": {"attempt": 1}},
        {"do": "say", "text": "later", "when": {"attempt_min": 2}},
        {"do": "say", "text": "early", "when": {"attempt_max": 2}},
    ]
    said = [bench.run(steps, number=number).report.last_words for number in (1, 2, 3)]
    assert said == ["say one\nsay early", "say later\nsay early", "say later"]


def test_a_question_reaches_the_daemon_and_ends_the_run(bench: Bench):
    question: dict[str, Any] = {"do": "ask", "question": "Which?", "options": ["a", "b"]}
    with open_daemon(bench.socket, {"result": {"attempt_id": "rm-abcde/1", "decision_id": "d-1"}}) as daemon:
        run = bench.run([question, {"do": "write", "path": "after", "text": ""}])
    (request,) = daemon.requests
    assert request["method"] == "attempt.ask"
    assert request["params"] == {
        "attempt_id": "rm-abcde/1",
        "token": "t0ken",
        "idempotency_key": "rm-abcde/1:ask:1",
        "question": "Which?",
        "detail": "",
        "options": ["a", "b"],
    }
    assert (run.report.status, run.report.question, run.report.options) == ("needs_decision", "Which?", ("a", "b"))
    assert not (bench.workspace / "after").exists()
    assert run.outcome() is Outcome.NEEDS_DECISION


def test_an_answered_question_is_not_asked_again(bench: Bench):
    steps: list[dict[str, Any]] = [
        {"do": "ask", "question": "Which?"},
        {"do": "say", "text": "took a", "when": {"answered": "Which?", "answer": "a"}},
        {"do": "say", "text": "took b", "when": {"answered": "Which?", "answer": "b"}},
        {"do": "say", "text": "never", "when": {"answered": "Another?"}},
    ]
    run = bench.run(steps, number=2, answers=(Answer(question="Which?", answer="b"),))
    assert run.report.status == "succeeded"
    assert run.report.last_words == "ask Which?\nsay took b"


def test_a_question_is_not_lost_while_the_daemon_is_away(bench: Bench):
    run = bench.run([{"do": "ask", "question": "Which?"}])
    assert (run.report.status, run.report.question) == ("needs_decision", "Which?")
    assert "did not answer" in run.outputs()[0]["text"]


def test_a_report_is_made_and_a_refusal_is_shown(bench: Bench):
    with open_daemon(bench.socket, {"error": {"code": -32000, "message": "lease lost"}}) as daemon:
        run = bench.run([{"do": "report", "status": "succeeded", "summary": "all of it"}])
    assert daemon.requests[0]["params"]["summary"] == "all of it"
    assert run.outputs()[0]["text"] == "attempt.report: refused: lease lost"


def test_it_waits_for_a_file_without_looking_twice(bench: Bench):
    gate, ready = bench.root / "go", bench.root / "ready"
    os.mkfifo(ready)
    with bench.start(
        [{"do": "fifo", "path": str(ready)}, {"do": "wait_for", "path": str(gate)}, {"do": "say", "text": "went"}]
    ) as process:
        os.close(open_writer(ready))
        gate.touch()
        assert Run(process, bench.stdout, bench.stderr).report.last_words.endswith("say went")


def test_a_hanging_run_dies_of_sigterm_without_a_result(bench: Bench):
    ready = bench.root / "ready"
    os.mkfifo(ready)
    with bench.start([{"do": "fifo", "path": str(ready)}, {"do": "hang"}]) as process:
        os.close(open_writer(ready))
        process.terminate()
        run = Run(process, bench.stdout, bench.stderr)
    assert run.end.signal == signal.SIGTERM
    assert run.report.status == "unknown"
    assert run.outcome() is Outcome.FAILED


def test_sigterm_can_be_ignored(bench: Bench):
    ready = bench.root / "ready"
    os.mkfifo(ready)
    with bench.start([{"do": "ignore_term"}, {"do": "fifo", "path": str(ready)}]) as process:
        writer = open_writer(ready)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process.send_signal(number)
        os.close(writer)
        assert Run(process, bench.stdout, bench.stderr).report.status == "succeeded"


@pytest.mark.parametrize(
    ("step", "code", "killed_by", "status", "outcome"),
    [
        ({"do": "crash"}, None, signal.SIGKILL, "unknown", Outcome.FAILED),
        ({"do": "crash", "signal": "SIGSEGV"}, None, signal.SIGSEGV, "unknown", Outcome.FAILED),
        ({"do": "crash", "code": 7}, 7, None, "unknown", Outcome.FAILED),
        ({"do": "exit"}, 0, None, "unknown", None),
        ({"do": "exit", "code": 4}, 4, None, "unknown", Outcome.FAILED),
        ({"do": "exit", "code": 4, "status": "succeeded"}, 4, None, "succeeded", None),
        ({"do": "exit", "status": "rate_limited"}, 0, None, "rate_limited", Outcome.RATE_LIMITED),
    ],
)
def test_it_can_end_in_every_way(
    bench: Bench,
    step: dict[str, Any],
    code: int | None,
    killed_by: int | None,
    status: str,
    outcome: Outcome | None,
):
    run = bench.run([step])
    assert (run.end.code, run.end.signal, run.report.status) == (code, killed_by, status)
    assert run.outcome() is outcome


def test_floods_and_binary_are_written_and_only_counted(bench: Bench):
    run = bench.run([{"do": "flood", "bytes": 1_000_000}, {"do": "binary", "times": 3}])
    assert len(run.stdout) > 1_000_000 + 3 * 256
    assert bytes(range(256)) * 3 in run.stdout
    assert run.report.unknown_lines > 1_000_000 // 128


@pytest.mark.parametrize("is_env_clean", [False, True])
@pytest.mark.parametrize("how", ["child", "setsid", "double"])
def test_it_leaves_processes_behind(bench: Bench, how: str, is_env_clean: bool):
    pid_file = bench.root / "pid"
    step = {"do": "fork", "how": how, "pid_file": str(pid_file), "is_env_clean": is_env_clean, "is_ignoring_term": True}
    with bench.start([step]) as process:
        run = Run(process, bench.stdout, bench.stderr)
        assert run.report.status == "succeeded", run.stderr
        pid = int(pid_file.read_text())
        try:
            assert (os.getsid(pid) != os.getsid(0)) is (how != "child")
            assert (b"RM_TASK=" in Path(f"/proc/{pid}/environ").read_bytes()) is not is_env_clean
            status = Path(f"/proc/{pid}/status").read_text()
            ignored = int(next(line for line in status.split("\n") if line.startswith("SigIgn:")).split()[1], 16)
            assert ignored >> (signal.SIGTERM - 1) & 1
        finally:
            end_process(pid)


def test_it_sees_its_environment_and_can_reach_outside(bench: Bench):
    outside = bench.root / "outside"
    run = bench.run(
        [{"do": "env", "names": ["RM_TASK", "RM_ATTEMPT"]}, {"do": "touch_outside", "path": str(outside), "text": "me"}]
    )
    assert run.outputs()[0]["text"] == "RM_TASK=rm-abcde\nRM_ATTEMPT=rm-abcde/1"
    assert outside.read_text() == "me"


def test_nothing_in_the_workspace_stands_in_for_its_modules(bench: Bench):
    for name in ("json.py", "subprocess.py", "sitecustomize.py", "ringmaster.py"):
        (bench.workspace / name).write_text("raise SystemExit('loaded')\n")
    assert bench.run([{"do": "run", "argv": ["true"]}]).report.status == "succeeded"


def test_it_starts_with_few_imports(bench: Bench):
    """What a step needs is imported by the step: the way from dispatch to the first step is measured."""
    python, *rest = AGENT.command(make_context(bench.root)).argv
    argv = (python, "-X", "importtime", *rest)
    done = subprocess.run(
        argv, cwd=bench.workspace, input=b"```steps\n[]\n```", capture_output=True, check=True, timeout=LIMIT_S
    )
    imported = {line.rpartition(b"|")[2].strip().decode() for line in done.stderr.splitlines()}
    assert {"json", "ringmaster.agents.recorded.work"} <= imported
    assert not imported & {
        "site",
        "subprocess",
        "socket",
        "tempfile",
        "shutil",
        "ctypes",
        "msgspec",
        "typing_extensions",
    }


def test_every_line_becomes_steps_to_follow(bench: Bench):
    run = bench.run([{"do": "say", "text": "hi"}, {"do": "run", "argv": ["echo", "x"]}, {"do": "binary"}])
    steps = [step for line in run.stdout.splitlines() for step in AGENT.steps(line)]
    assert [(step.kind, step.text, step.exit_code) for step in steps[:4]] == [
        ("text", "say hi", None),
        ("command", "run echo x", None),
        ("other", "x\n", None),
        ("command", "", 0),
    ]
    assert {step.call_id for step in steps if step.kind == "command"} == {"2"}


def test_exits_and_changes_can_be_followed(bench: Bench):
    run = bench.run(
        [
            {"do": "write", "path": "d/new.txt", "text": "a"},
            {"do": "edit", "path": "d/new.txt", "old": "a", "new": "b"},
            {"do": "git", "argv": ["frobnicate"], "expect": None},
            {"do": "delete", "path": "d"},
            {"do": "run", "shell": "exit 3"},
        ]
    )
    steps = StepsRenderer(Redactor([]), AGENT).take(run.stdout, is_last=True).steps
    assert [(file.change, file.path) for step in steps for file in step.files] == [
        ("add", "d/new.txt"),
        ("update", "d/new.txt"),
        ("delete", "d"),
    ]
    ended = [(step.text, step.command, step.is_failed) for step in steps if step.exit_code is not None]
    assert ended == [
        ("exit 1: git frobnicate", "git frobnicate", True),
        ("exit 3: exit 3", "exit 3", True),
    ]
    assert [step.text for step in steps][:2] == ["write d/new.txt", "add d/new.txt"]
