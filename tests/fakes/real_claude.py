"""The real Claude Code with a scripted model, in the seats of a real daemon."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.operator import Operator, open_operator
from tests.fakes.model_server import ModelServer, open_model_server
from tests.fakes.model_wire import Say, Use

PROGRAMS = Path(__file__).resolve().parents[2] / ".agents" / "node_modules" / ".bin"
DONE = Say("It is done. <promise>COMPLETE</promise>")
URL = "ANTHROPIC_BASE_URL"
KEY = "ANTHROPIC_API_KEY"
RETRIES = "CLAUDE_CODE_MAX_RETRIES"
TOKEN = "CLAUDE_CODE_OAUTH_TOKEN"


def why_missing(name: str) -> str:
    """Why a real agent cannot be driven here, '' when it can."""
    if os.environ.get("AGENTS") == "0":
        return "left out, because of AGENTS=0"
    return "" if (PROGRAMS / name).exists() else "it is not installed: make setup-agents"


def agent_table(name: str, program: Path, *env: str, key_env: str = "") -> str:
    """Settings of a Claude Code. env: the variables it is given; key_env: '' for the person's own configuration."""
    kind = "" if name == "claude" else 'kind = "claude"\n'
    isolated = f'config = "isolated"\nkey_env = "{key_env}"\n' if key_env else ""
    return f'[agents.{name}]\n{kind}bin = "{program}"\n{isolated}env = {json.dumps(env)}\nmodel = "sonnet"\n'


def write(path: str, text: str) -> Use:
    """Write a whole file."""
    return Use("Write", {"file_path": path, "content": text})


def bash(command: str) -> Use:
    """Run a command."""
    return Use("Bash", {"command": command})


class Claudes:
    """An operator whose agents are real and whose model is scripted."""

    def __init__(self, operator: Operator, model: ModelServer) -> None:
        self.operator = operator
        self.model = model

    def add(self, script: str, project: str, **fields: Any) -> str:
        """The id of a new task that is done as a script says."""
        description = f"Do what is asked.\n\nmodel script: {script}\n"
        done = self.operator.daemon.call(
            "task.add", title=f"Task {script}", description=description, project_id=project, **fields
        )
        return str(done["view"]["task"]["id"])

    def again(self, task_id: str, nth: int = 1) -> None:
        """Wait for the nth attempt's end and let the task run at once, whatever its back-off."""
        self.operator.ended(task_id, nth)
        self.operator.ok("retry", task_id)

    def kill_agent(self, attempt: Any, number: int = signal.SIGKILL) -> None:
        """A signal to the agent's own process, and to no other of its tree."""
        run = json.loads((Path(attempt["files"]) / "agent" / "run.json").read_bytes())
        os.kill(run["child"]["pid"], number)


@contextmanager
def open_claudes(root: Path, program: Path, *, limits: str = "", more: str = "", **environ: str) -> Iterator[Claudes]:
    """A daemon for real agents and a model for them. limits, more: settings besides; environ: of the daemon."""
    with open_model_server() as model, open_operator(root, is_started=False) as operator:
        config = operator.daemon.state / "config.toml"
        base = config.read_text().replace("[limits]\n", f"[limits]\n{limits}\n")
        agents = [agent_table("claude", program, URL, RETRIES, key_env=KEY)]
        agents.append(agent_table("subscribed", program, URL, RETRIES, key_env=TOKEN))
        config.write_text(base + "".join(agents) + more)
        own = {URL: model.url, KEY: "sk-key", TOKEN: "sk-ant-oat01-token", RETRIES: "0"}
        operator.daemon.environ |= own | environ
        operator.daemon.start()
        yield Claudes(operator, model)
