"""`rmctl gc`: remove what is no longer needed."""

from __future__ import annotations

import click

from ringmaster.cli import terminal
from ringmaster.cli.command import top
from ringmaster.cli.session import Session


def size(count: int) -> str:
    """Bytes for people."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable")


@top("gc", help="Remove workspaces and kept work that are past their time.")
@click.option("-n", "--dry-run", "is_dry_run", is_flag=True, help="Say what would go, change nothing.")
def gc(session: Session, is_dry_run: bool) -> None:
    """Collect, and say what stays and why."""
    from ringmaster.protocol.daemon import GcParams

    found = session.call(
        "daemon.gc", GcParams(is_dry_run=is_dry_run, idempotency_key=session.new_key()), is_unbounded=True
    )
    row = {"id": "gc", **found}

    def layout() -> str:
        lines = [f"removed\t{terminal.one_line(words)}\n" for words in found["removed"]]
        lines += [f"kept\t{terminal.one_line(words)}\n" for words in found["kept"]]
        return "".join(lines)

    session.output.item(row, layout)
    verb = "would free" if found["is_dry_run"] else "freed"
    session.output.words(f"{verb} {size(found['freed_bytes'])}")
