"""The values that were handed to an attempt's jobs and must not be shown."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ringmaster.model.errors import RingmasterError
from ringmaster.proc.job_files import JobSpec, read_spec
from ringmaster.redaction.redactor import Redactor


def find_redactor(attempt_directory: Path, further: Iterable[str] = ()) -> Redactor:
    """What redacts the output of an attempt: by the secrets of all its jobs so far. Blocking: reads small files.

    further: values besides. A job that cannot be read adds none.
    """
    values = list(further)
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
