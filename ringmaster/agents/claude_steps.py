"""What Claude Code does, line by line of its stream, as a person follows it.

A call is one line and what came of it another, with the call's id. Of a command that succeeded its exit is not in the
words but in the fields beside them; of one that failed it is in the words alone (`Exit code 3`).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from ringmaster.agents.accounts import dig
from ringmaster.agents.base import Step, StepKind
from ringmaster.agents.claude_stream import KNOWN, blocks_of, errors_of, spent_of_result
from ringmaster.agents.lines import decode_object
from ringmaster.protocol.attempt import FileChange

CHANGING_TOOLS = ("Edit", "MultiEdit", "Write", "NotebookEdit")
LOOKING_TOOLS = ("Read", "Glob", "Grep")
_EXIT = re.compile(r"Exit code (\d{1,9})(?:\n|$)")
_BACKGROUND_EXIT = re.compile(r"\(exit code (\d{1,9})\)|with exit code (\d{1,9})")
_TAG = re.compile(r"</?tool_use_error>")


def steps_of(line: bytes) -> tuple[Step, ...]:
    """What one line shows to a person. Never raises; a line of no known form is shown as it is."""
    found = decode_object(line)
    if found is None or found.get("type") not in KNOWN:
        text = line.decode("utf-8", "replace").strip()
        return (Step(kind="other", text=text),) if text else ()
    kind = found["type"]
    if kind == "assistant":
        blocks = blocks_of(found.get("message"))
        return tuple(step for block in blocks if (step := _block_step(block)) is not None)
    if kind == "user":
        return _ends(found)
    if kind == "result":
        return (_result_step(found),)
    if kind == "rate_limit_event":
        status = dig(found, "rate_limit_info", "status")
        return (Step(kind="usage", text=f"rate limit: {status}", is_failed=status == "rejected"),)
    if kind == "system":
        return (_system_step(found),)
    return ()


def _block_step(block: dict[str, Any]) -> Step | None:
    if block.get("type") == "text":
        return Step(kind="text", text=dig(block, "text"))
    if block.get("type") != "tool_use":
        return None
    name, asked, call_id = dig(block, "name"), block.get("input"), dig(block, "id")
    if name == "Bash":
        return Step(kind="command", command=dig(asked, "command"), call_id=call_id, is_start=True)
    is_changing = name in CHANGING_TOOLS
    kind: StepKind = "file" if is_changing or name in LOOKING_TOOLS else "tool"
    names = ("file_path", "notebook_path", "pattern", "description")
    what = next((text for key in names if (text := dig(asked, key))), "")
    # A change is shown when it has come about.
    is_shown = not (is_changing and call_id)
    return Step(kind=kind, text=f"{name} {what}".strip(), call_id=call_id, is_start=True, is_shown=is_shown)


def _ends(found: dict[str, Any]) -> tuple[Step, ...]:
    """What came of calls. The fields beside the words are of one call, so of a line with several they say nothing."""
    blocks = [block for block in blocks_of(found.get("message")) if block.get("type") == "tool_result"]
    fields = found.get("tool_use_result") if len(blocks) == 1 else None
    at = _time_of(found)
    steps: list[Step | None] = []
    for block in blocks:
        call_id = dig(block, "tool_use_id")
        if block.get("is_error") is True:
            steps.append(_failed(call_id, _words(block), at))
        elif isinstance(fields, dict):
            steps.append(_succeeded(call_id, fields, at))
        else:
            steps.append(Step(kind="tool", call_id=call_id, at=at))
    return tuple(step for step in steps if step is not None)


def _failed(call_id: str, words: str, at: float | None) -> Step:
    stated = _EXIT.match(words)
    if stated is None:
        return Step(kind="tool", call_id=call_id, is_failed=True, output=_TAG.sub("", words), at=at)
    output = words[stated.end() :]
    return Step(kind="command", call_id=call_id, exit_code=int(stated[1]), is_failed=True, output=output, at=at)


def _succeeded(call_id: str, fields: dict[str, Any], at: float | None) -> Step | None:
    path = dig(fields, "filePath") or dig(fields, "notebook_path")
    if path:
        change = FileChange(path, "add" if fields.get("type") == "create" else "update")
        return Step(kind="file", call_id=call_id, files=(change,), at=at)
    if not ("stdout" in fields and "interrupted" in fields):
        return Step(kind="tool", call_id=call_id, at=at)
    if "backgroundTaskId" in fields:
        # It goes on; a notification says how it ended.
        return None
    if fields["interrupted"] is True:
        return Step(kind="command", call_id=call_id, text="interrupted", is_failed=True, at=at)
    # `grep` that finds nothing and the like: it is no error, and which exit status it was is not said.
    meaning = dig(fields, "returnCodeInterpretation")
    return Step(kind="command", call_id=call_id, text=meaning, exit_code=None if meaning else 0, at=at)


def _result_step(found: dict[str, Any]) -> Step:
    words = dig(found, "result") or "; ".join(errors_of(found))
    spent = spent_of_result(found)
    is_failed = found.get("is_error") is True
    has_cost = isinstance(found.get("total_cost_usd"), int | float)
    has_tokens = bool(spent.tokens_in or spent.tokens_out)
    stated = f" (${spent.cost_usd:.4f})" if has_cost else ""
    state = "failed" if is_failed else dig(found, "subtype")
    return Step(
        kind="usage",
        text=f"{state}{stated}: {words}".removesuffix(": "),
        is_failed=is_failed,
        tokens_in=spent.tokens_in if has_tokens else None,
        tokens_out=spent.tokens_out if has_tokens else None,
        cost_usd=spent.cost_usd if has_cost else None,
    )


def _system_step(found: dict[str, Any]) -> Step:
    subtype = dig(found, "subtype")
    if subtype == "init":
        return Step(kind="other", text=f"session with {dig(found, 'model')}")
    if subtype == "task_notification" and (call_id := dig(found, "tool_use_id")):
        words = dig(found, "summary")
        stated = _BACKGROUND_EXIT.search(words)
        code = int(stated[1] or stated[2]) if stated is not None else None
        is_failed = dig(found, "status") != "completed" or bool(code)
        return Step(kind="other", call_id=call_id, text=words, exit_code=code, is_failed=is_failed)
    return Step(kind="other", text=subtype)


def _words(block: dict[str, Any]) -> str:
    content = block.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "\n".join(text for part in parts if (text := dig(part, "text"))) or "a tool failed"


def _time_of(found: dict[str, Any]) -> float | None:
    try:
        return datetime.fromisoformat(dig(found, "timestamp")).timestamp()
    except (ValueError, OverflowError):
        return None
