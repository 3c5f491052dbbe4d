"""Reading what an agent wrote: line by line and bounded, whatever bytes it holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from ringmaster.agents.base import AgentReport, ReportStatus

LINE_BYTES = 4 * 1024 * 1024
"""A longer line is read in pieces, each of no known form: memory stays bounded, bytes stay in the file."""

PROMISE = b"<promise>COMPLETE</promise>"

_object_decoder = msgspec.json.Decoder(dict[str, Any])


class ResultLine(msgspec.Struct, frozen=True, kw_only=True):
    """The last line an agent may write, as the prompt asks for it: `{"type": "result", "status": …}`."""

    type: str
    status: ReportStatus
    summary: str = ""
    question: str = ""
    detail: str = ""
    options: tuple[str, ...] = ()
    is_counted: bool = True
    reset_at: float | None = None
    usage: dict[str, Any] = {}


def iter_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file without their ends; nothing for a file that is not there."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        while line := file.readline(LINE_BYTES):
            yield line.rstrip(b"\r\n")


def decode_object(line: bytes) -> dict[str, Any] | None:
    """The JSON object in a line, or None when it holds no object."""
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        return _object_decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def result_of(found: dict[str, Any]) -> ResultLine | None:
    """The result that an object states, or None when it is not one or has wrong types."""
    if found.get("type") != "result":
        return None
    try:
        return msgspec.convert(found, ResultLine)
    except (msgspec.ValidationError, RecursionError):
        return None


def report_from(result: ResultLine | None) -> AgentReport:
    """The report that a result line alone supports; the caller adds what it counted."""
    if result is None:
        return AgentReport()
    return AgentReport(
        status=result.status,
        summary=result.summary,
        question=result.question,
        detail=result.detail,
        options=result.options,
        is_counted=result.is_counted,
        reset_at=result.reset_at,
        usage=result.usage,
    )


def tail_text(path: Path, size: int) -> str:
    """The last `size` bytes of a file as text, from a line's start where there is one; empty if missing."""
    try:
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - size))
            data = file.read(size)
    except FileNotFoundError:
        return ""
    if length > size:
        _, newline, rest = data.partition(b"\n")
        data = rest if newline else data
    return data.decode("utf-8", "replace").strip()
