"""What shows through the sandbox of one attempt's agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ringmaster.workers.preparing import Bench
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.environment import CacheKind
from ringmaster.workspace.sandbox import Walls, command_places, own_places, programs_in

SHARED = (Path("/tmp"), Path("/var/tmp"))


def walls_of(
    sur: Surroundings,
    bench: Bench,
    *,
    home: Path,
    directories: Sequence[Path],
    program: str,
    environ: Mapping[str, str],
) -> Walls:
    """The walls around an agent. home: its HOME; directories: further places it writes to.

    Blocking: looks at files.
    """
    person = Path(environ.get("HOME") or "/nonexistent")
    caches = sur.paths.caches / str(CacheKind.AGENT) / bench.project.id
    hidden = tuple(path for path in (*SHARED, person, sur.paths.state) if path.is_dir() and path != Path("/"))
    search_path = environ.get("PATH", "")
    programs = (*programs_in(person, search_path, program), *own_places(hidden), *command_places(search_path, hidden))
    readable = (*programs, bench.bare, bench.directory / "prompt.md")
    writable = (bench.workspace, home, caches, sur.paths.socket, *directories)
    return Walls(
        hidden=hidden,
        readable=tuple(path for path in readable if path.exists()),
        writable=tuple(path for path in writable if path.exists()),
        workspace=bench.workspace,
    )
