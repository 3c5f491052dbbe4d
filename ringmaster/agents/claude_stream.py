"""What Claude Code writes with `--output-format stream-json`, read line by line.

The end of a run is the end of the file and the exit, never a line: `init` need not come first, and several
`init` and `result` lines can come in one run. Keys and types that are not known are counted and left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ringmaster.agents.base import NOTHING_SPENT, AgentReport, ReportStatus, Spent
from ringmaster.agents.lines import PROMISE, ResultLine, decode_object, iter_lines, result_of, tail_text

KNOWN = ("system", "assistant", "user", "result", "rate_limit_event", "stream_event")
LAST_WORDS = 4_000
SUMMARY = 2_000
STDERR_BYTES = 2_000
UNCOUNTED = (401, 403)
NO_SESSION = "No conversation found"


class _Reading(msgspec.Struct):
    """What the lines so far come to."""

    result: dict[str, Any] | None = None
    is_final: bool = False
    steps: int = 0
    unknown: int = 0
    session_id: str = ""
    model: str = ""
    error: str = ""
    reset_at: float | None = None
    is_promised: bool = False
    words: list[str] = []
    seen: dict[str, tuple[int, int]] = {}

    def take(self, line: bytes) -> None:
        found = decode_object(line)
        kind = found.get("type") if found is not None else None
        if found is None or kind not in KNOWN:
            self.unknown += bool(line.strip())
            self.is_promised = self.is_promised or PROMISE in line
            return
        self.is_final = kind == "result"
        self.session_id = _text(found, "session_id") or self.session_id
        if kind == "assistant":
            self._take_message(found)
        elif kind == "system" and found.get("subtype") == "init":
            self.model = _text(found, "model") or self.model
        elif kind == "rate_limit_event":
            self._take_limit(found)
        elif kind == "result":
            self.result = found
            self.is_promised = self.is_promised or PROMISE.decode() in _text(found, "result")

    def _take_message(self, found: dict[str, Any]) -> None:
        self.error = _text(found, "error")
        message = found.get("message")
        message = message if isinstance(message, dict) else {}
        usage = message.get("usage")
        if isinstance(usage, dict):
            # Each block of a message is a line with the message's id and usage.
            self.seen[_text(message, "id")] = (_tokens_in(usage), _number(usage, "output_tokens"))
        for block in blocks_of(message):
            if block.get("type") == "text":
                text = _text(block, "text")
                self.words = [*self.words[-9:], text]
                self.is_promised = self.is_promised or PROMISE.decode() in text
            self.steps += block.get("type") in ("text", "tool_use")

    def _take_limit(self, found: dict[str, Any]) -> None:
        info = found.get("rate_limit_info")
        if isinstance(info, dict) and info.get("status") == "rejected":
            resets = info.get("resetsAt")
            self.reset_at = float(resets) if isinstance(resets, int | float) else None


def read_stream(stdout: Path, stderr: Path) -> AgentReport:
    """Read a whole run. Blocking. Missing files and odd bytes give a report all the same."""
    reading = _Reading()
    for line in iter_lines(stdout):
        reading.take(line)
    errors = tail_text(stderr, STDERR_BYTES)
    result = reading.result
    said = _ending_of(result) if result is not None else None
    status, summary, is_counted = _judge(reading, said, errors)
    words = "\n".join(part for part in (*reading.words, errors) if part)
    api_status = _api_status(reading)
    return AgentReport(
        status=status,
        summary=summary.replace(PROMISE.decode(), "").strip()[:SUMMARY],
        question=said.question if said is not None and status == "needs_decision" else "",
        detail=said.detail if said is not None else "",
        options=said.options if said is not None else (),
        is_counted=is_counted,
        reset_at=reading.reset_at if status == "rate_limited" else None,
        usage=_usage(result) if result is not None else {},
        steps=reading.steps,
        unknown_lines=reading.unknown,
        denials=len(result.get("permission_denials") or ()) if result is not None else 0,
        is_complete_said=reading.is_promised,
        last_words=words[-LAST_WORDS:],
        is_final=reading.is_final,
        session_id=reading.session_id,
        is_session_lost=result is not None and any(NO_SESSION in error for error in errors_of(result)),
        model=_dearest(result) or reading.model,
        api_status=api_status,
        spent=_spent(reading),
    )


def _judge(reading: _Reading, said: ResultLine | None, errors: str) -> tuple[ReportStatus, str, bool]:
    """Status, summary, and whether a failure is the task's. Fields decide; `subtype` alone says success to anything."""
    result = reading.result
    if result is None:
        # It says why it cannot start on stderr alone, and says nothing at all when it is killed.
        last = errors.strip().splitlines()[-1] if errors.strip() and not reading.steps else ""
        return ("failed", last, True) if last else ("unknown", "", True)
    subtype, words = _text(result, "subtype"), _text(result, "result")
    if result.get("is_error") is not True and subtype == "success":
        if said is None:
            return "succeeded", words, True
        return ("succeeded" if said.status == "unknown" else said.status), said.summary, said.is_counted
    api_status = _api_status(reading)
    if api_status == 429:
        return "rate_limited", words, False
    if api_status is not None or subtype == "success":
        # Without a status the API was not reached at all.
        is_counted = api_status is not None and api_status not in UNCOUNTED and api_status < 500
        return "failed", words, is_counted
    found = errors_of(result)
    is_lost = any(NO_SESSION in error for error in found)
    return "failed", "; ".join(found) or words or subtype or "it ended with an error", not is_lost


