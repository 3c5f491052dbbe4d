"""Environments: the Python and the libraries of releases, in `<state>/envs/<hash>`, never changed once named.

One environment serves every release with the same lock. The first is the running one's files under a second name, so
that it costs no network and next to no room; another lock is installed by its hashes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.reload.release import LOCK_FILE, open_partial, package_root, publish
from ringmaster.reload.runtime import installed_lock, locked_versions, normalize, runtime_distributions

if TYPE_CHECKING:
    from importlib.metadata import Distribution

ENVIRONMENTS = "envs"
INSTALL_S = 900.0
_OUT_OF_REACH = re.compile("ConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Max retries|broken by")
_FOREIGN = ("PYTHON", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE", "VIRTUAL_ENV", "RINGMASTER_", "RMCTL_")


def environment_id(lock: bytes) -> str:
    """The name of the environment of a lock, for the Python that runs."""
    # Not its patch level: the environment's interpreter is a symbolic link, and follows.
    python = (sys.implementation.cache_tag, sysconfig.get_platform(), os.path.realpath(sys.base_prefix))
    return hashlib.sha256("\0".join(map(str, python)).encode() + b"\0" + lock).hexdigest()[:16]


def environment_python(state: Path, lock: bytes) -> Path:
    """The interpreter of the environment of `lock`, whether or not that has been made."""
    return state / ENVIRONMENTS / environment_id(lock) / "bin" / "python"


def ensure_environment(state: Path, lock: bytes, site_packages: Path | None = None) -> Path:
    """The interpreter of the environment of `lock`, made if it is not there. Blocking; with the network up to minutes.

    What runs is taken over by hard links, or copied where the file system has none, when it is what the lock says.
    Otherwise the lock is installed from the index that pip is set to, wheels alone, by their hashes.
    site_packages: where else what the lock says may lie, to be taken over likewise: that of a newer wheel.

    Raises:
        RingmasterError: UNREACHABLE, retryable, with no index in reach; TIMED_OUT; REFUSED when the index has not
            what the lock says; DISK_FULL.
    """
    python = environment_python(state, lock)
    place = python.parent.parent
    if os.access(python, os.X_OK):
        return python
    with open_partial(place.parent) as partial:
        if _running_lock() == lock and _is_installed(lock):
            _take_over(partial, runtime_distributions())
        elif site_packages is not None and _lies_in(site_packages, lock):
            _take_over(partial, runtime_distributions([os.fspath(site_packages)]))
        else:
            _install(partial, lock)
        (partial / LOCK_FILE).write_bytes(lock)
        publish(partial, place)
    return python


def _running_lock() -> bytes:
    """The lock of the running code: of its environment, of its checkout, or what stands in for it."""
    for place in (Path(sys.prefix), package_root().parent):
        if (place / LOCK_FILE).is_file():
            return (place / LOCK_FILE).read_bytes()
    return installed_lock()


def _is_installed(lock: bytes) -> bool:
    locked = locked_versions(lock)
    return all(locked.get(normalize(each.name)) == each.version for each in runtime_distributions())


def _lies_in(site_packages: Path, lock: bytes) -> bool:
    # Of another Python, what is compiled would not run.
    is_of_this = site_packages.parent.name == f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return is_of_this and installed_lock([os.fspath(site_packages)]) == lock


def _take_over(partial: Path, distributions: Iterable[Distribution]) -> None:
    site_packages = _make_bare(partial)
    for each in distributions:
        _link_distribution(each, site_packages)


def _make_venv(place: Path) -> None:
    # Here: an environment is made once for many switches, and each would wait for this import.
    import venv

    venv.EnvBuilder(symlinks=True).create(place)


def _make_bare(place: Path) -> Path:
    """An environment without any package at `place`, of the interpreter below this one; its site-packages."""
    _make_venv(place)
    return place / Path(sysconfig.get_path("purelib", "venv", {"base": "", "platbase": ""})).relative_to("/")


def _link_distribution(found: Distribution, site_packages: Path) -> None:
    """Files of a distribution and what Python has compiled of them; its programs, which lie elsewhere, are left out."""
    made: set[Path] = set()
    for name in found.files or ():
        if ".." in name.parts or name.is_absolute():
            continue
        source, target = Path(os.fspath(name.locate())), site_packages / name
        _link(source, target, made)
        if source.suffix == ".py":
            compiled = Path(importlib.util.cache_from_source(os.fspath(source)))
            _link(compiled, target.parent / "__pycache__" / compiled.name, made)


def _link(source: Path, target: Path, made: set[Path]) -> None:
    if target.parent not in made:
        target.parent.mkdir(parents=True, exist_ok=True)
        made.add(target.parent)
    try:
        os.link(source, target)
    except FileNotFoundError:
        # Not every file has been compiled, and a record may name what was never there.
        return
    except FileExistsError:
        return
    except OSError:
        # Another file system, somebody else's file, or too many links.
        shutil.copy2(source, target)


def _install(partial: Path, lock: bytes) -> None:
    """Install everything that the lock names.

    Raises:
        RingmasterError: as `ensure_environment`.
    """
    if b"--hash=" not in lock:
        raise RingmasterError(
            ErrorKind.REFUSED,
            "the libraries changed and this lock has no hashes to install them by",
            "start the daemon anew from the package that has them",
        )
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    _make_venv(partial)
    (partial / LOCK_FILE).write_bytes(lock)
    python = os.fspath(partial / "bin" / "python")
    # pip asks rustc for its version; where that is rustup's it would make a directory in HOME.
    if "RUSTUP_HOME" not in environ and not Path(environ.get("HOME", "/"), ".rustup").is_dir():
        environ["RUSTUP_HOME"] = os.fspath(partial / ".rustup")
    pip = [sys.executable, "-I", "-m", "pip", "--python", python]
    if importlib.util.find_spec("pip") is None:
        # A release's environment has none.
        pip = [python, "-I", "-m", "pip"]
        _run([python, "-I", "-m", "ensurepip", "--default-pip"], partial, environ)
    options = ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--retries", "1", "--timeout", "15"]
    hashed = ["--require-hashes", "--only-binary", ":all:", "-r", LOCK_FILE]
    _run([*pip, "install", *options, *hashed], partial, environ)
    shutil.rmtree(partial / ".rustup", ignore_errors=True)


def _run(argv: list[str], directory: Path, environ: Mapping[str, str]) -> None:
    try:
        done = subprocess.run(
            argv, cwd=directory, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=INSTALL_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RingmasterError(
            ErrorKind.TIMED_OUT, f"the libraries were not installed within {INSTALL_S:g} s", "it is tried again"
        ) from None
    if done.returncode == 0:
        return
    said = done.stdout + done.stderr
    if "No space left on device" in said:
        raise RingmasterError(ErrorKind.DISK_FULL, "the disk is full: the libraries were not installed", "make room")
    if _OUT_OF_REACH.search(said):
        raise RingmasterError(
            ErrorKind.UNREACHABLE,
            "the libraries changed and no package index is in reach to install them from",
            "it is tried again; see pip's configuration if it stays so",
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    word = next((line for line in lines if line.startswith("ERROR:")), lines[-1] if lines else f"{argv[3]} failed")
    raise RingmasterError(ErrorKind.REFUSED, f"the libraries cannot be installed: {word.removeprefix('ERROR: ')[:300]}")
