"""Where an attempt's output lies, and reading it at exact offsets. Blocking; nothing here waits for more."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.output.rendering import LOOK_BACK, LinesRenderer, Rendered, StepsRenderer
from ringmaster.output.secrets import find_redactor
from ringmaster.proc.job_files import write_durably
from ringmaster.proc.tail import offset_at

BLOCK_BYTES = 65536
OUTPUTS = ("stdout", "stderr")
REMOVED_FILE = "output-removed.json"
"""In an attempt's directory: when its output was removed to stay within the cap."""
_JOB = re.compile(r"[a-z]+(-[a-z0-9]+)*")
_GATE = re.compile(r"gate-([0-9]+)")
_JOB_OF = {"stdout": "agent", "stderr": "agent", "steps": "agent", "setup": "setup"}


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where to begin: see `LogsReadParams`."""

    offset: int
    since_at: float | None
    tail_lines: int | None
    before: int | None = None


def note_removal(attempt_directory: Path, now: float) -> None:
    """Leave word that the output of an attempt was removed. Blocking."""
    write_durably(attempt_directory / REMOVED_FILE, msgspec.json.encode({"at": now}))


def is_removed(job_directory: Path) -> bool:
    """Whether a clean-up took the output of a job. Blocking."""
    # Asked of directories that mostly are there and whole: see `has_ended`.
    return not os.path.isdir(job_directory) or os.path.exists(f"{job_directory.parent}/{REMOVED_FILE}")


def refuse_removed(attempt_id: str, attempt_directory: Path) -> None:
    """Raises NOT_FOUND, in words, where the output of an attempt was removed. Blocking."""
    try:
        at = msgspec.json.decode((attempt_directory / REMOVED_FILE).read_bytes(), type=dict[str, float])["at"]
    except (OSError, msgspec.MsgspecError, KeyError):
        return
    day = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
    raise RingmasterError(
        ErrorKind.NOT_FOUND,
        f"the output of {attempt_id} was removed at {day} UTC, to stay within logs_bytes",
        f"how it ended is kept: rmctl attempt show {attempt_id}; to keep more: logs_bytes under [limits]",
    )


def check_job(job: str) -> None:
    """Refuse what is no name of a job: it becomes a part of a path. Raises USAGE."""
    if job and not _JOB.fullmatch(job):
        raise RingmasterError(ErrorKind.USAGE, f"{job[:60]!r} is no job", "jobs: setup, agent, gate-1, gate-2, …")


def find_job(directory: Path, stream: str, job: str = "", *, after: str = "") -> str | None:
    """The job of an attempt that a stream reads; None while it has not begun.

    job: exactly this one. after: only a gate later than this one.
    """
    name = job or _JOB_OF.get(stream, "")
    if name and not after:
        return name if (directory / name).is_dir() else None
    if stream != "gate":
        return None
    least = _number(after)
    try:
        gates = [entry for entry in os.listdir(directory) if _number(entry) > least]
    except OSError:
        return None
    if not gates:
        return None
    # From the beginning the newest; going on, none is left out.
    return min(gates, key=_number) if after else max(gates, key=_number)


def _number(gate: str) -> int:
    found = _GATE.fullmatch(gate)
    return int(found[1]) if found else 0


def has_ended(job_directory: Path) -> bool:
    """Whether the job has said how it ended: nothing is written to its output any more."""
    # Asked at each turn of a reader: joined as paths it takes three times as long.
    return os.path.exists(f"{job_directory}/exit.json")


def output_of(job_directory: Path, stream: str) -> Path:
    """The file behind a stream."""
    return job_directory / ("stderr" if stream == "stderr" else "stdout")


def find_start(job_directory: Path, stream: str, position: Position) -> int:
    """The offset at which reading begins."""
    path = output_of(job_directory, stream)
    start = position.offset
    if position.since_at is not None:
        start = max(start, offset_at(job_directory / "index", position.since_at, path.name))
    if position.tail_lines is not None:
        start = max(start, last_lines_offset(path, position.tail_lines, position.before))
    return start


def last_lines_offset(path: Path, count: int, before: int | None = None) -> int:
    """Where the last `count` lines begin of what is there, or lies before an offset; one without its newline counts."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        end = os.fstat(fd).st_size
        end = end if before is None else min(end, before)
        if count == 0:
            return end
        # The newline that ends the file begins no line.
        position = end - 1 if end and os.pread(fd, 1, end - 1) == b"\n" else end
        while position > 0:
            begin = max(0, position - BLOCK_BYTES)
            block = os.pread(fd, position - begin, begin)
            newline = len(block)
            while (newline := block.rfind(b"\n", 0, newline)) >= 0:
                count -= 1
                if count == 0:
                    return begin + newline + 1
            position = begin
        return 0
    finally:
        os.close(fd)


def open_line_offset(path: Path) -> int:
    """Where the line begins that is not ended; the end where the last one is."""
    size = size_of(path)
    return size if read_block(path, max(0, size - 1), 1) == b"\n" else last_lines_offset(path, 1, size)


def read_block(path: Path, offset: int, max_bytes: int) -> bytes:
    """Up to `max_bytes` at an offset; nothing where there is none yet."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(max_bytes)
    except FileNotFoundError:
        return b""


def read_rendered(
    path: Path,
    offset: int,
    max_bytes: int,
    open_renderer: Callable[[bytes], LinesRenderer | StepsRenderer],
    *,
    before: int | None = None,
    has_end: bool,
) -> Rendered:
    """About `max_bytes` at an offset as they are shown; of a line that is longer a piece, of steps all of it.

    open_renderer: given what lies before the offset. before: nothing from this offset on. has_end: nothing more is
    written. A line that is not ended yet is shown as far as it goes.
    """
    ahead = min(offset, LOOK_BACK)
    renderer = open_renderer(read_block(path, offset - ahead, ahead))
    size = size_of(path)
    limit = size if before is None else min(before, size)
    while True:
        data = read_block(path, offset, min(max_bytes, max(0, limit - offset)))
        is_all = offset + len(data) >= limit
        rendered = renderer.take(data, is_last=is_all and has_end and limit == size, is_due=is_all)
        if rendered.length or is_all or not data:
            return rendered
        max_bytes = max(2 * max_bytes, 2 * LOOK_BACK)


def read_tail(path: Path, max_bytes: int) -> str:
    """The last bytes of a job's output as they are shown, '' where there is none. Blocking."""
    start = max(0, size_of(path) - max_bytes)
    ahead = min(start, LOOK_BACK)
    renderer = LinesRenderer(find_redactor(path.parents[1]), read_block(path, start - ahead, ahead))
    return renderer.take(read_block(path, start, max_bytes), is_last=True).text


def size_of(path: Path) -> int:
    """Bytes of a file, 0 for none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
