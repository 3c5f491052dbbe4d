"""Methods that look the instance over and mend what is safe to mend."""

from __future__ import annotations

from typing import Literal

import msgspec

from ringmaster.protocol.mutation import Mutation

Level = Literal["ok", "warning", "error"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What one check found. words: what is, on one line. mend: the command that mends it, or what to do.

    error: work is lost, stuck or not begun until it is mended. warning: it may come to that.
    is_safe: `--fix` mends it: that touches no work.
    """

    check: str
    level: Level
    words: str
    mend: str = ""
    is_safe: bool = False


class DoctorParams(msgspec.Struct, frozen=True, kw_only=True):
    """No parameters."""


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """Every check, in a fixed order; those that are well too."""

    findings: tuple[Finding, ...]


class MendParams(Mutation, frozen=True, kw_only=True):
    """No parameters of its own: what is well is left alone."""


class Mended(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, each in words; what could not be done, and why."""

    done: tuple[str, ...]
    failed: tuple[str, ...]
