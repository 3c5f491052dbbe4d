"""The list of event types is what filters are checked against, so it must be whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import ringmaster
from ringmaster.protocol.event import EVENT_TYPES
from ringmaster.rpc.methods import METHODS
from ringmaster.settings import DaemonSettings

EMITTING = ("queue", "workers", "daemon", "store", "rpc")
NOUNS = sorted({name.partition(".")[0] for name in EVENT_TYPES})
NAME = re.compile(rf"({'|'.join(NOUNS)})\.[a-z_]+")


def test_the_types_are_those_that_the_sources_name():
    """Methods, settings and events have names of one form, and no name is two of them."""
    named: set[str] = set()
    for package in EMITTING:
        for path in Path(ringmaster.__file__).parent.joinpath(package).rglob("*.py"):
            named |= {
                node.value
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value)
            }
    methods = {method.name for method in METHODS}
    settings = {f"daemon.{name}" for name in DaemonSettings.__struct_fields__}
    assert named - methods - settings == set(EVENT_TYPES)
