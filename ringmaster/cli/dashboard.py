"""`rmctl dashboard`: the page in a browser."""

from __future__ import annotations

import os
import webbrowser

import click

from ringmaster.cli.command import top
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError


def _has_desktop() -> bool:
    """Whether a browser would have a screen to appear on; one for terminals would take this one over."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or os.environ.get("BROWSER"))


@top("dashboard", help="Open the page that shows everything. In a pipe, or with --url, only print the link.")
@click.option("--url", "is_url", is_flag=True, help="Print the link: it is good once, and for a minute.")
def dashboard(session: Session, is_url: bool) -> None:
    """Ask for a link, and open it where there is a desktop."""
    link = session.call("dashboard.link", {"idempotency_key": session.new_key()})
    url = str(link["url"])
    if is_url or not session.output.is_for_people or not _has_desktop():
        session.output.item(link, lambda: f"{url}\n", id_of="url")
        if session.output.is_for_people:
            session.output.words("open it in a browser of this machine within a minute; it is good once")
        return
    if not webbrowser.open(url):
        raise RingmasterError(ErrorKind.UNREACHABLE, "no browser could be started", "rmctl dashboard --url")
    session.output.words("opened in the browser")
