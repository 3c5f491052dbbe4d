"""`rmctl config …`: the settings file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ringmaster.cli.command import Group, verb
from ringmaster.cli.output import Column, Row
from ringmaster.cli.session import Session
from ringmaster.model.errors import RingmasterError

if TYPE_CHECKING:
    from ringmaster.settings import Settings

NAMED_BY_NATURE = ("claude", "codex", "hand")
"""Agents that work without settings of their own."""
config = Group("config", help="The settings file.")

LOOK_S = 1.0
"""How long a daemon has to say what it runs with; nobody waits for one that hangs to see the settings."""


def _written(row: Row) -> str:
    import json

    value = row["value"]
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


SHAPE = (
    Column("SETTING", "key"),
    Column("VALUE", _written),
    Column("FROM", "source"),
    Column("WHERE", "where", is_flexible=True),
)


@verb(config, help="Whether the settings file is sound; needs no daemon.")
def check(session: Session) -> None:
    """Read the settings as the daemon would at its next start."""
    from ringmaster.settings import load_settings

    path = session.paths.config
    settings = load_settings(path)
    words = "sound" if path.exists() else "not there: the defaults hold"
    warnings = list(doubts(settings, session.environ.get("PATH")))
    row = {"path": str(path), "is_valid": True, "words": words, "warnings": warnings}
    session.output.rows([row], (Column("PATH", "path"), Column("", "words")), id_of="path", is_headed=False)
    for warning in warnings:
        session.output.words(f"warning: {warning}")


def doubts(settings: Settings, search_path: str | None) -> Iterator[str]:
    """What the daemon takes without a word and nobody is likely to mean. search_path: for programs, None: our own."""
    known = {*settings.agents, *NAMED_BY_NATURE}
    for name in settings.limits.agents:
        if name not in known:
            yield f"[limits] agents: no agent is called {name!r}; known: {', '.join(sorted(known))}"
    patience = settings.order.patience_s
    if list(patience) != sorted(patience):
        yield "[order] patience_s: it does not ascend, so that what is less urgent goes before what is more"
    program = settings.daemon.on_decision[:1]
    if program and shutil.which(program[0], path=search_path) is None:
        yield f"[daemon] on_decision: no program {program[0]!r} is found, so nobody is told of questions"


@verb(config, help="Every setting in force, and whether it is a default, from the file or from the environment.")
def show(session: Session) -> None:
    """Show the settings as the daemon would take them at its next start; needs no daemon."""
    from ringmaster.cli.effective import path_rows, setting_rows
    from ringmaster.settings import load_settings, read_table

    paths = session.paths
    settings = load_settings(paths.config)
    table = read_table(paths.config)
    rows = path_rows(paths, session.socket_path(), session.instance, session.environ)
    rows += setting_rows(settings, table, str(paths.config))
    session.output.rows(rows, SHAPE, id_of="key")
    session.output.words(_what_runs(session, str(paths.config)))


def _what_runs(session: Session, path: str) -> str:
    """Words about a daemon that runs with other settings than these; empty when none does."""
    session.timeout_s = session.timeout_s or LOOK_S
    try:
        found = session.call("daemon.config_check")
    except RingmasterError:
        return ""
    if found["path"] != path:
        return f"the daemon that runs reads {found['path']}"
    if "differs" in found["words"]:
        return f"the daemon runs with other settings, until: {session.command('daemon restart')}"
    return ""


@verb(config, help="The settings file as a JSON Schema, for editors; needs no daemon.")
def schema(session: Session) -> None:
    """Print the schema. It is JSON whatever format is asked for."""
    from ringmaster.cli.effective import settings_schema

    session.output.raw_json(settings_schema())
