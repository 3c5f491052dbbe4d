"""Finding tests that were removed or made to hold less, in Python test files, by their syntax trees."""

from __future__ import annotations

import ast
import posixpath
from collections.abc import Mapping

import msgspec

_CHECKING_CALLS = ("raises", "warns", "deprecated_call", "fail")
_SKIPPING = ("skip", "skipif", "xfail", "skipTest", "expectedFailure", "skipIf", "skipUnless", "importorskip")


class WeakenedTest(msgspec.Struct, frozen=True):
    """One test that holds less than before. test: `Class.name`, empty for the whole file. why: in words."""

    path: str
    test: str
    why: str


class _Measure(msgspec.Struct, frozen=True):
    assertions: int
    skips: int


def is_test_file(path: str) -> bool:
    """Whether a path is a Python test file, or a helper beside tests."""
    name = posixpath.basename(path)
    if not name.endswith(".py"):
        return False
    folders = path.split("/")[:-1]
    return (
        name.startswith("test_")
        or name.endswith("_test.py")
        or name == "conftest.py"
        or bool({"tests", "test"} & set(folders))
    )


def weakened_tests(before: Mapping[str, bytes | None], after: Mapping[str, bytes | None]) -> list[WeakenedTest]:
    """Tests that went away, lost assertions or gained a skip between two commits. Pure.

    before, after: path to source (None: absent) of every changed test file, at base and head. A test
    that moved to another changed file with its assertions does not count.
    """
    measured_after = {path: measure_tests(source) for path, source in after.items()}
    elsewhere: dict[str, _Measure] = {}
    for path, tests in measured_after.items():
        old = measure_tests(before.get(path)) or {}
        elsewhere |= {name: measure for name, measure in (tests or {}).items() if name not in old}
    found = []
    for path, source in before.items():
        old_tests = measure_tests(source)
        if not old_tests:
            continue
        new_tests = measured_after.get(path)
        if new_tests is None:
            found.append(WeakenedTest(path, "", "no longer parses as Python"))
            continue
        for name, old_measure in old_tests.items():
            new_measure = new_tests.get(name) or elsewhere.get(name)
            why = _why(old_measure, new_measure)
            if why is not None:
                found.append(WeakenedTest(path, name, why))
    return found


def measure_tests(source: bytes | None) -> dict[str, _Measure] | None:
    """Per test function, its assertions and skip marks; None where the source is no Python. The entry
    with an empty name is what the module does outside tests: helpers that assert, marks for all."""
    if source is None:
        return {}
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found: dict[str, _Measure] = {}
    rest: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and part.name.startswith("test"):
                    found[f"{node.name}.{part.name}"] = _measure(part, *node.decorator_list)
                else:
                    rest.append(part)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            found[node.name] = _measure(node)
        else:
            rest.append(node)
    found[""] = _measure(*rest)
    return found


def _measure(*nodes: ast.AST) -> _Measure:
    assertions = skips = 0
    for root in nodes:
        for node in ast.walk(root):
            if isinstance(node, ast.Assert):
                assertions += not isinstance(node.test, ast.Constant)
            elif isinstance(node, ast.Call):
                name = _last_name(node.func)
                assertions += name.startswith("assert") or name in _CHECKING_CALLS
            if isinstance(node, ast.Attribute | ast.Name):
                skips += _last_name(node) in _SKIPPING
    return _Measure(assertions, skips)


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _why(old: _Measure, new: _Measure | None) -> str | None:
    if new is None:
        return "removed" if old.assertions else None
    if new.assertions < old.assertions:
        return f"{old.assertions} assertions became {new.assertions}"
    if new.skips > old.skips:
        return "a skip or expected failure was added"
    return None
