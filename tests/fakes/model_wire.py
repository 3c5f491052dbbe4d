"""The two wire forms of the scripted model: requests read to plain messages, replies written as event streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Usage(NamedTuple):
    """Tokens that an answer states. cached: read from the cache, beside `input`."""

    input: int = 0
    output: int = 0
    cached: int = 0


SAID = Usage(100, 10)
USED = Usage(200, 20)


@dataclass(frozen=True)
class Say:
    """Text, and the turn is over. is_cut: the connection closes in the middle."""

    text: str
    usage: Usage = SAID
    headers: tuple[tuple[str, str], ...] = ()
    is_cut: bool = False


@dataclass(frozen=True)
class Use:
    """A call of one tool."""

    tool: str
    input: dict[str, Any] = field(default_factory=dict)
    usage: Usage = USED
    headers: tuple[tuple[str, str], ...] = ()
    is_cut: bool = False


@dataclass(frozen=True)
class Fail:
    """An HTTP error."""

    status: int
    type: str = "api_error"
    message: str = "the script says so"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Silence:
    """No byte at all, for ever."""


Reply = Say | Use | Fail | Silence


def error_body(reply: Fail) -> dict[str, Any]:
    """What both forms take for an error."""
    return {"type": "error", "error": {"type": reply.type, "message": reply.message}}


def _event(type: str, fields: dict[str, Any]) -> bytes:
    return f"event: {type}\ndata: {json.dumps({'type': type, **fields})}\n\n".encode()


def _texts(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))


def read_messages(body: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """The conversation of `POST /v1/messages`."""
    found = []
    for message in body.get("messages", []):
        content = message["content"]
        results = [
            _texts(part.get("content"))
            for part in content
            if isinstance(part, dict) and part.get("type") == "tool_result"
        ]
        text = _texts(content)
        found.append((message["role"], "\n".join((*results, text)) if results else text, bool(results)))
    return found


def message_events(model: str, serial: int, reply: Say | Use) -> Iterator[bytes]:
    """An answer to `POST /v1/messages`."""
    usage = {
        "input_tokens": reply.usage.input,
        "output_tokens": 1,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": reply.usage.cached,
    }
    message = {"id": f"msg_{serial:08}", "type": "message", "role": "assistant", "model": model, "content": []}
    yield _event("message_start", {"message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}})
    if isinstance(reply, Say):
        block: dict[str, Any] = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": reply.text}
    else:
        block = {"type": "tool_use", "id": f"toolu_{serial:08}", "name": reply.tool, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(reply.input)}
    yield _event("content_block_start", {"index": 0, "content_block": block})
    yield _event("content_block_delta", {"index": 0, "delta": delta})
    if reply.is_cut:
        return
    yield _event("content_block_stop", {"index": 0})
    stop = "end_turn" if isinstance(reply, Say) else "tool_use"
    final = {"delta": {"stop_reason": stop, "stop_sequence": None}, "usage": {"output_tokens": reply.usage.output}}
    yield _event("message_delta", final)
    yield _event("message_stop", {})


def read_input(body: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """The conversation of `POST /v1/responses`."""
    found = []
    for item in body.get("input", []):
        kind = item.get("type", "message")
        if kind == "message":
            found.append((item.get("role", "user"), _texts(item.get("content")), False))
        elif kind.endswith("_output"):
            output = item.get("output")
            found.append(("tool", output if isinstance(output, str) else json.dumps(output), True))
        elif kind.endswith("_call"):
            found.append(("assistant", "", False))
    return found


def response_events(model: str, serial: int, reply: Say | Use) -> Iterator[bytes]:
    """An answer to `POST /v1/responses`."""
    response = {"id": f"resp_{serial:08}", "object": "response", "model": model, "status": "in_progress", "output": []}
    yield _event("response.created", {"response": response})
    item: dict[str, Any]
    if isinstance(reply, Say):
        part = {"type": "output_text", "text": reply.text, "annotations": []}
        item = {"type": "message", "id": f"msg_{serial}", "role": "assistant", "status": "completed", "content": [part]}
    else:
        item = {
            "type": "function_call",
            "id": f"fc_{serial}",
            "call_id": f"call_{serial}",
            "name": reply.tool,
            "arguments": json.dumps(reply.input),
            "status": "completed",
        }
    yield _event("response.output_item.added", {"output_index": 0, "item": item})
    if reply.is_cut:
        return
    yield _event("response.output_item.done", {"output_index": 0, "item": item})
    usage = {
        "input_tokens": reply.usage.input + reply.usage.cached,
        "input_tokens_details": {"cached_tokens": reply.usage.cached},
        "output_tokens": reply.usage.output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": sum(reply.usage),
    }
    final = {**response, "status": "completed", "output": [item], "usage": usage}
    yield _event("response.completed", {"response": final})
