"""Methods about the database: a copy for safe keeping, and whether it is whole."""

from __future__ import annotations

import msgspec

from ringmaster.protocol.mutation import Mutation


class DatabaseBackupParams(Mutation, frozen=True, kw_only=True):
    """path: where the copy goes, absolute. Nothing is ever overwritten."""

    path: str


class DatabaseCopy(msgspec.Struct, frozen=True, kw_only=True):
    """A copy that is whole, and on the disk. schema: of the database."""

    path: str
    bytes: int
    schema: int


class DatabaseCheckParams(msgspec.Struct, frozen=True, kw_only=True):
    """No parameters."""


class DatabaseFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a thorough look found. problems: in words, none for a database that is whole.

    schema: what it has; known_schema: what this version knows; min_code_schema: what a version must know to use it.
    """

    path: str
    bytes: int
    schema: int
    known_schema: int
    min_code_schema: int
    sqlite: str
    problems: tuple[str, ...]
