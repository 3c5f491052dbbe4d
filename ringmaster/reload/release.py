"""Releases: the daemon's source at a content hash, in `<state>/releases/<id>`, never changed once it has its name.

What is hashed is the source. Compiled files in a release carry the hash of the source they were compiled from and are
checked against it at each import (PEP 552), so that they make a start fast and cannot make it run something else.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import importlib.util
import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.reload.runtime import installed_lock

RELEASES = "releases"
STUB = "bin/ringmasterd"
LOCK_FILE = "requirements.lock"
ID_LENGTH = 16
PARTIAL = ".partial-"
_CHECKED_HASH = (0b11).to_bytes(4, "little")
_SETTLED_NS = 2_000_000_000
_LEFT_OVER = ("~", ".pyc", ".orig", ".rej")


class SourceFile(NamedTuple):
    """One file of a release. path: relative, with slashes."""

    path: str
    is_executable: bool
    content: bytes


class Release(NamedTuple):
    """A release on disk. id: the first 16 digits of `digest`, the SHA-256 of what it holds."""

    id: str
    digest: str
    root: Path


def package_root() -> Path:
    """The directory of the running package `ringmaster`."""
    return Path(__file__).resolve().parent.parent


def is_installed(package: Path) -> bool:
    """Whether a package is an installed wheel's, not a checkout's or a release's. Blocking: one look."""
    return (package / "_sql").is_dir()


def package_files(package: Path | None = None) -> Iterator[SourceFile]:
    """A package as files of a release: from a checkout, an installed wheel or a release alike.

    The same source gives the same files, except for the lock: a wheel has none, and what is installed stands in for it.
    package: the directory `ringmaster` of another than the running one, such as a newer wheel's.

    Raises:
        RingmasterError: INTERNAL for a package without statements or stub, or without what it needs to run.
    """
    sites = None if package is None else [os.fspath(package.parent)]
    package = package or package_root()
    sql, stub, lock = package.parent / "sql", package.parent / STUB, package.parent / LOCK_FILE
    if is_installed(package):
        sql, stub, lock = package / "_sql", package / "_bin" / "ringmasterd", package / "_bin" / "no lock"
    yield from _files_below(package, "ringmaster", frozenset({"_sql", "_bin", "__pycache__"}))
    yield from _files_below(sql, "sql", frozenset())
    try:
        yield SourceFile(STUB, True, stub.read_bytes())
    except OSError as error:
        raise RingmasterError(ErrorKind.INTERNAL, f"this package has no boot stub: {stub}: {error.strerror}") from error
    yield SourceFile(LOCK_FILE, False, lock.read_bytes() if lock.is_file() else installed_lock(sites))


def differences(before: Sequence[SourceFile], after: Sequence[SourceFile]) -> tuple[str, ...]:
    """Each path that differs, after its letter `A`, `M` or `D`."""
    old, new = {file.path: file for file in before}, {file.path: file for file in after}
    letters = {path: "D" if path not in new else "A" if path not in old else "M" for path in old.keys() | new.keys()}
    return tuple(f"{letters[path]} {path}" for path in sorted(letters) if old.get(path) != new.get(path))


def _files_below(directory: Path, name: str, left_out: frozenset[str]) -> Iterator[SourceFile]:
    with os.scandir(directory) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        # An editor's and a merge's leftovers are not source.
        if entry.name in left_out or entry.name.startswith(".") or entry.name.endswith(_LEFT_OVER):
            continue
        if entry.is_dir():
            yield from _files_below(Path(entry.path), f"{name}/{entry.name}", frozenset({"__pycache__"}))
        elif entry.is_file():
            mode = entry.stat().st_mode
            yield SourceFile(f"{name}/{entry.name}", bool(mode & stat.S_IXUSR), Path(entry.path).read_bytes())


