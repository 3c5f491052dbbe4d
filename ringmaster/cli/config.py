"""`rmctl config …`: the settings file."""

from __future__ import annotations

from ringmaster.cli.command import Group, verb
from ringmaster.cli.output import Column
from ringmaster.cli.session import Session

config = Group("config", help="The settings file.")


@verb(config, help="Whether the settings file is sound; needs no daemon.")
def check(session: Session) -> None:
    """Read the settings as the daemon would at its next start."""
    from ringmaster.settings import load_settings

    path = session.paths.config
    load_settings(path)
    words = "sound" if path.exists() else "not there: the defaults hold"
    row = {"path": str(path), "is_valid": True, "words": words}
    session.output.rows([row], (Column("PATH", "path"), Column("", "words")), id_of="path", is_headed=False)
