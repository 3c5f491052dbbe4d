"""What Codex does, line by line of its stream of items, as a person follows it.

A command or a tool of a server is an item that starts and one that completes, with the same id; a change of files and
all else is shown when it has come about.
"""

from __future__ import annotations

from typing import Any, Literal

from ringmaster.agents.accounts import dig
from ringmaster.agents.base import Step, StepKind
from ringmaster.agents.codex_meter import number
from ringmaster.agents.lines import decode_object
from ringmaster.protocol.attempt import FileChange

KNOWN = ("thread.started", "turn.started", "turn.completed", "turn.failed", "error")
ITEM_KINDS: dict[str, StepKind] = {
    "agent_message": "text",
    "command_execution": "command",
    "file_change": "file",
    "error": "other",
    "reasoning": "other",
}
CHANGES: tuple[Literal["add", "update", "delete"], ...] = ("add", "update", "delete")
REFUSED = ("failed", "declined")


def steps_of(line: bytes) -> tuple[Step, ...]:
    """What one line shows to a person. Never raises; a line of no known form is shown as it is."""
    found = decode_object(line)
    kind = str(found.get("type")) if found is not None else ""
    if found is None or not (kind in KNOWN or kind.startswith("item.")):
        text = line.decode("utf-8", "replace").strip()
        return (Step(kind="other", text=text),) if text else ()
    item = found.get("item")
    if kind == "item.started" and isinstance(item, dict):
        return _started(item)
    if kind == "item.completed":
        return (_completed(item if isinstance(item, dict) else {}),)
    if kind == "turn.failed":
        return (Step(kind="other", text=f"failed: {dig(found, 'error', 'message')}", is_failed=True),)
    if kind == "turn.completed":
        return (_usage_step(found.get("usage")),)
    return ()


def _started(item: dict[str, Any]) -> tuple[Step, ...]:
    name, call_id = dig(item, "type"), dig(item, "id")
    if name == "command_execution":
        return (Step(kind="command", command=dig(item, "command"), call_id=call_id, is_start=True),)
    if name == "mcp_tool_call":
        return (Step(kind="tool", text=_tool_name(item), call_id=call_id, is_start=True),)
    return ()


def _completed(item: dict[str, Any]) -> Step:
    name, call_id, status = dig(item, "type"), dig(item, "id"), dig(item, "status")
    if name == "command_execution":
        code = item.get("exit_code")
        return Step(
            kind="command",
            call_id=call_id,
            command=dig(item, "command"),
            text="declined" if status == "declined" else "",
            exit_code=code if isinstance(code, int) else None,
            is_failed=status in REFUSED or bool(code),
            output=dig(item, "aggregated_output"),
        )
    if name == "file_change":
        return Step(kind="file", call_id=call_id, files=_changes(item), is_failed=status in REFUSED)
    if name == "mcp_tool_call":
        output = dig(item, "error", "message")
        return Step(kind="tool", call_id=call_id, is_failed=status in REFUSED, output=output)
    text = dig(item, "text") or dig(item, "message") or dig(item, "query") or name
    return Step(kind=ITEM_KINDS.get(name, "tool"), text=text)


def _tool_name(item: dict[str, Any]) -> str:
    return ".".join(part for part in (dig(item, "server"), dig(item, "tool")) if part) or "mcp_tool_call"


def _changes(item: dict[str, Any]) -> tuple[FileChange, ...]:
    changes = item.get("changes")
    return tuple(
        FileChange(dig(change, "path"), kind)
        for change in (changes if isinstance(changes, list) else ())
        for kind in CHANGES
        if dig(change, "kind") == kind
    )


def _usage_step(usage: object) -> Step:
    tokens_in, tokens_out = number(usage, "input_tokens"), number(usage, "output_tokens")
    words = f"{tokens_in} tokens in, {tokens_out} out"
    return Step(kind="usage", text=words, tokens_in=tokens_in, tokens_out=tokens_out)
