"""`ringmasterd --check`: whether the daemon could run here, without changing anything."""

from __future__ import annotations

import shutil
import subprocess
import sys

from ringmaster.model.errors import RingmasterError
from ringmaster.proc.instance import read_holder
from ringmaster.settings import Paths, Settings
from ringmaster.store.check import check_database
from ringmaster.store.queries import find_sql_dir

GIT_NEEDED = (2, 38)
"""`merge-tree --write-tree` came with 2.38."""


def check_instance(paths: Paths, settings: Settings) -> int:
    """Print a line per check; 0 when all are well, 1 otherwise. Reads only."""
    lines = [
        ("settings", f"{paths.config}" if paths.config.exists() else "defaults (no file)", True),
        ("python", sys.version.split()[0], sys.version_info >= (3, 11)),
        _check_git(),
        _check_state(paths),
        _check_database(paths),
        ("limits", f"{settings.daemon.max_running} attempts at once", True),
    ]
    for name, words, is_well in lines:
        print(f"{'ok  ' if is_well else 'FAIL'} {name:9} {words}")
    return 0 if all(is_well for _, _, is_well in lines) else 1


def _check_git() -> tuple[str, str, bool]:
    program = shutil.which("git")
    if program is None:
        return ("git", "git is missing: apt install git", False)
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    # `git version 2.39.5`, and others say after it whose build it is.
    words = said.removeprefix("git version ").split(" ")[0]
    numbers = tuple(int(part) for part in words.split(".")[:2] if part.isdigit())
    is_new = numbers >= GIT_NEEDED
    return ("git", said if is_new else f"{said}: 2.38 or newer is needed", is_new)


def _check_state(paths: Paths) -> tuple[str, str, bool]:
    holder = read_holder(paths.state)
    if holder is not None:
        return ("state", f"{paths.state} (held by {holder.get('role')} {holder['pid']})", True)
    return ("state", f"{paths.state} ({'there' if paths.state.is_dir() else 'will be made'})", True)


def _check_database(paths: Paths) -> tuple[str, str, bool]:
    if not paths.database.exists():
        return ("database", f"{paths.database} (will be made)", True)
    try:
        is_in_use = read_holder(paths.state) is not None
        return ("database", check_database(paths.database, find_sql_dir(), is_in_use=is_in_use), True)
    except RingmasterError as error:
        return ("database", error.message, False)
