"""What the door keeps on disk: the token for programs, and of the last time its port and its logins."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import stat
from pathlib import Path

import msgspec

from ringmaster.model.stream_settings import TOKEN_FILE
from ringmaster.web.access import Secret, digest_of

log = logging.getLogger("ringmaster.web")

LAST_FILE = "stream.last"
PLACE_FILE = "stream.json"
FORMAT = 1
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}\Z")


class Last(msgspec.Struct, frozen=True, kw_only=True):
    """Of the listener before: its port, and the logins that hold with the token of this digest."""

    format: int = FORMAT
    port: int = 0
    token: str = ""
    logins: tuple[Secret, ...] = ()


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where the door is, for programs."""

    format: int = FORMAT
    url: str
    port: int
    pid: int


def ensure_token(state: Path) -> str:
    """The token of this state; a new one where there is none, or where others can read it. Blocking.

    Raises OSError.
    """
    path = state / TOKEN_FILE
    for _ in range(2):
        token = _read_token(path)
        if token:
            return token
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        with contextlib.suppress(FileExistsError):
            _make(path, secrets.token_urlsafe(32))
    raise OSError(f"{path} is made by somebody else again and again")


def _read_token(path: Path) -> str:
    """The token, '' where the file is not there or not fit to be believed."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    except OSError as error:
        log.warning("%s cannot be read, so there is a new token: %s", path, error.strerror)
        return ""
    try:
        about = os.fstat(fd)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
            log.warning("%s may have been read by others, so there is a new token", path)
            return ""
        text = os.read(fd, 100).decode(errors="replace").strip()
    finally:
        os.close(fd)
    if not _TOKEN.match(text):
        log.warning("%s holds no token, so there is a new one", path)
        return ""
    return text


def _make(path: Path, token: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, token.encode() + b"\n")
    finally:
        os.close(fd)


def read_last(state: Path, token: str) -> Last:
    """What is known of the last time; without logins where they were another token's. Blocking."""
    try:
        last = msgspec.json.decode((state / LAST_FILE).read_bytes(), type=Last)
    except (OSError, msgspec.DecodeError):
        return Last()
    if last.format != FORMAT:
        return Last()
    return last if last.token == digest_of(token) else msgspec.structs.replace(last, token="", logins=())


def write_last(state: Path, last: Last) -> None:
    """Keep it for the next time; where that cannot be, the log says so. Blocking."""
    _replace(state / LAST_FILE, last)


def write_place(state: Path, place: Place) -> None:
    """Say where the door is; where that cannot be, the log says so. Blocking."""
    _replace(state / PLACE_FILE, place)


def remove_place(state: Path) -> None:
    """There is no door any more. Blocking."""
    with contextlib.suppress(OSError):
        (state / PLACE_FILE).unlink()


def _replace(path: Path, value: msgspec.Struct) -> None:
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            # One that was left half written, or that somebody put there, with whatever rights it has.
            temporary.unlink()
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(msgspec.json.encode(value) + b"\n")
        os.replace(temporary, path)
    except OSError as error:
        log.warning("cannot write %s: %s", path, error.strerror)
