"""Codex: its command line, its stream of items, and what it costs.

`git commit` fails inside its own sandbox, so the daemon commits what it leaves. It says no dollars: tokens are
priced by a table. Its limits are kept by `codex_meter`.
"""

from __future__ import annotations

import os
import random
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
    ReportStatus,
    Run,
    Step,
    attempt_env,
)
from ringmaster.agents.codex_meter import TOKENS, CodexMeter, Price, number, spent_of
from ringmaster.agents.codex_steps import KNOWN, steps_of
from ringmaster.agents.lines import PROMISE, decode_object, iter_lines, result_of, tail_text
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.settings import CodexSettings

CONFIG_VARIABLE = "CODEX_HOME"
SANDBOXES = {"edit": "workspace-write", "run": "workspace-write", "full": "danger-full-access"}
LAST_WORDS = 4_000
PRICES: dict[str, Price] = {
    "gpt-5-mini": (0.25, 0.025, 2.0),
    "gpt-5": (1.25, 0.125, 10.0),
}
"""Dollars for a million tokens in, in from the cache, and out; the longest beginning of a model's name counts."""
# All that the stream says of an API error is a sentence.
LIMIT_WORDS = ("usage limit", "rate limit", "429 Too Many")
LOGIN_WORDS = ("401 Unauthorized", "Missing environment variable", "Not logged in")
BUSY_WORDS = ("unexpected status 5", "high demand", "stream disconnected", "error sending request", "exceeded retry")


def price_of(model: str, prices: Mapping[str, Price]) -> Price | None:
    """The price whose name is the longest beginning of the model's; None when the model is not known."""
    known = {**PRICES, **prices}
    names = [name for name in known if model.startswith(name)]
    return known[max(names, key=len)] if names else None


class _Reading(msgspec.Struct):
    steps: int = 0
    unknown: int = 0
    session_id: str = ""
    failure: str | None = None
    is_completed: bool = False
    is_final: bool = False
    tokens: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0])
    words: list[str] = []

    def take(self, line: bytes) -> None:
        found = decode_object(line)
        kind = str(found.get("type")) if found is not None else ""
        if found is None or not (kind in KNOWN or kind.startswith("item.")):
            self.unknown += bool(line.strip())
            return
        self.is_final = kind in ("turn.completed", "turn.failed")
        if kind == "thread.started":
            self.session_id = dig(found, "thread_id")
        elif kind == "item.completed":
            self.steps += 1
            if dig(found, "item", "type") == "agent_message":
                self.words = [*self.words[-9:], dig(found, "item", "text")]
        elif kind == "turn.failed":
            self.failure = dig(found, "error", "message") or "the turn failed"
        elif kind == "turn.completed":
            self.is_completed = True
            usage = found.get("usage")
            for index, name in enumerate(TOKENS):
                self.tokens[index] += number(usage, name)


