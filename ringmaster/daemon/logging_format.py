"""How lines of the daemon's own log look."""

from __future__ import annotations

import logging

from ringmaster.redaction.redactor import KNOWN_FORMS

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class ShownFormatter(logging.Formatter):
    """Lines, with their traces, as they may be shown: errors of git and of agents have keys and escapes in them."""

    def __init__(self) -> None:
        super().__init__(LOG_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """The record without keys of known forms, and without what acts on a terminal."""
        return KNOWN_FORMS.shown(super().format(record))
