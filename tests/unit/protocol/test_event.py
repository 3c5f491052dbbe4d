"""The list of event types is what filters are checked against, so it must be whole."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import ringmaster
from ringmaster.protocol.event import EVENT_TYPES
from ringmaster.rpc.methods import METHODS

EMITTING = ("queue", "workers", "daemon", "store", "rpc")
NOUNS = sorted({name.partition(".")[0] for name in EVENT_TYPES})
NAME = re.compile(rf"({'|'.join(NOUNS)})\.[a-z_]+")


def test_the_types_are_those_that_the_sources_name():
    """Methods and events have names of one form, and no name is both."""
    named: set[str] = set()
    for package in EMITTING:
        for path in Path(ringmaster.__file__).parent.joinpath(package).rglob("*.py"):
            named |= {
                node.value
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value)
            }
    assert named - {method.name for method in METHODS} == set(EVENT_TYPES)
