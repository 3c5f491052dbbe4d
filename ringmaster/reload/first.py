"""The first start: generation 1 from the package that runs."""

from __future__ import annotations

from pathlib import Path

from ringmaster.reload.boot_record import BootRecord, Image, read_record, write_record
from ringmaster.reload.environment import ensure_environment
from ringmaster.reload.release import LOCK_FILE, make_release, package_files


def make_image(state: Path, generation: int) -> Image:
    """Release and environment of the running package, made where they are not there. Blocking.

    generation: the number that the image gets; no row is made.

    Raises:
        RingmasterError: as `make_release` and `ensure_environment`.
    """
    files = tuple(package_files())
    lock = next(file.content for file in files if file.path == LOCK_FILE)
    release = make_release(state, files)
    python = ensure_environment(state, lock)
    return Image(generation, release.id, release.digest, str(python))


def ensure_first(state: Path, generation: int = 1) -> BootRecord:
    """The boot record; without a readable one, a new one whose good generation is the running package's.

    Blocking. The caller holds the instance's lock. generation: its number, where rows say that lower ones were used.

    Raises:
        RingmasterError: as `make_image`.
    """
    record = read_record(state)
    if record is None:
        record = BootRecord(good=make_image(state, generation))
        write_record(state, record)
    return record
