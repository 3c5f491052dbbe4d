"""The files of a job as the shim reads and writes them: JSON without the `json` module.

`json` imports `re`: 5 ms of a start that has 20. The accelerator it stands on is enough for one small
document each way.
"""

from __future__ import annotations

import os
from _json import encode_basestring_ascii, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FORMAT = 1
EXIT_RESERVE_BYTES = 4096


class _Context:
    """What `_json.make_scanner` wants to know of a decoder: all at the defaults of `json.loads`."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo: dict[str, str] = {}  # noqa: RUF012 - an interning table by the scanner's contract


def read_json(path: str) -> dict[str, Any]:
    """One JSON object from a file. Raises OSError, or ValueError when it is not one."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 1 << 20):
            parts.append(part)
    finally:
        os.close(fd)
    try:
        value, _ = make_scanner(_Context)(  # type: ignore[arg-type]
            b"".join(parts).decode().strip(), 0
        )
    except StopIteration:
        raise ValueError(f"{path} is empty or not JSON") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} is not a JSON object")
    return value


def to_json(value: object) -> str:
    """None, bool, int, float, str, list and dict with string keys, as JSON."""
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ",".join(f"{to_json(k)}:{to_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(to_json(item) for item in value) + "]"
    if isinstance(value, str):
        # What came from undecodable bytes would be a lone surrogate, which readers refuse.
        quoted: str = encode_basestring_ascii(value.encode("utf-8", "replace").decode())
        return quoted
    return repr(value)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte, in as many steps as the kernel makes of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_json(path: str, value: dict[str, Any], *, is_directory_synced: bool) -> None:
    """Write by a temporary name, fsync and rename: a reader sees all of it or nothing.

    Where `<path>.tmp` exists already its blocks are used again, so that a file reserved by
    `reserve` is written on a full disk too. `is_directory_synced` makes the rename itself durable.
    """
    data = to_json(value).encode() + b"\n"
    fd = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        write_all(fd, data)
        os.ftruncate(fd, len(data))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(path + ".tmp", path)
    if is_directory_synced:
        directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def reserve(path: str) -> None:
    """Give `<path>.tmp` its blocks now. Best effort: a full disk is met again, with retries, at the end."""
    try:
        fd = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        os.posix_fallocate(fd, 0, EXIT_RESERVE_BYTES)
    except OSError:
        return
    finally:
        os.close(fd)
