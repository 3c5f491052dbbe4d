"""The house style as far as a machine can see it. Each test names every offender at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
# Names that say nothing of what is inside, and so take in everything.
EMPTY_NAMES = {"utils", "util", "common", "core", "helpers", "misc", "manager"}

TREES = {
    path.relative_to(CHECKOUT): ast.parse(path.read_text(), str(path))
    for folder in ("ringmaster", "tests")
    for path in sorted((CHECKOUT / folder).rglob("*.py"))
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


def iter_functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def count_lines(function: Function) -> int:
    """Lines from `def` to the last, less the docstring: what it says is no reason to say less."""
    first = function.body[0]
    is_documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if is_documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def test_a_file_fits_a_head():
    sizes = {path: len((CHECKOUT / path).read_text().splitlines()) for path in TREES}
    offenders = [f"{path}: {size} lines" for path, size in sizes.items() if size > LONGEST_FILE]
    assert not offenders, "\n".join(offenders)


def test_a_function_does_one_thing():
    offenders = [
        f"{path}:{function.lineno} {function.name}: {count_lines(function)} lines"
        for path, tree in TREES.items()
        for function in iter_functions(tree)
        if count_lines(function) > LONGEST_FUNCTION
    ]
    assert not offenders, "\n".join(offenders)


def test_a_module_is_named_after_what_it_holds():
    offenders = [str(path) for path in TREES if EMPTY_NAMES & {path.stem, *path.parent.parts}]
    assert not offenders, "\n".join(offenders)


def test_a_package_and_its_modules_say_what_they_are_for():
    offenders = [
        str(path)
        for path, tree in TREES.items()
        if path.parts[0] == "ringmaster" and tree.body and ast.get_docstring(tree) is None
    ]
    assert not offenders, "\n".join(offenders)


def test_tests_wait_for_what_happens_and_not_for_time():
    """A real sleep is slow where it is long enough, flaky where it is not; a test's own clock may leap."""
    offenders = []
    for path, tree in TREES.items():
        if path.parts[0] != "tests":
            continue
        calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
        has_fake_clock = any(
            "autojump_clock" in names or "mock_clock" in names
            for names in ({argument.arg for argument in function.args.args} for function in iter_functions(tree))
        ) or any(call.endswith("MockClock") for call in calls)
        if "time.sleep" in calls or ("trio.sleep" in calls and not has_fake_clock):
            offenders.append(str(path))
    assert not offenders, "\n".join(offenders)


def test_exceptions_are_caught_by_name():
    """What nobody expected must leave main; only the three named boundaries may catch everything."""
    offenders = [
        f"{path}:{node.lineno}"
        for path, tree in TREES.items()
        if path.parts[0] == "ringmaster"
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not offenders, "\n".join(offenders)
