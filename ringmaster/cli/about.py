"""`rmctl health` and `rmctl version`."""

from __future__ import annotations

from ringmaster import __version__
from ringmaster.cli.command import top
from ringmaster.cli.page import Page
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError


@top("health", help="Whether all is well. Exit code 0: ok; 1: degraded, stopping or estop; 3: no daemon answers.")
def health(session: Session) -> None:
    """Show the daemon's health and make it the exit code."""
    found = session.call("daemon.health")

    def layout() -> str:
        page = Page(session.output)
        page.title(found["state"], "", session.with_instance(found["words"]))
        return page.done()

    session.output.item(found, layout, id_of="state")
    if found["state"] != "ok":
        session.exit_code = 1


@top("version", help="Of rmctl, and of the daemon if one answers.")
def version(session: Session) -> None:
    """Show both versions; no daemon is no error."""
    daemon = None
    words = "not running"
    try:
        daemon = session.call("daemon.version")
    except RingmasterError as error:
        if error.kind is not ErrorKind.UNREACHABLE:
            words = error.message
    row = {"version": __version__, "daemon": daemon}

    def layout() -> str:
        page = Page(session.output)
        page.fact("rmctl", __version__)
        if daemon is None:
            page.fact("ringmasterd", words)
            return page.done()
        page.fact("ringmasterd", daemon["version"])
        if daemon.get("generation"):
            for name in ("generation", "release", "commit"):
                page.fact(name, daemon[name])
        for name in ("protocol", "schema", "python", "sqlite", "git"):
            page.fact(name, daemon[name])
        return page.done()

    session.output.item(row, layout, id_of="version")
