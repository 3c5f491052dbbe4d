"""The values that were handed to an attempt's jobs and must not be shown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ringmaster.model.errors import RingmasterError
from ringmaster.proc.job_files import JobSpec, read_spec
from ringmaster.redaction.redactor import Redactor

TOKEN_FILE = "stream.token"
"""In the state directory: the token of the pages' port, which an agent of the same user can read."""


def find_redactor(attempt_directory: Path, further: Iterable[str] = ()) -> Redactor:
    """What redacts the output of an attempt: by the secrets of all its jobs so far, and the instance's own.

    Blocking: reads small files. A job that begins later may have been handed others, so a redactor is found when a
    job's output is begun with. further: values besides. What cannot be read adds none.
    """
    values = [*further, *_read_token(attempt_directory.parents[2] / TOKEN_FILE)]
    for path in sorted(attempt_directory.glob("*/spec.json")):
        try:
            spec = read_spec(path.parent)
        except (RingmasterError, OSError):
            continue
        if spec is not None:
            values += find_values(spec)
    return Redactor(dict.fromkeys(values))


def find_values(spec: JobSpec) -> list[str]:
    """The secrets that a job was handed."""
    return [spec.nonce, *(spec.env[name] for name in spec.secret_names if name in spec.env)]


def _read_token(path: Path) -> list[str]:
    try:
        return [path.read_text("utf-8", "replace").strip()]
    except OSError:
        return []
