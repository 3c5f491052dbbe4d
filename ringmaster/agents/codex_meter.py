"""What a run of Codex has used so far, and which limit of the run that is over.

Codex has no flags for turns or dollars, and its stream tells of tokens at the very end alone. The session's own log,
which it writes as it goes, has them after every answer of the model.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from ringmaster.agents.accounts import dig
from ringmaster.agents.base import Run, Spent
from ringmaster.agents.lines import decode_object

Price = tuple[float, float, float]
"""Dollars for a million tokens in, in from the cache, and out."""
TOOLS = ("command_execution", "file_change", "mcp_tool_call", "web_search")
USED = b'"token_usage_record"'
TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens")


class CodexMeter:
    """See `Meter`. home: its configuration directory, where the logs of sessions are."""

    def __init__(self, run: Run, price: Price | None, home: Path) -> None:
        self._run = run
        self._price = price
        self._home = home
        self._thread = ""
        self._turns = 0
        self._log: Path | None = None
        self._offset = 0
        self._tokens = [0, 0, 0]

    def take(self, line: bytes) -> str:
        """Count a line. A turn is over with what its tool did: the next answer would be one more."""
        found = decode_object(line) if b'"item.' in line or b'"thread.started"' in line else None
        if found is None:
            return ""
        if found.get("type") == "thread.started":
            self._thread = dig(found, "thread_id")
        elif found.get("type") == "item.completed":
            self._turns += dig(found, "item", "type") in TOOLS
        return self._words()

    def _words(self) -> str:
        if self._run.turns is not None and self._turns >= self._run.turns:
            return f"reached its maximum number of turns ({self._run.turns})"
        budget = self._run.budget_usd
        if budget is not None and self._price is not None and self.spent().cost_usd >= budget:
            return f"reached its maximum budget (${budget:.4f})"
        return ""

    def spent(self) -> Spent:
        """What the log says up to now; nothing where there is no log that can be read."""
        self._read_on()
        return spent_of(self._tokens, self._price)

    def _read_on(self) -> None:
        # What the agent writes is not let choose which file is read, and no pipe in its place is waited at.
        if self._log is None and re.fullmatch(r"[\w-]+", self._thread):
            named = self._home.glob(f"sessions/*/*/*/rollout-*-{self._thread}.jsonl")
            self._log = next((path for path in named if path.is_file()), None)
        if self._log is None:
            return
        try:
            with self._log.open("rb") as file:
                file.seek(self._offset)
                for line in file:
                    # The last one may be half of one.
                    if not line.endswith(b"\n"):
                        break
                    self._offset += len(line)
                    self._count(line)
        except OSError:
            return

    def _count(self, line: bytes) -> None:
        found = decode_object(line) if USED in line else None
        if found is not None and _at(found) >= self._run.since_at:
            usage = _usage_of(found)
            self._tokens = [have + number(usage, name) for have, name in zip(self._tokens, TOKENS, strict=True)]


def _usage_of(found: dict[str, Any]) -> object:
    payload = found.get("payload")
    return payload.get("usage") if isinstance(payload, dict) else None


def _at(found: dict[str, Any]) -> float:
    """When a line was written; a resumed session has those of earlier runs before it."""
    try:
        return datetime.fromisoformat(dig(found, "timestamp")).timestamp()
    except ValueError:
        return 0.0


def number(found: object, name: str) -> int:
    """The whole number under a name, 0 where there is none."""
    value = found.get(name) if isinstance(found, dict) else None
    return value if isinstance(value, int) else 0


def spent_of(tokens: list[int], price: Price | None) -> Spent:
    """Tokens in, in from the cache, and out, with their dollars; 0 dollars where no price is known."""
    tokens_in, cached, tokens_out = tokens
    cost = 0.0
    if price is not None:
        cost = ((tokens_in - cached) * price[0] + cached * price[1] + tokens_out * price[2]) / 1e6
    return Spent(cost_usd=cost, tokens_in=tokens_in, tokens_out=tokens_out, seen_in=tokens_in)
