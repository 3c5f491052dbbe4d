"""Named SQL: `sql/queries/<entity>.sql` as a mapping from name to statement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import apsw

_HEADER = re.compile(r"^--\s*name:\s*(?P<name>.*?)\s*$")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


class QueryFileError(Exception):
    """A query file that cannot be used: a mistake of the programmer, found at import."""


class Queries:
    """The statements of one file: `queries.claim` or `queries["claim"]` is the text of one."""

    def __init__(self, path: Path, statements: dict[str, str]) -> None:
        self._path = path
        self._statements = statements
        # As attributes of their own: a claim and its report look up twenty.
        self.__dict__.update(statements)

    def __getattr__(self, name: str) -> str:
        # Only called for names that are not attributes.
        raise AttributeError(f"{self._path} has no query named {name!r}")

    def __getitem__(self, name: str) -> str:
        return self._statements[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)


def find_sql_dir() -> Path:
    """Where `migrations/` and `queries/` lie: inside an installed package, or beside it in a checkout.

    Raises QueryFileError when neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for candidate in (package / "_sql", package.parent / "sql"):
        if (candidate / "queries").is_dir():
            return candidate
    raise QueryFileError(f"no sql directory in {package} or beside it")


def load_queries(entity: str, sql_dir: Path | None = None) -> Queries:
    """Read `queries/<entity>.sql`. Called once, when the entity's module is imported.

    Raises QueryFileError for a missing file, a name that is doubled or not snake_case, an empty
    or unfinished statement, more than one statement under a name, and text before the first name.
    """
    path = (sql_dir or find_sql_dir()) / "queries" / f"{entity}.sql"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise QueryFileError(f"no such query file: {path}") from None
    return Queries(path, parse_queries(text, str(path)))


def parse_queries(text: str, where: str) -> dict[str, str]:
    """The statements in `text` by name, without their final semicolon. `where` is for messages."""
    blocks: dict[str, list[str]] = {}
    lines: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        header = _HEADER.match(line)
        if header is not None:
            name = header["name"]
            if not _NAME.fullmatch(name):
                raise QueryFileError(f"{where}:{number}: {name!r} is not a snake_case name")
            if name in blocks:
                raise QueryFileError(f"{where}:{number}: a second query named {name!r}")
            blocks[name] = lines = []
        elif blocks:
            lines.append(line)
        elif line.strip() and not line.startswith("--"):
            raise QueryFileError(f"{where}:{number}: SQL before the first '-- name:'")
    return {name: _one_statement("\n".join(body), f"{where}: {name}") for name, body in blocks.items()}


def _one_statement(text: str, where: str) -> str:
    statements = split_statements(_without_framing_comments(text))
    if len(statements) != 1:
        raise QueryFileError(f"{where}: holds {len(statements)} statements in place of one")
    return statements[0].removesuffix(";").rstrip()


def _without_framing_comments(text: str) -> str:
    """Without the comment lines above and below: the text is hashed at each call, so its length costs time."""
    lines = text.strip().splitlines()
    while lines and lines[-1].startswith("--"):
        lines = "\n".join(lines[:-1]).rstrip().splitlines()
    while lines and lines[0].startswith("--"):
        del lines[0]
    return "\n".join(lines)


def split_statements(text: str) -> list[str]:
    """Split SQL into its statements, each with its leading comments; a last one may lack its semicolon.

    SQLite itself is asked where one ends, so strings, comments and trigger bodies are safe.
    """
    statements: list[str] = []
    start = 0
    for match in re.finditer(";", text):
        part = text[start : match.end()]
        if apsw.complete(part):
            if _strip_comments(part) != ";":
                statements.append(part.strip())
            start = match.end()
    rest = text[start:].strip()
    if _strip_comments(rest):
        statements.append(rest)
    return statements


def _strip_comments(text: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL).strip()
