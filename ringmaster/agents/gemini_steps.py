"""What Gemini CLI does, line by line of `-o stream-json`, as a person follows it.

A call is one line and what came of it another, with the call's id. It never says the exit of a command: one that
exits with 3 is a success to it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ringmaster.agents.accounts import dig
from ringmaster.agents.base import Step, StepKind
from ringmaster.agents.codex_meter import number

SHELL_TOOL = "run_shell_command"
CHANGING_TOOLS = ("write_file", "replace")
LOOKING_TOOLS = ("read_file", "read_many_files", "list_directory", "glob", "grep_search", "search_file_content")
_MEMBERS = {
    "init": ("session_id", "model"),
    "message": ("role", "content"),
    "tool_use": ("tool_name", "tool_id"),
    "tool_result": ("tool_id", "status"),
    "error": ("severity", "message"),
    "result": ("status",),
}


def is_gemini(found: dict[str, Any]) -> bool:
    """Whether an object has the form of such a line."""
    members = _MEMBERS.get(str(found.get("type")))
    if members is None or _time_of(found) is None:
        return False
    is_told = all(isinstance(found.get(name), str) for name in members)
    return is_told and (found["type"] != "result" or isinstance(found.get("stats"), dict))


def gemini_steps(found: dict[str, Any]) -> tuple[Step, ...]:
    """What such a line shows; the prompt, which it repeats, is not shown."""
    kind, at = found["type"], _time_of(found)
    if kind == "message":
        return (Step(kind="text", text=found["content"], at=at),) if found["role"] == "assistant" else ()
    if kind == "tool_use":
        return (_begun(found, at),)
    if kind == "tool_result":
        is_failed = found["status"] != "success"
        output = dig(found, "error", "message") or dig(found, "output")
        return (Step(kind="tool", call_id=found["tool_id"], is_failed=is_failed, output=output, at=at),)
    if kind == "error":
        return (Step(kind="other", text=found["message"], is_failed=found["severity"] == "error", at=at),)
    if kind == "init":
        return (Step(kind="other", text=f"session with {found['model']}", at=at),)
    tokens_in, tokens_out = (number(found["stats"], name) for name in ("input_tokens", "output_tokens"))
    words = f"{found['status']}: {tokens_in} tokens in, {tokens_out} out"
    is_failed = found["status"] != "success"
    return (Step(kind="usage", text=words, is_failed=is_failed, tokens_in=tokens_in, tokens_out=tokens_out, at=at),)


def _begun(found: dict[str, Any], at: float | None) -> Step:
    name, call_id, asked = found["tool_name"], found["tool_id"], found.get("parameters")
    if name == SHELL_TOOL:
        return Step(kind="command", command=dig(asked, "command"), call_id=call_id, is_start=True, at=at)
    is_changing = name in CHANGING_TOOLS
    kind: StepKind = "file" if is_changing or name in LOOKING_TOOLS else "tool"
    what = next((text for key in ("file_path", "dir_path", "pattern", "query") if (text := dig(asked, key))), "")
    # A change is shown when it has come about.
    text = f"{name} {what}".strip()
    return Step(kind=kind, text=text, call_id=call_id, is_start=True, is_shown=not is_changing, at=at)


def _time_of(found: dict[str, Any]) -> float | None:
    try:
        return datetime.fromisoformat(dig(found, "timestamp")).timestamp()
    except (ValueError, OverflowError):
        return None