def hash_files(files: Iterable[SourceFile]) -> str:
    """The digest of a release with these files. bin/ringmasterd computes the same of a directory."""
    digest = hashlib.sha256()
    for path, is_executable, content in sorted(files):
        digest.update(f"{path}\0{'x' if is_executable else '-'}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def release_id(files: Iterable[SourceFile]) -> str:
    """What a release of these files is called."""
    return hash_files(sorted(files))[:ID_LENGTH]


def make_release(state: Path, files: Iterable[SourceFile]) -> Release:
    """Make the release with these files, or return it when it is there. Blocking; it is durable on return.

    A damaged one of the same name is replaced. Files that the running package has too bring their compiled form along,
    so that a start from the release compiles only what is new.

    Raises:
        RingmasterError: USAGE for a path that leads out of the release; DISK_FULL.
        OSError: the state cannot be written for another reason. Either way nothing is left of it.
    """
    sources = sorted(files)
    for source in sources:
        _check_path(source.path)
    digest = hash_files(sources)
    release = Release(digest[:ID_LENGTH], digest, state / RELEASES / digest[:ID_LENGTH])
    if verify_release(release):
        return release
    with open_partial(release.root.parent) as partial:
        for folder in sorted({source.path.rpartition("/")[0] for source in sources}):
            (partial / folder).mkdir(parents=True, exist_ok=True)
        for source in sources:
            _write(f"{partial}/{source.path}", source.content, 0o755 if source.is_executable else 0o644)
        _write_compiled(partial, sources)
        publish(partial, release.root)
    return release


def verify_release(release: Release) -> bool:
    """Whether every file of the release is there, unchanged, and no other."""
    files: list[SourceFile] = []
    try:
        for directory, names, found in os.walk(release.root, onerror=_raise):
            names[:] = [name for name in names if name != "__pycache__"]
            base = Path(directory)
            if any((base / name).is_symlink() for name in names):
                return False
            for name in found:
                mode = (base / name).lstat().st_mode
                if not stat.S_ISREG(mode):
                    return False
                path = (base / name).relative_to(release.root).as_posix()
                files.append(SourceFile(path, bool(mode & stat.S_IXUSR), (base / name).read_bytes()))
    except OSError:
        return False
    return hash_files(files) == release.digest


def _raise(error: OSError) -> None:
    raise error


def _check_path(path: str) -> None:
    parts = path.split("/")
    if not path or {"", ".", "..", "__pycache__"} & set(parts) or "\0" in path:
        raise RingmasterError(ErrorKind.USAGE, f"{path!r} is no path of a file of a release")


# --- Made under another name, then renamed: what has its name is whole. environment.py does it likewise.


@contextlib.contextmanager
def open_partial(parent: Path) -> Iterator[Path]:
    """A directory under construction below `parent`, locked as long as its maker lives; gone at the end.

    By the lock `prune` tells it from what a dead maker has left.

    Raises:
        RingmasterError: DISK_FULL, in the place of what the body met.
    """
    path = parent / f"{PARTIAL}{secrets.token_hex(8)}"
    fd = -1
    try:
        path.mkdir(mode=0o700, parents=True)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield path
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RingmasterError(
            ErrorKind.DISK_FULL, f"the disk is full: nothing can be made in {parent}", "make room; it is tried again"
        ) from error
    finally:
        if fd >= 0:
            os.close(fd)
        shutil.rmtree(path, ignore_errors=True)


def publish(partial: Path, place: Path) -> None:
    """Make `partial` durable and give it its name. What had the name, being damaged, is taken away first."""
    sync_file_system(partial)
    if place.exists():
        remove_tree(place)
    os.rename(partial, place)
    directory = os.open(place.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def remove_tree(place: Path) -> None:
    """Remove a directory so that at no moment half of it has its name."""
    grave = place.parent / f"{PARTIAL}{secrets.token_hex(8)}"
    os.rename(place, grave)
    shutil.rmtree(grave, ignore_errors=True)


def sync_file_system(place: Path) -> None:
    """Make everything on the file system of `place` durable: one call, where fsync would take one for each file."""
    fd = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), os.fspath(place))
    finally:
        os.close(fd)


def _write(path: str, content: bytes, mode: int) -> None:
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content)
        # The umask of whoever runs this must not decide what the release's hash is.
        os.fchmod(file.fileno(), mode)


# --- Compiled files


def _write_compiled(root: Path, sources: Iterable[SourceFile]) -> None:
    donor, made = package_root().parent, set()
    for source in sources:
        if source.path.startswith("ringmaster/") and source.path.endswith(".py"):
            compiled = _find_compiled(donor / source.path, source.content)
            if compiled is not None:
                place = importlib.util.cache_from_source(f"{root}/{source.path}")
                if (folder := os.path.dirname(place)) not in made:
                    os.mkdir(folder)
                    made.add(folder)
                header = importlib.util.MAGIC_NUMBER + _CHECKED_HASH + importlib.util.source_hash(source.content)
                _write(place, header + compiled, 0o644)


def _find_compiled(path: Path, content: bytes) -> bytes | None:
    """The code that Python has compiled from exactly `content` and keeps beside the running package; None when unsure.

    A file that carries its source's hash says so itself. One that carries only time and size is believed when nothing
    was done to the source (its change time, which no copying sets back) in the two seconds before it was compiled.
    """
    try:
        place = Path(importlib.util.cache_from_source(os.fspath(path)))
        compiled = place.read_bytes()
        header, code = compiled[:16], compiled[16:]
        if header[:4] != importlib.util.MAGIC_NUMBER:
            return None
        if header[4:8] == _CHECKED_HASH:
            is_ours = header[8:] == importlib.util.source_hash(content)
        else:
            about, made_at_ns = path.stat(), place.stat().st_mtime_ns
            stamp = b"".join((int(n) & 0xFFFFFFFF).to_bytes(4, "little") for n in (about.st_mtime, about.st_size))
            is_ours = header[4:] == bytes(4) + stamp and about.st_ctime_ns + _SETTLED_NS < made_at_ns
            is_ours = is_ours and path.read_bytes() == content
    except (OSError, NotImplementedError):
        # Nothing was compiled, or this Python was told to keep nothing that it compiles.
        return None
    return code if is_ours else None
