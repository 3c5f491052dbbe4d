"""`rmctl logs -g`: which attempts said or did something, by the words of it."""

from __future__ import annotations

import re

from ringmaster.cli import terminal
from ringmaster.cli.output import Column, Output, Row
from ringmaster.cli.session import Session

MOST_AT_ONCE = 1000
LIMIT = 50
WORD = re.compile(r"(\w+)(\*?)")


def search(
    session: Session, pattern: str, id: str, project_id: str, limit: int | None, *, is_failed: bool = False
) -> None:
    """Show the matches, the newest attempts first; exit code 1 when there is none, as grep has it."""
    matches, note, is_more = find(
        session, pattern, id, project_id, LIMIT if limit is None else limit, is_failed=is_failed
    )
    output = session.output
    if output.is_for_people:
        output.text(layout(output, matches, pattern))
    else:
        output.rows(matches, shape(output), id_of="attempt_id")
    if not matches:
        which = "failed step" if is_failed else "step"
        output.words(f"no {which} of {id or project_id or 'any attempt'} has {terminal.one_line(pattern)!r} in it")
        session.exit_code = 1
    output.words(note)
    if is_more:
        output.words(f"there are more than these {len(matches)}: -n {2 * len(matches)}")


def find(
    session: Session, pattern: str, id: str, project_id: str, limit: int, *, is_failed: bool = False
) -> tuple[list[Row], str, bool]:
    """The first matches, what was not looked through in words, and whether there are more."""
    from ringmaster.protocol.logs import LogsSearchParams

    attempt_id = id if "/" in id else ""
    task_id = "" if attempt_id else id
    matches: list[Row] = []
    cursor, note = "", ""
    while len(matches) < limit:
        params = LogsSearchParams(
            pattern=pattern,
            project_id=project_id,
            task_id=task_id,
            attempt_id=attempt_id,
            is_failed=is_failed,
            limit=min(limit - len(matches), MOST_AT_ONCE),
            cursor=cursor,
        )
        found = session.call("logs.search", params)
        matches += found["matches"]
        cursor, note = found["cursor"], found["note"] or note
        if not cursor:
            break
    return matches, note, bool(cursor)


def shape(output: Output) -> tuple[Column, ...]:
    """The columns of matches in a pipe."""
    return (
        Column("ATTEMPT", "attempt_id"),
        Column("AT", lambda row: output.at(row["at"])),
        Column("KIND", "kind"),
        Column("MATCH", "snippet"),
        Column("TASK", "task_id", is_wide=True),
        Column("PROJECT", "project_id", is_wide=True),
        Column("OFFSET", "offset", is_wide=True),
        Column("EXIT", lambda row: row.get("exit_code"), is_wide=True),
        Column("FAILED", lambda row: row.get("is_failed", False), is_wide=True),
    )


def layout(output: Output, matches: list[Row], pattern: str) -> str:
    """A line for each match, cut to the terminal, with the words that were looked for marked."""
    heads = [[output.shown(row["attempt_id"]), output.at(row["at"]), output.shown(ending(row))] for row in matches]
    widths = [max((terminal.width(cells[index]) for cells in heads), default=0) for index in range(3)]
    lines = []
    for cells, row in zip(heads, matches, strict=True):
        head = "".join(
            cell + " " * (width - terminal.width(cell) + 2) for cell, width in zip(cells, widths, strict=True)
        )
        text = terminal.one_line(row["snippet"]).strip()
        if output.cells is not None:
            text = terminal.fit(text, max(output.cells - terminal.width(head), 12))
        lines.append(output.paint(head, "red" if row.get("is_failed") else "dim") + mark(output, text, pattern) + "\n")
    return "".join(lines)


def ending(row: Row) -> str:
    """The kind of a step and how it ended: the words around the match may not say it."""
    code = row.get("exit_code")
    if code is not None:
        return f"{row['kind']}, exit {code}"
    return f"{row['kind']}, failed" if row.get("is_failed") else str(row["kind"])


def mark(output: Output, text: str, pattern: str) -> str:
    """The text with each word of the pattern that is in it painted."""
    words = []
    for word, star in WORD.findall(pattern):
        # Where letters have no case, there are mostly no spaces either: it is found within others.
        has_ends = word.lower() != word.upper() or word.isascii()
        sought = re.escape(word) + (r"\w*" if star else "")
        words.append(rf"(?<!\w){sought}(?!\w)" if has_ends else sought)
    if not words:
        return text
    wanted = re.compile("|".join(words), re.IGNORECASE)
    return wanted.sub(lambda found: output.paint(found[0], "bold"), text)
