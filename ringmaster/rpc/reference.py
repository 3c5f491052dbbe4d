"""The reference of the wire, made from the method table: `python -m ringmaster.rpc.reference [--check] [PATH]`."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ringmaster.protocol.codes import MAX_BATCH, MAX_LINE_BYTES, PROTOCOL_VERSION, STREAM_ENDED
from ringmaster.protocol.feed import FEED_PROTOCOL
from ringmaster.rpc.discover import describe_methods, discover_method
from ringmaster.rpc.dispatch import Method
from ringmaster.rpc.methods import METHODS
from ringmaster.rpc.rights import Right

DEFAULT_PATH = Path("docs/protocol.md")
_REF = "#/components/schemas/"
_RIGHTS = {
    Right.NONE: "anyone of the daemon's user, also a process that may do nothing else",
    Right.READ: "a person; an attempt for its own task, project and self",
    Right.OPERATE: "a person",
    Right.ATTEMPT: "the attempt itself with its token, or a person with that token",
}
_INTRODUCTION = f"""\
# Protocol

Generated from the method table by `python -m ringmaster.rpc.reference`; a test holds that it is up to date.
`rpc.discover` answers the same as an OpenRPC document.

JSON-RPC 2.0 over a Unix socket of mode 0600: one document a line, at most {MAX_LINE_BYTES // 1024 // 1024} MB,
pipelined; batches of at most {MAX_BATCH}. Params go by name or by position, in the order listed; unknown ones are
refused.
This is version {PROTOCOL_VERSION} of the protocol: a new method or a new optional field does not change it.

**An answer to a mutating method means that its transaction is durable.** Each takes an `idempotency_key`: a repeat
under the same key gets the first answer and changes nothing, so a caller whose connection broke simply repeats. A
mutation that has begun goes on when its client hangs up.

**An error** has `code`, `message` (one line) and `data: {{kind, retryable, hint, protocol}}`. `kind` says what went
wrong for programs, `hint` what to do next, often a command.

**A stream** begins with an answer that holds its `subscription`. Then come notifications with
`params: {{subscription, item}}`, and at its end `{STREAM_ENDED}` with `{{subscription, error}}`; no error where it came
to its end. A client that does not read is waited for, and dropped if it takes not a byte for half a minute; what it
missed is read again from its cursor.

Times are unix seconds UTC and end in `_at`, durations end in `_s`. Ids may be given as unique prefixes.
"""


_FEED = f"""## The feed

One stream of events, agents' steps and lines of output; docs/stream.md says what it promises. It goes over two wires:

* `feed.subscribe` on the Unix socket: each `feed.messages` notification has a list of messages as its `item`. Nothing
  is left out: it waits for its reader.
* A websocket at `/stream` of the address in `stream.json` of the state directory, with `Authorization: Bearer` and the
  token in `stream.token`, or with a ticket for pages. The client sends a `subscribe` message, and another whenever it
  wants another part of the feed; each text frame has one or more messages, one a line. Who is more than 16 MiB behind
  gets `resync`. Close codes: 1012 the daemon reloads, come back at once; 1001 it stops; 1008 what was sent, or not
  sent in time, is not allowed; 1009 a message is over 256 KiB.

Who comes back with the cursor of a `mark`, `hello` or `bye` is told everything that came after it, also what was on its
way when the connection broke: drop events whose `seq` you have, and output before the offset you have. An end by `bye`
leaves nothing to drop. This is version {FEED_PROTOCOL} of the feed.
"""


def render(methods: Sequence[Method[Any, Any]]) -> str:
    """The whole page. The same table always gives the same text."""
    document = describe_methods([*methods, discover_method(methods)])
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    parts = [_INTRODUCTION, "## Rights\n", _table(("right", "who has it"), [(f"`{r}`", w) for r, w in _RIGHTS.items()])]
    described = sorted(document["methods"], key=lambda method: str(method["name"]))
    by_name = {method.name: method for method in methods}
    for noun, members in groupby(described, key=lambda method: str(method["name"]).partition(".")[0]):
        parts.append(f"## {noun}\n")
        parts += [_render_method(member, by_name.get(member["name"]), schemas) for member in members]
    messages = document["x-feed-messages"]
    parts.append(_FEED)
    parts += [_render_type(name, schemas[name]) for name in (*messages, "SubscribeMessage")]
    parts.append("## Types\n")
    used = {method.params.__name__ for method in methods} | {"DiscoverParams", "SubscribeMessage", *messages}
    parts += [_render_type(name, schemas[name]) for name in sorted(schemas) if name not in used]
    return "\n".join(parts).rstrip("\n") + "\n"


def _render_method(described: Mapping[str, Any], method: Method[Any, Any] | None, schemas: Mapping[str, Any]) -> str:
    lines = [f"### {described['name']}\n", f"{described['summary']}\n"]
    kind = "mutating" if described["x-mutating"] else "reading"
    result = _type_of(described["result"]["schema"])
    lines.append(f"Right `{described['x-right']}`, {kind}. Answers {result}.\n")
    if method is not None:
        words = inspect.cleandoc(schemas[method.params.__name__].get("description", ""))
        if words and not words.startswith("No parameters."):
            lines.append(f"{words}\n")
    rows = [
        (
            f"`{param['name']}`",
            _type_of(param["schema"]),
            "required" if param["required"] else _default_of(param["schema"]),
        )
        for param in described["params"]
    ]
    if rows:
        lines.append(_table(("param", "type", "default"), rows))
    return "\n".join(lines)


def _render_type(name: str, schema: Mapping[str, Any]) -> str:
    lines = [f"### {name}\n"]
    if schema.get("description"):
        lines.append(f"{inspect.cleandoc(schema['description'])}\n")
    if "enum" in schema:
        lines.append(f"{_type_of(schema)}\n")
    rows = [(f"`{field}`", _type_of(kind)) for field, kind in schema.get("properties", {}).items()]
    if rows:
        lines.append(_table(("field", "type"), rows))
    return "\n".join(lines)


def _type_of(schema: Mapping[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix(_REF)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type_of(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"`{value}`" if value != "" else "empty" for value in schema["enum"])
    kind = str(schema.get("type", "any value"))
    if kind == "array":
        items = schema.get("items")
        words = "list" if not items else f"list of {_type_of(items)}"
    elif kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        words = f"object of {_type_of(schema['additionalProperties'])}"
    else:
        words = kind
    bounds = [f"{label} {schema[key]}" for key, label in _BOUNDS.items() if key in schema]
    return f"{words} ({', '.join(bounds)})" if bounds else words


_BOUNDS = {
    "minimum": "from",
    "maximum": "to",
    "minLength": "at least",
    "maxLength": "at most",
    "minItems": "at least",
    "maxItems": "at most",
}


def _default_of(schema: Mapping[str, Any]) -> str:
    if "default" not in schema:
        return "empty"
    default = schema["default"]
    if default in ("", [], {}, ()) and default is not False:
        return "empty"
    words = {None: "none", True: "true", False: "false"}
    return words[default] if default is None or isinstance(default, bool) else f"`{default}`"


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with `--check` say whether it is what the table makes."""
    paths = [Path(argument) for argument in arguments if argument != "--check"]
    path = paths[0] if paths else DEFAULT_PATH
    text = render(METHODS)
    if "--check" not in arguments:
        path.write_text(text)
        return 0
    if path.exists() and path.read_text() == text:
        return 0
    sys.stderr.write(f"{path} is not what the method table makes: python -m ringmaster.rpc.reference {path}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
