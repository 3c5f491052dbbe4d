"""What opencode does, line by line of `run --format json`, as a person follows it.

A tool is one line, when it has ended: a command that runs is not seen.
"""

from __future__ import annotations

from typing import Any

from ringmaster.agents.accounts import dig
from ringmaster.agents.base import Step, StepKind
from ringmaster.agents.codex_meter import number
from ringmaster.protocol.attempt import FileChange

KINDS = ("step_start", "step_finish", "text", "reasoning", "tool_use", "error")
CHANGING_TOOLS = ("write", "edit")
LOOKING_TOOLS = ("read", "glob", "grep", "list")


def is_opencode(found: dict[str, Any]) -> bool:
    """Whether an object has the form of such a line."""
    if found.get("type") not in KINDS or not isinstance(found.get("sessionID"), str):
        return False
    body = found.get("error" if found["type"] == "error" else "part")
    return isinstance(found.get("timestamp"), int) and isinstance(body, dict)


def opencode_steps(found: dict[str, Any]) -> tuple[Step, ...]:
    """What such a line shows."""
    kind, at = found["type"], found["timestamp"] / 1000
    if kind == "error":
        words = dig(found, "error", "data", "message") or dig(found, "error", "name")
        return (Step(kind="other", text=f"failed: {words}", is_failed=True, at=at),)
    part = found["part"]
    if kind == "tool_use":
        return (_tool_step(part, at),)
    if kind == "step_finish":
        return (_usage_step(part, at),)
    text = dig(part, "text")
    return (Step(kind="text" if kind == "text" else "other", text=text, at=at),) if text else ()


def _tool_step(part: dict[str, Any], at: float) -> Step:
    name, state = dig(part, "tool"), part.get("state")
    state = state if isinstance(state, dict) else {}
    error = dig(state, "error") if state.get("status") == "error" else ""
    if name == "bash":
        return _command_step(part, state, error, at)
    path = dig(state, "input", "filePath")
    kind: StepKind = "file" if name in (*CHANGING_TOOLS, *LOOKING_TOOLS) else "tool"
    what = f"{name} {path or dig(state, 'input', 'pattern') or dig(state, 'title')}".strip()
    if error:
        return Step(kind=kind, text=f"failed: {what}\n{error}", is_failed=True, at=at)
    if name not in CHANGING_TOOLS or not path:
        return Step(kind=kind, text=what, at=at)
    metadata = state.get("metadata")
    is_new = name == "write" and isinstance(metadata, dict) and metadata.get("exists") is False
    change = FileChange(path, "add" if is_new else "update")
    return Step(kind="file", text=f"{change.change} {path}", files=(change,), at=at)


def _command_step(part: dict[str, Any], state: dict[str, Any], error: str, at: float) -> Step:
    metadata = state.get("metadata")
    code = metadata.get("exit") if isinstance(metadata, dict) else None
    return Step(
        kind="command",
        call_id=dig(part, "callID") or dig(part, "id"),
        command=dig(state, "input", "command"),
        # None of a command that it has ended, as at its time limit.
        text="" if isinstance(code, int) or error else "no exit status",
        exit_code=code if isinstance(code, int) else None,
        is_failed=bool(error) or bool(code),
        output=error or dig(state, "output"),
        at=at,
    )


def _usage_step(part: dict[str, Any], at: float) -> Step:
    tokens, cost = part.get("tokens"), part.get("cost")
    cache = tokens.get("cache") if isinstance(tokens, dict) else None
    tokens_in = number(tokens, "input") + number(cache, "read") + number(cache, "write")
    tokens_out = number(tokens, "output")
    return Step(
        kind="usage",
        text=f"{tokens_in} tokens in, {tokens_out} out",
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        # 0 is also what it says of a model whose price it does not know.
        cost_usd=float(cost) if isinstance(cost, int | float) and cost > 0 else None,
        at=at,
    )
