"""The owner mark: one Ringmaster instance per user repository.

Two daemons on one repository would move the same branch by two lanes, each right by itself. The mark
is a small file in the common git directory, written under a lock on that directory.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError

OWNER_FILE = "ringmaster-owner"


class Owner(msgspec.Struct, frozen=True):
    """Who works on a repository. state_name is what `rmctl -s` takes; state_dir is absolute."""

    instance_id: str
    state_name: str
    state_dir: str
    format: int = 1


def read_owner(common_dir: Path) -> Owner | None:
    """The owner named in the mark, or None where there is none or it cannot be read."""
    try:
        return msgspec.json.decode((common_dir / OWNER_FILE).read_bytes(), type=Owner)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def foreign_owner(common_dir: Path, owner: Owner) -> Owner | None:
    """The instance, other than `owner`, that the repository belongs to. Blocking, one small file.

    None where the mark is nobody's, `owner`'s, of `owner`'s very state, or of a state that is gone.
    """
    other = read_owner(common_dir)
    if other is None or other.instance_id == owner.instance_id or other.state_dir == owner.state_dir:
        return None
    return other if Path(other.state_dir).is_dir() else None


def claim_ownership(common_dir: Path, owner: Owner) -> None:
    """Mark the repository as `owner`'s. Blocking, milliseconds; can be called again.

    A mark whose state directory is gone is taken over, and so is one of this very state, which one daemon
    alone can hold: it began anew after its database was lost. Raises `RingmasterError` (refused) that names the
    other instance otherwise.
    """
    with _open_directory_lock(common_dir):
        other = foreign_owner(common_dir, owner)
        if other is not None:
            raise RingmasterError(
                ErrorKind.REFUSED,
                f"{common_dir} belongs to the ringmaster instance '{other.state_name}' ({other.state_dir})",
                f"remove the project there first: rmctl -s {other.state_name} project remove ...",
            )
        fresh = common_dir / f"{OWNER_FILE}.{os.getpid()}"
        fresh.write_bytes(msgspec.json.encode(owner) + b"\n")
        fresh.replace(common_dir / OWNER_FILE)


def release_ownership(common_dir: Path, instance_id: str) -> bool:
    """Take the mark away if it is this instance's; say whether it was."""
    if not common_dir.is_dir():
        return False
    with _open_directory_lock(common_dir):
        owner = read_owner(common_dir)
        if owner is None or owner.instance_id != instance_id:
            return False
        (common_dir / OWNER_FILE).unlink()
        return True


@contextmanager
def _open_directory_lock(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
