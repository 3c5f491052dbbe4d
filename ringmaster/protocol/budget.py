"""Methods about budgets: what a project may have in attempts and dollars on one day of UTC."""

from __future__ import annotations

from typing import Annotated

import msgspec

from ringmaster.protocol.mutation import Mutation


class BudgetShowParams(msgspec.Struct, frozen=True, kw_only=True):
    """project_id: of one project, with that of all of them; '' for every one there is."""

    project_id: str = ""


class BudgetSetParams(Mutation, frozen=True, kw_only=True):
    """Change a budget; what is not given stays as it is.

    is_all: that of all projects together, in place of `project_id`. max_attempts: begun in a day; max_usd: spent.
    is_attempts_removed, is_usd_removed: no limit any more.
    """

    project_id: str = ""
    is_all: bool = False
    max_attempts: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] | None = None
    max_usd: Annotated[float, msgspec.Meta(ge=0, le=1e12)] | None = None
    is_attempts_removed: bool = False
    is_usd_removed: bool = False


class BudgetView(msgspec.Struct, frozen=True, kw_only=True):
    """One budget and how it stands. project_id: '' for all projects together. max_attempts, max_usd: None: no limit.

    day: as 2026-11-30, by UTC. attempts: begun on it. usd: spent on it; has_unknown: and more, nobody knows how much.
    reserved_usd: held for metered attempts that run; unlimited_running: those of them without a limit of their own.
    words: why it lets nothing begin any more today; '' while it does.
    """

    project_id: str
    day: str
    max_attempts: int | None
    attempts: int
    max_usd: float | None
    usd: float
    has_unknown: bool
    reserved_usd: float
    unlimited_running: int
    words: str = ""


class BudgetList(msgspec.Struct, frozen=True, kw_only=True):
    """That of all projects first, then by name."""

    day: str
    budgets: tuple[BudgetView, ...]
