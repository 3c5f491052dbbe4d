"""`rmctl config …`: the settings file."""

from __future__ import annotations

from ringmaster.cli.command import Group, verb
from ringmaster.cli.output import Column, Row
from ringmaster.cli.session import Session
from ringmaster.model.errors import RingmasterError

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
    load_settings(path)
    words = "sound" if path.exists() else "not there: the defaults hold"
    row = {"path": str(path), "is_valid": True, "words": words}
    session.output.rows([row], (Column("PATH", "path"), Column("", "words")), id_of="path", is_headed=False)


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
