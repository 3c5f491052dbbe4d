"""The daemon's own log."""

from __future__ import annotations

import logging
import sys

from ringmaster.daemon.logging_format import ShownFormatter
from ringmaster.redaction.redactor import REDACTED


def test_neither_a_line_nor_its_trace_has_a_key_or_an_escape_in_it():
    try:
        raise ValueError("https://me:hunter2@host \x1b[2J")
    except ValueError:
        trace = sys.exc_info()
    key = "gh" + "p_" + "A1b2" * 9
    record = logging.LogRecord("ringmaster.x", logging.ERROR, "x.py", 1, "no: %s\nmore", (key,), trace)
    lines = ShownFormatter().format(record).split("\n")
    assert lines[0].endswith(f" ERROR ringmaster.x: no: {REDACTED}")
    assert lines[1] == "more"
    assert lines[-1] == f"ValueError: https://{REDACTED}@host "
