"""What a prompt quotes from the workspace: the project's conventions, and code that the task names.

Blocking file reads, bounded in number and size; call them in a thread. Nothing outside the workspace is
read, whatever links lie in it; binary files, huge ones and those that usually hold keys are passed over,
and a FIFO or device is not opened to block.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from ringmaster.prompt.facts import Excerpt

CONVENTION_FILES = ("AGENTS.md", "CLAUDE.md", "CONTRIBUTING.md", ".github/CONTRIBUTING.md")
README_FILES = ("README.md", "README.rst", "README.txt", "README")
CONVENTION_BYTES = 24_000
README_BYTES = 2_000

FILE_BYTES = 400_000
"""A larger file is generated or data."""
TREE_FILES = 20_000
SEARCHED_BYTES = 8_000_000
EXCERPT_LIMIT = 12
WHOLE_FILE_LINES = 160
LINES_AROUND = 40
HEAD_LINES = 60

SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "site-packages", "venv", "target", "dist", "build"})
SOURCE_SUFFIXES = (
    *(".py", ".pyi", ".js", ".jsx", ".ts", ".tsx", ".mjs", ".go", ".rs", ".java", ".kt", ".rb", ".php", ".c", ".h"),
    *(".cc", ".cpp", ".hpp", ".cs", ".swift", ".scala", ".sh", ".lua", ".ex", ".exs"),
)
_SECRET_FILE = re.compile(
    r"(^\.env)|(^id_[a-z0-9]+$)|(\.(pem|key|p12|pfx|keystore)$)|(^\.netrc$)|(^\.npmrc$)|(^\.pypirc$)"
)
_PATH = re.compile(r"(?<![\w./-])((?:[\w.@+-]+/)*[\w@+-][\w.@+-]*)(?:(?::|#L)(\d{1,7}))?")
_NAME = re.compile(r"`(?:[\w.]+\.)?([A-Za-z_]\w{2,})(?:\(\))?`|(?<![\w./])(?:[\w]+\.)*([A-Za-z_]\w{2,})\(\)")
_DEFINITION = (
    r"^[ \t]*(?:[\w*&<>:,]+[ \t]+)*(?:def|class|function|func|fn|struct|enum|interface|trait|type)"
    r"[ \t]+(?:\([^)\n]*\)[ \t]*)?(?P<name>{})\b"
)


class WorkspaceFiles:
    """Reads files of one workspace, and no others."""

    def __init__(self, workspace: Path) -> None:
        self.root = os.path.realpath(workspace)

    def read(self, path: str, limit: int = FILE_BYTES) -> str | None:
        """A text file, at most `limit` bytes; None for what is missing, outside, binary, huge or secret."""
        real = os.path.realpath(os.path.join(self.root, path))
        inside = os.path.relpath(real, self.root)
        if inside.startswith("..") or inside.split("/")[0] == ".git":
            return None
        if _SECRET_FILE.search(os.path.basename(path)) or _SECRET_FILE.search(os.path.basename(real)):
            return None
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except (OSError, ValueError):
            return None
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > FILE_BYTES:
                return None
            data = file.read(limit)
        if b"\0" in data:
            return None
        return data.decode("utf-8", "replace")

    def walk(self) -> Iterator[str]:
        """Paths of the tree in order, without hidden and vendored folders, at most `TREE_FILES`."""
        count = 0
        for folder, folders, files in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in SKIPPED_FOLDERS)
            for name in sorted(files):
                count += 1
                if count > TREE_FILES:
                    return
                yield os.path.relpath(os.path.join(folder, name), self.root)


def read_conventions(workspace: Path) -> tuple[Excerpt, ...]:
    """The files in which projects say how to work on them, and the head of the README. Same text once."""
    files = WorkspaceFiles(workspace)
    excerpts: list[Excerpt] = []
    seen: set[str] = set()
    for names, limit in ((CONVENTION_FILES, CONVENTION_BYTES), (README_FILES, README_BYTES)):
        for name in names:
            text = files.read(name, limit + 1)
            if text is None or not text.strip() or text in seen:
                continue
            seen.add(text)
            excerpts.append(Excerpt(path=name, text=text[:limit], is_cut=len(text) > limit))
            if names is README_FILES:
                break
    return tuple(excerpts)


def read_named_code(workspace: Path, words: str) -> tuple[Excerpt, ...]:
    """Code that a task's words name: paths, `path:line`, and functions or classes written as `name` or name().

    A path may leave out its folders when at most three files are called so.
    """
    files = WorkspaceFiles(workspace)
    tree = tuple(files.walk())
    excerpts: list[Excerpt] = []
    taken: set[tuple[str, int]] = set()
    for path, line in _named_paths(words, tree):
        text = files.read(path)
        if text is not None and (path, line) not in taken and len(excerpts) < EXCERPT_LIMIT:
            taken.add((path, line))
            excerpts.append(_excerpt(path, text, line, "named by the task"))
    names = _named_symbols(words)
    if names and len(excerpts) < EXCERPT_LIMIT:
        whole = {excerpt.path for excerpt in excerpts if not excerpt.is_cut}
        found = _definitions(files, tree, names, whole)
        excerpts.extend(found[: EXCERPT_LIMIT - len(excerpts)])
    return tuple(excerpts)


def _named_paths(words: str, tree: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    known = set(tree)
    by_name: dict[str, list[str]] = {}
    for path in tree:
        by_name.setdefault(os.path.basename(path), []).append(path)
    for match in _PATH.finditer(words):
        named, line = os.path.normpath(match.group(1).rstrip(".")), int(match.group(2) or 0)
        if named in known or "/" in named:
            yield named, line
        elif "." in named and len(by_name.get(named, ())) in (1, 2, 3):
            for path in by_name[named]:
                yield path, line


def _named_symbols(words: str) -> tuple[str, ...]:
    names = [first or second for first, second in _NAME.findall(words)]
    return tuple(dict.fromkeys(names))[:20]


def _definitions(
    files: WorkspaceFiles, tree: tuple[str, ...], names: tuple[str, ...], skipped: set[str]
) -> list[Excerpt]:
    definition = re.compile(_DEFINITION.format("|".join(map(re.escape, names))), re.MULTILINE)
    excerpts: list[Excerpt] = []
    searched = 0
    for path in tree:
        if not path.endswith(SOURCE_SUFFIXES) or path in skipped:
            continue
        text = files.read(path)
        if text is None:
            continue
        searched += len(text)
        for match in definition.finditer(text) if any(name in text for name in names) else ():
            line = text.count("\n", 0, match.start("name")) + 1
            excerpts.append(_excerpt(path, text, line, f"`{match.group('name')}` is defined here"))
        if searched > SEARCHED_BYTES or len(excerpts) >= EXCERPT_LIMIT:
            break
    return excerpts


def _excerpt(path: str, text: str, line: int, why: str) -> Excerpt:
    lines = text.split("\n")
    if len(lines) <= WHOLE_FILE_LINES:
        return Excerpt(path=path, text=text, why=why)
    if not 0 < line <= len(lines):
        return Excerpt(path=path, text="\n".join(lines[:HEAD_LINES]), is_cut=True, why=why)
    start = max(0, line - 1 - LINES_AROUND // 2)
    part = "\n".join(lines[start : start + LINES_AROUND * 3 // 2])
    return Excerpt(path=path, text=part, first_line=start + 1, is_cut=True, why=why)
