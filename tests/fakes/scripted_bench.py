"""A workspace in which the scripted agent runs as the shim would start it: prompt on stdin, files as output."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from ringmaster.agents.base import AgentEnd, AgentReport
from ringmaster.agents.scripted import ScriptedAgent
from ringmaster.agents.verdict import outcome_of
from ringmaster.model.outcomes import Outcome
from ringmaster.prompt.build import build_prompt
from ringmaster.prompt.facts import Answer, PromptFacts
from tests.fakes.agent_values import make_context, make_task

AGENT = ScriptedAgent()
LIMIT_S = 20


class Run:
    """A finished run: its end, its lines, what `read_report` made of it."""

    def __init__(self, process: subprocess.Popen[bytes], stdout: Path, stderr: Path) -> None:
        code = process.wait(LIMIT_S)
        self.end = AgentEnd(reason="exited", code=code if code >= 0 else None, signal=-code if code < 0 else None)
        self.stdout = stdout.read_bytes()
        self.stderr = stderr.read_text()
        self.report: AgentReport = AGENT.read_report(self.end, stdout, stderr)

    def outputs(self) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.stdout.splitlines() if line.startswith(b"{")]
        return [line for line in found if line["type"] == "output"]

    def outcome(self, *, has_diff: bool = True) -> Outcome | None:
        return outcome_of(self.end, self.report, None, has_diff=has_diff, is_diff_needed=True).outcome


class Bench:
    """One workspace and the files of its attempt."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.workspace = root / "workspace"
        self.workspace.mkdir()
        self.stdout = root / "stdout"
        self.stderr = root / "stderr"
        self.socket = root / "s"
        self.git("init", "-q")
        (self.workspace / "a.py").write_text("x = 1\n")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "Begin")

    def git(self, *argv: str) -> str:
        return subprocess.check_output(["git", *argv], cwd=self.workspace, text=True)

    def start(
        self, steps: list[dict[str, Any]] | str, *, number: int = 1, answers: tuple[Answer, ...] = ()
    ) -> subprocess.Popen[bytes]:
        description = steps if isinstance(steps, str) else f"Do it.\n```steps\n{json.dumps(steps)}\n```"
        task = make_task(description=description)
        attempt_id = f"{task.id}/{number}"
        facts = PromptFacts(task=task, attempt_id=attempt_id, number=number, target="main", answers=answers)
        prompt_file = self.root / "prompt.md"
        prompt_file.write_text(build_prompt(facts, budget_tokens=10_000).text)
        command = AGENT.command(
            make_context(self.root, task=task, attempt_id=attempt_id, number=number, socket=self.socket)
        )
        with prompt_file.open("rb") as stdin, self.stdout.open("wb") as out, self.stderr.open("wb") as err:
            return subprocess.Popen(
                command.argv,
                cwd=self.workspace,
                env=dict(os.environ) | command.env,
                stdin=stdin,
                stdout=out,
                stderr=err,
            )

    def run(self, steps: list[dict[str, Any]] | str, **how: Any) -> Run:
        with self.start(steps, **how) as process:
            return Run(process, self.stdout, self.stderr)
