"""Claude Code: its command line, its configuration, and who pays. Its stream: `claude_stream`, `claude_steps`."""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Mapping
from pathlib import Path

import msgspec

from ringmaster.agents.accounts import ModelAgent, dig, key_account, make_account, person_directory, read_json
from ringmaster.agents.base import (
    Account,
    AgentCommand,
    AgentContext,
    AgentEnd,
    AgentReport,
    Meter,
    Run,
    Step,
    attempt_env,
)
from ringmaster.agents.claude_steps import steps_of
from ringmaster.agents.claude_stream import is_result_line, read_stream
from ringmaster.settings import ClaudeSettings

CONFIG_VARIABLE = "CLAUDE_CONFIG_DIR"
# Hooks are programs and MCP servers are services that a person set up for themselves at a keyboard: unattended,
# and with texts of others in the prompt, neither is started.
RUN_SETTINGS = {"disableAllHooks": True, "includeCoAuthoredBy": False}


class ClaudeAgent(ModelAgent[ClaudeSettings]):
    """Runs `claude -p` with the prompt on stdin."""

    def __init__(self, name: str = "claude", settings: ClaudeSettings | None = None) -> None:
        super().__init__(name, "Agent: Claude Code", settings or ClaudeSettings())

    def command(self, ctx: AgentContext) -> AgentCommand:
        """The command line of one run.

        Raises:
            RingmasterError: USAGE when the key that settings name is not set, or `full` is asked for without a sandbox.
        """
        self.check(ctx)
        settings = self.settings
        argv = [settings.bin, "-p", "--output-format", "stream-json", "--verbose", *permission_flags(ctx)]
        # The repository's own settings are files that agents can write: they must grant nothing and start nothing.
        argv += ["--setting-sources", "user", "--settings", msgspec.json.encode(RUN_SETTINGS).decode()]
        argv += ["--strict-mcp-config"]
        model = ctx.model or settings.model
        if model:
            argv += ["--model", model]
        turns = ctx.task.limits.turns or settings.max_turns
        if turns is not None:
            argv += ["--max-turns", str(turns)]
        budgets = [usd for usd in (ctx.budget_usd, settings.max_budget_usd) if usd is not None]
        if budgets:
            argv += ["--max-budget-usd", f"{min(budgets):.4f}"]
        if ctx.session_id:
            argv += ["--resume" if ctx.is_resumed else "--session-id", ctx.session_id]
        env = attempt_env(ctx) | {
            CONFIG_VARIABLE: str(self._config_directory(ctx)),
            # Titles, surveys and updates cost money or time, and nobody is there to see them.
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }
        if ctx.is_sandboxed:
            env["IS_SANDBOX"] = "1"
        return AgentCommand(
            argv=(*argv, *settings.extra_args),
            env=env,
            env_names=self.env_names,
            directories=(self._config_directory(ctx),),
        )

    def _config_directory(self, ctx: AgentContext) -> Path:
        if self.settings.config == "isolated":
            return ctx.agent_home / ".claude"
        return person_directory(ctx.environ, CONFIG_VARIABLE, ".claude")

    def account(self, environ: Mapping[str, str]) -> Account | None:
        """The key that settings name, else the login of the person's own configuration."""
        if self.settings.key_env:
            return key_account("claude", self.settings.key_env, environ)
        if self.settings.config == "isolated":
            return None
        directory = person_directory(environ, CONFIG_VARIABLE, ".claude")
        beside = directory / ".claude.json" if environ.get(CONFIG_VARIABLE) else directory.with_name(".claude.json")
        login = read_json(beside).get("oauthAccount")
        account_uuid = dig(login, "accountUuid")
        credentials = directory / ".credentials.json"
        # Not Path.exists, which raises for a directory that is closed, as one that sudo made: nobody is logged in then.
        is_there = os.path.exists(credentials)
        if account_uuid and is_there:
            return make_account("claude", account_uuid, dig(login, "emailAddress") or f"the login in {directory}")
        # The tokens in it are renewed every few hours, so they name no account; the place does.
        return make_account("claude", str(credentials), f"the login in {directory}") if is_there else None

    def new_session_id(self, rng: random.Random) -> str:
        """A UUID: the program takes no other form, and none twice."""
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))

    def meter(self, run: Run) -> Meter | None:
        """None: its flags hold turns and dollars."""
        return None

    def is_final(self, line: bytes) -> bool:
        """A `result`. Others may follow while background work goes on."""
        return is_result_line(line)

    def read_report(self, end: AgentEnd, stdout: Path, stderr: Path, model: str = "") -> AgentReport:
        """The last result, and what the lines before it add up to."""
        return read_stream(stdout, stderr)

    def steps(self, line: bytes) -> tuple[Step, ...]:
        """What one line of the stream shows."""
        return steps_of(line)


def permission_flags(ctx: AgentContext) -> tuple[str, ...]:
    """The flags for what the project permits."""
    if ctx.permissions == "edit":
        return ("--permission-mode", "acceptEdits")
    if ctx.permissions == "run":
        return ("--permission-mode", "acceptEdits", "--allowedTools", "Bash")
    return ("--permission-mode", "bypassPermissions")