class CodexAgent(ModelAgent[CodexSettings]):
    """Runs `codex exec --json` with the prompt on stdin."""

    def __init__(self, name: str = "codex", settings: CodexSettings | None = None) -> None:
        super().__init__(name, "Agent: Codex", settings or CodexSettings())

    def command(self, ctx: AgentContext) -> AgentCommand:
        """The command line of one run. A new conversation is named by codex itself, in the stream.

        Raises:
            RingmasterError: USAGE when the key that settings name is not set, `full` is asked for without a sandbox, or
                a budget for a model whose price is not known.
        """
        self.check(ctx)
        settings = self.settings
        if (ctx.budget_usd is not None or settings.max_budget_usd is not None) and self._price(ctx.model) is None:
            raise RingmasterError(
                ErrorKind.USAGE,
                f"no price is known of model {ctx.model or settings.model or 'default'!r}, so a budget cannot be held",
                f"set model and its prices under [agents.{self.name}], or take the budget away",
            )
        # The person's MCP servers, hooks and notifiers are theirs; their login is not in that file.
        argv = [settings.bin, "exec", "--json", "--skip-git-repo-check", "--ignore-user-config"]
        argv += ["-s", SANDBOXES[ctx.permissions]]
        model = ctx.model or settings.model
        if model:
            argv += ["-m", model]
        argv += settings.extra_args
        argv += ["resume", ctx.session_id, "-"] if ctx.is_resumed else ["-"]
        directory = ctx.agent_home / ".codex"
        if settings.config == "own":
            directory = person_directory(ctx.environ, CONFIG_VARIABLE, ".codex")
        return AgentCommand(
            argv=tuple(argv),
            env=attempt_env(ctx) | {CONFIG_VARIABLE: str(directory)},
            env_names=self.env_names,
            directories=(directory,),
        )

    def account(self, environ: Mapping[str, str]) -> Account | None:
        """The key that settings name, else the login of the person's own configuration."""
        if self.settings.key_env:
            return key_account("codex", self.settings.key_env, environ)
        login = person_directory(environ, CONFIG_VARIABLE, ".codex") / "auth.json"
        if self.settings.config == "isolated" or not os.path.exists(login):
            return None
        account = dig(read_json(login), "tokens", "account_id")
        return make_account("codex", account or str(login), f"the login in {login.parent}")

    def new_session_id(self, rng: random.Random) -> str:
        """None: codex names its threads itself, in its first line."""
        return ""

    def is_final(self, line: bytes) -> bool:
        """The end of the one turn that a run has."""
        found = decode_object(line) if b'"turn.' in line else None
        return found is not None and found.get("type") in ("turn.completed", "turn.failed")

    def read_report(self, end: AgentEnd, stdout: Path, stderr: Path, model: str = "") -> AgentReport:
        """How the turn ended, in its own words; usage as stated, dollars by the table."""
        reading = _Reading()
        for line in iter_lines(stdout):
            reading.take(line)
        errors = tail_text(stderr, LAST_WORDS // 2)
        last = reading.words[-1] if reading.words else ""
        status, summary, is_counted, api_status = _judge(reading, last)
        found = decode_object(last.strip().splitlines()[-1].encode()) if last.strip() else None
        said = result_of(found) if found is not None and status == "succeeded" else None
        if said is not None and said.status != "unknown":
            status, summary = said.status, said.summary
        return AgentReport(
            status=status,
            summary=summary.replace(PROMISE.decode(), "").strip(),
            question=said.question if said is not None else "",
            options=said.options if said is not None else (),
            is_counted=is_counted,
            usage=dict(zip(("input", "cached", "output"), reading.tokens, strict=True)),
            steps=reading.steps,
            unknown_lines=reading.unknown,
            is_complete_said=any(PROMISE.decode() in words for words in reading.words),
            last_words="\n".join(part for part in (*reading.words, errors) if part)[-LAST_WORDS:],
            is_final=reading.is_final,
            session_id=reading.session_id,
            model=model or self.settings.model,
            api_status=api_status,
            # Of the whole thread: none of it is known to be this run's.
            spent=msgspec.structs.replace(spent_of(reading.tokens, self._price(model)), seen_in=0),
        )

    def _price(self, model: str) -> Price | None:
        return price_of(model or self.settings.model, self.settings.prices)

    def meter(self, run: Run) -> Meter | None:
        """Its log of the session, which has what the stream has not."""
        settings = self.settings
        budgets = [usd for usd in (run.budget_usd, settings.max_budget_usd) if usd is not None]
        limited = msgspec.structs.replace(
            run, turns=run.turns or settings.max_turns, budget_usd=min(budgets, default=None)
        )
        return CodexMeter(limited, self._price(run.model), Path(run.environ.get(CONFIG_VARIABLE, "/nonexistent")))

    def steps(self, line: bytes) -> tuple[Step, ...]:
        """What one line of the stream shows."""
        return steps_of(line)


def _judge(reading: _Reading, last: str) -> tuple[ReportStatus, str, bool, int | None]:
    if reading.failure is None:
        return ("succeeded" if reading.is_completed else "unknown"), last, True, None
    words = reading.failure
    if any(known in words for known in LIMIT_WORDS):
        return "rate_limited", words, False, 429
    if any(known in words for known in LOGIN_WORDS):
        return "failed", words, False, 401
    if "403 Forbidden" in words:
        return "failed", words, False, 403
    return "failed", words, not any(known in words for known in BUSY_WORDS), None
