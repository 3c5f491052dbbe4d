"""The values that were handed to an attempt's jobs and must not be shown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from ringmaster.model.errors import RingmasterError
from ringmaster.proc.job_files import JobSpec, read_spec
from ringmaster.redaction.redactor import Redactor

TOKEN_FILE = "stream.token"
"""In the state directory: the token of the pages' port, which an agent of the same user can read."""


OF_ONE_ATTEMPT = "RM_TOKEN"
"""Good for the attempt alone that it was made for: another's is none any more."""
EARLIER = 20
"""How many attempts of the task before it count."""


def find_redactor(attempt_directory: Path, further: Iterable[str] = ()) -> Redactor:
    """What redacts the output of an attempt: by the secrets of all its jobs so far, and the instance's own.

    Those of the attempts of its task before it count too: who goes on with a conversation says again what was said
    there, when a key may have been another. Blocking: reads small files. A job that begins later may have been handed
    others, so a redactor is found when a job's output is begun with. further: values besides. What cannot be read adds
    none.
    """
    values = [*further, *_read_token(attempt_directory.parents[2] / TOKEN_FILE)]
    for directory in _find_earlier(attempt_directory):
        values += (value for spec in _iter_specs(directory) for value in find_values(spec, is_own=False))
    for spec in _iter_specs(attempt_directory):
        values += find_values(spec)
    return Redactor(dict.fromkeys(values))


def _find_earlier(attempt_directory: Path) -> list[Path]:
    """The directories of the attempts before, the newest of them."""
    if not attempt_directory.name.isdecimal():
        return []
    own = int(attempt_directory.name)
    return [attempt_directory.with_name(str(number)) for number in range(max(1, own - EARLIER), own)]


def _iter_specs(attempt_directory: Path) -> Iterator[JobSpec]:
    for path in sorted(attempt_directory.glob("*/spec.json")):
        try:
            spec = read_spec(path.parent)
        except (RingmasterError, OSError):
            continue
        if spec is not None:
            yield spec


def find_values(spec: JobSpec, *, is_own: bool = True) -> list[str]:
    """The secrets that a job was handed. is_own: also those that were good for its attempt alone."""
    found = [spec.env[name] for name in spec.secret_names if name in spec.env and (is_own or name != OF_ONE_ATTEMPT)]
    return [spec.nonce, *found] if is_own else found


def _read_token(path: Path) -> list[str]:
    try:
        return [path.read_text("utf-8", "replace").strip()]
    except OSError:
        return []
