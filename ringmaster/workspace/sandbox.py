"""bubblewrap around an agent: it sees the system read-only, its workspace, and little else. Pure.

What it keeps an agent from: other workspaces, the daemon's state and database, the person's home (keys,
checkouts, shell history) and every file of the system. What it leaves: the network, because the model is there;
the daemon's socket, whose rights are by ancestry and which a namespace does not change; the agent's own
configuration directory, and so the login in it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

PROGRAM = "bwrap"


class Walls(msgspec.Struct, frozen=True, kw_only=True):
    """What a sandbox hides and what shows through. hidden: directories that seem empty.

    readable, writable: files and directories shown all the same, also below what is hidden.
    """

    hidden: tuple[Path, ...]
    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    workspace: Path


def sandboxed(argv: Sequence[str], walls: Walls) -> tuple[str, ...]:
    """The command line that runs `argv` inside the walls.

    In a process namespace of its own that dies with its parent, so that nothing inside outlives its first process.
    """
    made = [PROGRAM, "--die-with-parent", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--ro-bind", "/", "/"]
    made += ["--dev", "/dev", "--proc", "/proc"]
    for path in _outer_first(walls.hidden):
        made += ["--tmpfs", str(path)]
    # In the order of their paths: what lies deeper is put on top of what holds it.
    shown = dict.fromkeys(walls.readable, "--ro-bind") | dict.fromkeys(walls.writable, "--bind")
    for path in sorted(shown, key=str):
        made += [shown[path], str(path), str(path)]
    return (*made, "--chdir", str(walls.workspace), "--", *argv)


def _outer_first(paths: Sequence[Path]) -> list[Path]:
    """Without those inside another one: they are gone with it."""
    kept: list[Path] = []
    for path in sorted(set(paths), key=str):
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return kept


def programs_in(home: Path, search_path: str, program: str) -> tuple[Path, ...]:
    """What must show through what is hidden: directories of PATH below the home, and the program.

    A program named by its path may lie below anything hidden: its own directory and that of the file it links to show,
    and the `node_modules` it comes from, whose packages it loads.
    """
    named = _places_of(Path(program)) if os.sep in program else ()
    places = [Path(place) for place in search_path.split(os.pathsep) if place]
    found = [place for place in places if place.is_relative_to(home) and place.is_dir()]
    for place in places:
        candidate = place / program
        if candidate.exists():
            real = candidate.resolve()
            found += [real.parent] if real.is_relative_to(home) else []
            break
    return tuple(dict.fromkeys((*found, *named)))


def own_places(hidden: Sequence[Path]) -> tuple[Path, ...]:
    """Where this very program lies below what is hidden: its package, its scripts, its interpreter and libraries.

    An agent reports and asks by `rmctl`, and the scripted one is a part of the package. A place that holds something
    hidden is left out: an environment that was made right in a person's home would show all of it.
    """
    package = Path(__file__).resolve().parent.parent
    is_installed = package.parent.name in ("site-packages", "dist-packages")
    around = package.parent if is_installed else package.parent / "bin"
    return _shown((package, around, Path(sys.prefix), Path(sys.base_prefix)), hidden)


def command_places(search_path: str, hidden: Sequence[Path]) -> tuple[Path, ...]:
    """Where the `rmctl` that an agent finds lies below what is hidden, and the package and libraries that it loads.

    The daemon runs from a release, and rmctl from a checkout or an environment of the person's.
    """
    found = shutil.which("rmctl", path=search_path)
    if found is None:
        return ()
    root = Path(found).resolve().parent.parent
    is_environment = (root / "pyvenv.cfg").exists()
    environment = root if is_environment else root / ".venv"
    base = (environment / "bin" / "python").resolve().parent.parent
    places = (root,) if is_environment else (root / "bin", root / "ringmaster", environment)
    return _shown((*places, base), hidden)


def _shown(places: Iterable[Path], hidden: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(
        place
        for place in dict.fromkeys(places)
        if any(place.is_relative_to(wall) for wall in hidden) and not any(wall.is_relative_to(place) for wall in hidden)
    )


def _places_of(program: Path) -> tuple[Path, ...]:
    if not program.exists():
        return ()
    directories = (program.parent, program.resolve().parent)
    modules = [above for place in directories for above in (place, *place.parents) if above.name == "node_modules"]
    return (*modules, *directories)
