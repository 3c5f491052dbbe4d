"""Find public functions that raise what their docstring does not tell, and the edit that mends each.

The house style has a public docstring name its errors. Both the measure and the mending are mechanical: the
raise statements say which error, of which kind, with which words. Standard library only and run by path, so
that the agent measures the tree it works on, with any interpreter:

    python -I -S ringmaster/selfhost/findings.py            the findings, one a line
    python -I -S ringmaster/selfhost/findings.py --count    their number
    python -I -S ringmaster/selfhost/findings.py --mended ID    exit status 1 while ID is among them
"""

from __future__ import annotations

import ast
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import NamedTuple

PACKAGE = "ringmaster"
LINE_LENGTH = 120
LONGEST_FILE = 400
OWN_ERROR = "RingmasterError"
BASES = ("Exception", "BaseException")
NOT_ERRORS = ("AssertionError", "NotImplementedError", "StopIteration", "SystemExit", "KeyboardInterrupt")
"""What a caller never handles: broken invariants and signals of the language itself."""
ENTRY_POINTS = ("ringmaster/cli/", "ringmaster/rpc/handlers/")
"""Called by a framework alone, which turns every error into words: their docstrings are help, not contracts."""
JUDGES = (
    *("bin/", "sql/", "ringmaster/reload/", "ringmaster/workspace/gate*", "ringmaster/workers/gate*"),
    *("ringmaster/workspace/protected*", "ringmaster/workspace/weakened*", "ringmaster/workspace/junit*"),
    *("ringmaster/proc/shim*", "ringmaster/store/migrate*"),
)
"""What judges or carries all other work. The project protects it too, so a change there asks a person."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Told(NamedTuple):
    """One raise statement. kind: of a RingmasterError, else ''. words: its message, '' when it is computed."""

    error: str
    kind: str
    words: str


class Finding(NamedTuple):
    """A public function whose docstring names none of its errors.

    old, new: the edit that mends it; `old` occurs once in the file. Both are empty where it takes a person.
    """

    path: str
    name: str
    line: int
    raised: tuple[Told, ...]
    old: str
    new: str

    @property
    def id(self) -> str:
        """The path and the qualified name: stays the same when lines move."""
        return f"{self.path}:{self.name}"

    @property
    def is_mendable(self) -> bool:
        """Whether the edit is known."""
        return bool(self.new)

    def mend(self, text: str) -> str:
        """The file's text with the edit made."""
        return text.replace(self.old, self.new)


def find_all(sources: Mapping[str, str]) -> list[Finding]:
    """Every finding in a tree, in a fixed order. sources: text by path from the tree's top.

    Raises:
        SyntaxError: a file is no Python.
    """
    return [finding for path in sorted(sources) if is_measured(path) for finding in find_in(path, sources[path])]


def choose(findings: list[Finding]) -> Finding | None:
    """The one to mend next: first what raises the error that users see, then in the order of paths."""
    mendable = [finding for finding in findings if finding.is_mendable]
    return min(mendable, key=lambda finding: all(told.error != OWN_ERROR for told in finding.raised), default=None)


def is_measured(path: str) -> bool:
    """Whether docstrings of this file are contracts that an agent may improve by itself."""
    prefixes = tuple(pattern.rstrip("*") for pattern in (*JUDGES, *ENTRY_POINTS))
    return path.startswith(f"{PACKAGE}/") and path.endswith(".py") and not path.startswith(prefixes)


def find_in(path: str, text: str) -> Iterator[Finding]:
    """The findings of one file."""
    for name, function in _public_functions(ast.parse(text, path), ""):
        docstring = ast.get_docstring(function, clean=False)
        raised = tuple(dict.fromkeys(_raised_by(function)))
        if raised and docstring is not None and "raise" not in docstring.lower():
            old, new = _edit(text, function, raised)
            yield Finding(path, name, function.lineno, raised, old, new)


def _public_functions(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, Function]]:
    for child in node.body:
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from _public_functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, Function) and not child.name.startswith("_"):
            yield f"{prefix}{child.name}", child


