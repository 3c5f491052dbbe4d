"""The layer rule, read from the sources alone: it holds where no linter is installed."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "ringmaster"

# A part may import every part of a level before its own, and none of its own level.
LEVELS = (
    ("model",),
    ("protocol", "settings"),
    ("store", "bus", "proc", "client", "systemd", "doctor", "redaction"),
    ("queue", "agents", "prompt", "workspace"),
    ("output",),
    ("workers", "reload", "feed"),
    ("rpc", "stream", "web"),
    ("daemon",),
)
# The command line and the self-host stand aside: thin clients beside the daemon.
CLI_SEES = {"client", "protocol", "settings", "model", "systemd", "doctor"}
ALLOWED = {
    part: {other for level in LEVELS[:rank] for other in level} | {part}
    for rank, parts in enumerate(LEVELS)
    for part in parts
} | {"cli": CLI_SEES | {"cli"}, "selfhost": CLI_SEES | {"cli", "selfhost"}}

# A library that only one part may import, whatever the others would like.
OWNERS = {
    "apsw": "store",
    "trio_websocket": "stream",
    "watchdog": "reload",
    "click": "cli",
    "h11": "web",
    "prometheus_client": "web",
}
# Parts that are plain values and functions, or that must start in milliseconds.
WITHOUT_TRIO = {"model", "protocol", "settings", "client", "systemd", "doctor", "redaction"}
WITHOUT_TRIO |= {"queue", "prompt", "cli", "selfhost"}
# Programs of their own, run by path and without site-packages: they must outlive and outstart the rest.
# What they load of ringmaster is bound likewise.
ALONE = (
    "proc/shim.py",
    "proc/keeper.py",
    "agents/scripted_program.py",
    "selfhost/findings.py",
    "queue/order_program.py",
)


class Import(NamedTuple):
    path: Path
    line: int
    module: str

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(PACKAGE.parent)}:{self.line} imports {self.module}"

    @property
    def importer(self) -> str:
        return part_of(self.path)

    @property
    def library(self) -> str:
        return self.module.partition(".")[0]

    @property
    def part(self) -> str | None:
        """The part of ringmaster that is imported, None for a library or the bare package."""
        names = self.module.split(".")
        return names[1] if names[0] == "ringmaster" and len(names) > 1 else None


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def iter_imports(path: Path) -> Iterator[Import]:
    """Every import of a file, those inside functions and under TYPE_CHECKING too, by absolute name."""
    package = [PACKAGE.name, *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(path, node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(path, node.lineno, f"{origin}.{alias.name}")


def find_sources(module: str) -> Iterator[Path]:
    """The files that importing `module` (or a name in it) runs: packages from the outermost, then itself."""
    place = PACKAGE.parent
    for name in module.split("."):
        place = place / name
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                yield path


def iter_reached_imports(program: Path) -> Iterator[Import]:
    """Every import of a program and of the parts of ringmaster that it loads, however far away."""
    waiting, seen = [program], {program}
    while waiting:
        for found in iter_imports(waiting.pop()):
            yield found
            if found.library == PACKAGE.name:
                new = set(find_sources(found.module)) - seen
                seen |= new
                waiting += sorted(new)


SOURCES = sorted(PACKAGE.rglob("*.py"))
IMPORTS = [found for path in SOURCES for found in iter_imports(path)]


def test_every_part_has_its_level():
    unknown = {part_of(path) for path in SOURCES} - set(ALLOWED) - {"__init__"}
    assert not unknown, f"say in LEVELS where these belong: {sorted(unknown)}"


def test_a_part_imports_only_from_parts_to_its_left():
    offenders = [
        found.place
        for found in IMPORTS
        if found.importer != "__init__"
        and found.part not in (None, "__version__")
        and found.part not in ALLOWED.get(found.importer, set())
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize(("library", "owner"), sorted(OWNERS.items()))
def test_a_library_has_one_owner(library, owner):
    offenders = [found.place for found in IMPORTS if found.library == library and found.importer != owner]
    assert not offenders, "\n".join(offenders)


def test_values_rules_and_clients_know_nothing_of_trio():
    offenders = [found.place for found in IMPORTS if found.library == "trio" and found.importer in WITHOUT_TRIO]
    assert not offenders, "\n".join(offenders)


def test_programs_of_their_own_need_the_standard_library_alone():
    offenders = [
        f"{name}: {found.place}"
        for name in ALONE
        if (PACKAGE / name).exists()
        for found in iter_reached_imports(PACKAGE / name)
        if found.library != PACKAGE.name and found.library not in sys.stdlib_module_names
    ]
    assert not offenders, "\n".join(offenders)