def _api_status(reading: _Reading) -> int | None:
    result = reading.result
    if result is None or result.get("is_error") is not True:
        return None
    status = result.get("api_error_status")
    if isinstance(status, int):
        return status
    return 401 if reading.error == "authentication_failed" else None


def _ending_of(result: dict[str, Any]) -> ResultLine | None:
    """The result line that the prompt asks for, where the agent's last line of text is one."""
    lines = _text(result, "result").replace(PROMISE.decode(), "").strip().splitlines()
    found = decode_object(lines[-1].strip().strip("`").encode()) if lines else None
    return result_of(found) if found is not None else None


def _spent(reading: _Reading) -> Spent:
    """As the last result states it, subagents included; without one, what the lines add up to."""
    seen_in = sum(tokens for tokens, _ in reading.seen.values())
    if reading.result is None:
        if not seen_in:
            return NOTHING_SPENT
        return Spent(tokens_in=seen_in, tokens_out=sum(out for _, out in reading.seen.values()), seen_in=seen_in)
    return spent_of_result(reading.result, seen_in)


def spent_of_result(result: dict[str, Any], seen_in: int = 0) -> Spent:
    """Tokens and dollars as a result states them, perhaps over all runs of the session."""
    models = _models(result)
    cost = result.get("total_cost_usd")
    return Spent(
        cost_usd=float(cost) if isinstance(cost, int | float) else 0.0,
        tokens_in=sum(
            _number(model, "inputTokens")
            + _number(model, "cacheReadInputTokens")
            + _number(model, "cacheCreationInputTokens")
            for model in models.values()
        ),
        tokens_out=sum(_number(model, "outputTokens") for model in models.values()),
        seen_in=seen_in,
    )


def _models(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found = result.get("modelUsage")
    return {name: used for name, used in found.items() if isinstance(used, dict)} if isinstance(found, dict) else {}


def _dearest(result: dict[str, Any] | None) -> str:
    models = _models(result) if result is not None else {}
    return max(models, key=lambda name: float(models[name].get("costUSD") or 0.0), default="")


def _usage(result: dict[str, Any]) -> dict[str, Any]:
    return {"turns": _number(result, "num_turns"), "models": _models(result)}


def errors_of(result: dict[str, Any]) -> list[str]:
    """What a result that is none of the usual says went wrong."""
    found = result.get("errors")
    return [error for error in found if isinstance(error, str)] if isinstance(found, list) else []


def _tokens_in(usage: dict[str, Any]) -> int:
    names = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(_number(usage, name) for name in names)


def _number(found: dict[str, Any], name: str) -> int:
    value = found.get(name)
    return value if isinstance(value, int) else 0


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""


def blocks_of(message: object) -> Iterator[dict[str, Any]]:
    """The parts of a message: text, calls of tools, what they gave."""
    content = message.get("content") if isinstance(message, dict) else None
    for block in content if isinstance(content, list) else ():
        if isinstance(block, dict):
            yield block


def is_result_line(line: bytes) -> bool:
    """Whether a line is a `result`. Cheap for every other line."""
    if b'"result"' not in line:
        return False
    found = decode_object(line)
    return found is not None and found.get("type") == "result"
