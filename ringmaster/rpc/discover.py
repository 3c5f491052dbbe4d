"""`rpc.discover`: the method table as an OpenRPC document, made from the table itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ringmaster import __version__
from ringmaster.protocol.codes import PROTOCOL_VERSION
from ringmaster.protocol.feed import FEED_MESSAGES, SubscribeMessage
from ringmaster.rpc.dispatch import Context, Method
from ringmaster.rpc.rights import Right


class DiscoverParams(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No parameters."""


def discover_method(methods: Sequence[Method[Any, Any]]) -> Method[Any, Any]:
    """The entry for `rpc.discover` over a table. Its document is made at the first call; it is in it too."""
    document: dict[str, Any] = {}

    def discover(context: Context[Any], params: DiscoverParams) -> dict[str, Any]:
        if not document:
            document.update(describe_methods([*methods, entry]))
        return document

    entry: Method[Any, Any] = Method(
        "rpc.discover",
        DiscoverParams,
        dict[str, Any],
        discover,
        Right.NONE,
        is_mutating=False,
        summary="Every method with its params, result and the right it asks for, as an OpenRPC document.",
    )
    return entry


def describe_methods(methods: Sequence[Method[Any, Any]]) -> dict[str, Any]:
    """The OpenRPC document: methods in order of their names, the types they share under `components`."""
    ordered = sorted(methods, key=lambda method: method.name)
    types = [kind for method in ordered for kind in (method.params, method.result)]
    schemas, components = msgspec.json.schema_components(
        [*types, *FEED_MESSAGES, SubscribeMessage], ref_template="#/components/schemas/{name}"
    )
    described = []
    for number, method in enumerate(ordered):
        described.append(
            {
                "name": method.name,
                "summary": method.summary,
                "paramStructure": "either",
                "params": _describe_params(schemas[2 * number], components),
                "result": {"name": "result", "schema": schemas[2 * number + 1]},
                "x-right": str(method.right),
                "x-mutating": method.is_mutating,
            }
        )
    return {
        "openrpc": "1.3.2",
        "info": {"title": "Ringmaster", "version": __version__, "x-protocol": PROTOCOL_VERSION},
        "methods": described,
        "x-feed-messages": [message.__name__ for message in FEED_MESSAGES],
        "components": {"schemas": components},
    }


def _describe_params(schema: dict[str, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    body = components[schema["$ref"].rsplit("/", 1)[1]]
    required = set(body.get("required", ()))
    return [
        {"name": name, "required": name in required, "schema": field}
        for name, field in body.get("properties", {}).items()
    ]