def _raised_by(node: ast.AST, caught: frozenset[str] = frozenset()) -> Iterator[Told]:
    """The raises that leave a function. caught: what handlers around `node` take."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(child, ast.Try):
            inside = caught | {name for handler in child.handlers for name in _names_caught(handler)}
            for part in child.body:
                yield from _raised_by(ast.Module([part], []), inside)
            for rest in (*child.handlers, *child.orelse, *child.finalbody):
                yield from _raised_by(ast.Module([rest], []) if isinstance(rest, ast.stmt) else rest, caught)
            continue
        if isinstance(child, ast.Raise) and isinstance(child.exc, ast.Call):
            told = _told(child.exc)
            if told is not None and not caught & {told.error, *BASES}:
                yield told
        yield from _raised_by(child, caught)


def _names_caught(handler: ast.ExceptHandler) -> list[str]:
    if handler.type is None:
        return list(BASES)
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return [ast.unparse(type).rpartition(".")[2] for type in types]


def _told(call: ast.Call) -> Told | None:
    error = ast.unparse(call.func).rpartition(".")[2]
    if not error[:1].isupper() or error in NOT_ERRORS:
        return None  # a function that makes the error: what it makes is not to be seen here
    arguments = list(call.args)
    kind = ""
    if error == OWN_ERROR:
        found = re.fullmatch(r"ErrorKind\.([A-Z_]+)", ast.unparse(arguments[0])) if arguments else None
        kind, arguments = (found[1] if found else ""), arguments[1:]
    return Told(error, kind, _message(arguments[0]) if arguments else "")


def _message(node: ast.expr) -> str:
    """A message's words with `{name}` where a value stands; '' when there is more to it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        words = node.value
    elif isinstance(node, ast.JoinedStr):
        words = "".join(_part(value) for value in node.values)
    else:
        return ""
    # One word alone is a code, not a message.
    is_plain = words.isprintable() and " " in words and "\\" not in words and '"' not in words
    return words if is_plain else ""


def _part(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    inner = node.value if isinstance(node, ast.FormattedValue) else node
    is_short = isinstance(inner, ast.Name) or (isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name))
    return f"{{{ast.unparse(inner)}}}" if is_short else "…"


def _edit(text: str, function: Function, raised: tuple[Told, ...]) -> tuple[str, str]:
    """The text from `def` to the end of the docstring, before and after; two empty ones when it is not mechanical."""
    docstring = function.body[0]
    assert isinstance(docstring, ast.Expr), "its docstring was read before"
    literal = ast.get_source_segment(text, docstring) or ""
    head = "".join(text.splitlines(keepends=True)[function.lineno - 1 : docstring.end_lineno])
    old = head[: head.rfind(literal) + len(literal)] if literal else ""
    is_plain = literal.startswith('"""') and literal.endswith('"""') and "\\" not in literal
    if not is_plain or text.count(old) != 1 or any(not told.kind and not told.words for told in raised):
        return "", ""
    indent = " " * docstring.col_offset
    closing = f'\n{indent}"""'
    body = literal[3:-3].rstrip()
    new = old.removesuffix(literal) + f'"""{body}\n\n' + "\n".join(_section(indent, raised)) + closing
    is_too_long = len(text.replace(old, new).splitlines()) > LONGEST_FILE
    return ("", "") if is_too_long else (old, new)


def _section(indent: str, raised: tuple[Told, ...]) -> Iterator[str]:
    yield f"{indent}Raises:"
    for error in dict.fromkeys(told.error for told in raised):
        cases = "; ".join(_case(told) for told in raised if told.error == error)
        yield from textwrap.wrap(
            f"{error}: {cases}.",
            LINE_LENGTH,
            initial_indent=f"{indent}    ",
            subsequent_indent=f"{indent}        ",
            break_long_words=False,
            break_on_hyphens=False,
        )


def _case(told: Told) -> str:
    quoted = f'"{told.words}"'
    if not told.kind:
        return quoted
    return f"{told.kind} ({quoted})" if told.words else told.kind


def read_tree(top: str) -> dict[str, str]:
    """The package's sources under `top`, by path from there."""
    found = {}
    for directory, _, names in os.walk(os.path.join(top, PACKAGE)):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(directory, name)
                with open(path, encoding="utf-8") as file:
                    found[os.path.relpath(path, top)] = file.read()
    return found


def main(argv: list[str]) -> int:
    """Measure the tree in the current directory. Returns the exit status."""
    if argv not in ([], ["--count"]) and not (len(argv) == 2 and argv[0] == "--mended"):
        print("usage: findings.py [--count | --mended ID]", file=sys.stderr)
        return 2
    findings = find_all(read_tree(os.getcwd()))
    if argv == ["--count"]:
        print(len(findings))
    elif argv:
        is_left = argv[1] in [finding.id for finding in findings]
        print(f"{argv[1]}: {'still there' if is_left else 'mended'}; {len(findings)} left")
        return int(is_left)
    else:
        for finding in findings:
            note = "" if finding.is_mendable else " (takes a person)"
            print(f"{finding.path}:{finding.line} {finding.name}: {_errors(finding)}{note}")
    return 0


def _errors(finding: Finding) -> str:
    return ", ".join(dict.fromkeys(" ".join(filter(None, (told.error, told.kind))) for told in finding.raised))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
