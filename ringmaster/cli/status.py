"""`rmctl status`: one screen. What needs a person comes first, each with the one command for it."""

from __future__ import annotations

import sys
import time

import click

from ringmaster.cli import terminal
from ringmaster.cli.clock import duration
from ringmaster.cli.command import top
from ringmaster.cli.output import Row
from ringmaster.cli.session import Session

RELOAD_CELLS = 10
CLEAR = "\x1b[H\x1b[2J\x1b[3J"


@top("status", help="One screen: what needs you, the queue, the workers.")
@click.option("-w", "--watch", "is_watched", is_flag=True, help="Draw it anew whenever something happens.")
def status(session: Session, is_watched: bool) -> None:
    """Show the status, once or at every event."""
    found = session.call("daemon.status")
    draw(session, found, is_cleared=is_watched)
    if is_watched:
        watch(session, found["cursor"])


def watch(session: Session, cursor: int) -> None:
    """Draw again upon events. A burst is drawn once: what lies behind the drawn cursor is skipped."""
    from ringmaster.protocol.event import EventsSubscribeParams

    params = EventsSubscribeParams(after=cursor)
    for event in session.stream("events.subscribe", params, lambda item: {"after": item["seq"]}):
        if event["seq"] <= cursor:
            continue
        found = session.call("daemon.status")
        cursor = found["cursor"]
        draw(session, found, is_cleared=True)


def draw(session: Session, found: Row, *, is_cleared: bool) -> None:
    """Write one screen in the format asked for."""
    output = session.output
    if output.is_json:
        output.json({name: found[name] for name in output.fields} if output.fields else found)
    elif output.is_for_people:
        output.text((CLEAR if is_cleared else "") + screen(session, found))
    else:
        output.text("".join("\t".join(map(output.shown, line)) + "\n" for line in lines(session, found)))
    sys.stdout.flush()


def needs(session: Session, found: Row) -> list[tuple[str, str, str, str]]:
    """What a person must do: (what, which, words, the command)."""
    rows = []
    health = found["health"]
    if health["state"] != "ok":
        rows.append((health["state"], found["name"], health["words"], _mend(session, health["state"])))
    if not health["is_kept"]:
        rows.append(("unkept", found["name"], "nobody restarts the daemon", session.command("daemon start")))
    for row in found.get("shortages", ()):
        rows.append((row["kind"], "short", row["words"], row["command"]))
    for row in found.get("budgets", ()):
        scope = row["project_id"]
        command = session.command(f"budget show {scope}".rstrip())
        rows.append(("budget", scope or "(all)", f"{row['words']} on {row['day']} (UTC)", command))
    for row in found["decisions"]:
        choices = "|".join(row["options"]) or "WORDS"
        about = row["task_id"] or row["project_id"] or row["attempt_id"]
        command = session.command(f"decision answer {row['id']} {choices}")
        rows.append((row["kind"], about, row["question"], command))
    pause = found.get("queue_pause")
    if pause is not None:
        why = pause["reason"] or "nothing is given out; what runs goes on"
        rows.append(("paused", "queue", why, session.command("resume")))
    for row in found["paused"]:
        command = session.command(f"project edit {row['project_id']} --resume")
        rows.append(("paused", row["project_id"], row["reason"], command))
    rows += [("parked", row["project_id"], row["reason"], row["command"]) for row in found["parked"]]
    return rows


def _mend(session: Session, state: str) -> str:
    if state == "estop":
        return session.command("estop --clear")
    return session.command("health")


def counts(found: Row) -> list[tuple[str, int]]:
    """The states in which there are tasks."""
    return [(state, count) for state, count in found["queue"].items() if count]


def lines(session: Session, found: Row) -> list[tuple[object, ...]]:
    """The status for a pipe: a line for each fact, its section first."""
    health = found["health"]
    table: list[tuple[object, ...]] = [
        ("daemon", found["name"], health["state"], health["pid"], "kept" if health["is_kept"] else "unkept")
    ]
    table += [("needs", *row) for row in needs(session, found)]
    table += [("queue", state, count) for state, count in counts(found)]
    table += [
        ("worker", row["worker"]["id"], row["shown"], row["worker"]["agent"], row["task_id"], row["task_title"])
        for row in found["workers"]
    ]
    table += [
        ("account", row["agent"], row["label"], session.output.at(row["until_at"]), row["reason"])
        for row in found.get("resting", ())
    ]
    last = found.get("last_reload")
    if last is not None:
        table.append(("reload", last["id"], last["state"], last["reason"]))
    return table


def screen(session: Session, found: Row) -> str:
    """The status for a person."""
    output, health = session.output, found["health"]
    colour = terminal.COLOURS.get(health["state"], "")
    words = [
        output.paint(f"ringmaster {found['name']}", "bold"),
        output.paint(health["state"], colour),
        f"up {duration(time.time() - health['started_at'])}",
        f"pid {health['pid']}",
        "kept" if health["is_kept"] else "unkept",
        found["version"],
    ]
    parts = ["  ".join(words)]
    todo = needs(session, found)
    if todo:
        parts.append("\n" + output.paint("needs you", "yellow"))
        for what, which, why, command in todo:
            line = terminal.one_line(f"  {what} {which}: {why}")
            parts.append(terminal.fit(line, output.cells) if output.cells else line)
            parts.append(f"    {output.paint(terminal.one_line(command), 'bold')}")
    queue = "  ".join(
        f"{count} {output.paint(state, terminal.COLOURS.get(state, ''))}" for state, count in counts(found)
    )
    parts.append("\n" + output.paint("queue", "bold") + "     " + (queue or "empty"))
    parts.append(output.paint("projects", "bold") + f"  {found['projects']}")
    parts.append(output.paint("workers", "bold") + ("" if found["workers"] else "   none"))
    if found["workers"]:
        parts.append(_workers(session, found["workers"]))
    if found.get("resting"):
        parts.append(output.paint("accounts", "bold"))
        parts += [_resting(session, row) for row in found.get("resting", ())]
    reloading = _reloading(session, found)
    if reloading:
        parts.append(output.paint("reload", "bold") + "    " + reloading)
    parts += [f"  {output.paint(hint, 'dim')}" for hint in _first_steps(session, found)]
    return "\n".join(part.rstrip("\n") for part in parts) + "\n"


def last_words(session: Session, last: Row | None) -> str:
    """One line about a reload: which, how it stands, since when, and why."""
    if last is None:
        return ""
    at = session.output.at(last["settled_at"] or last["tried_at"] or last["created_at"])
    reason = f": {last['reason']}" if last["reason"] else ""
    return f"generation {last['id']} {last['state']} {at}{reason}"


def _reloading(session: Session, found: Row) -> str:
    """How the last reload went, or is going; nothing before the first."""
    last, output = found.get("last_reload"), session.output
    words = [found["reload_step"]] if found.get("reload_step") else []
    if last is not None:
        words.append(last_words(session, last))
    line = terminal.one_line(f"generation {found.get('generation', 0)} runs; {'; '.join(words)}" if words else "")
    return terminal.fit(line, output.cells - RELOAD_CELLS) if output.cells else line


def _resting(session: Session, row: Row) -> str:
    """An account that takes nothing now. Nobody needs to do anything: it goes on by itself."""
    output = session.output
    line = terminal.one_line(
        f"  {row['agent']}, {row['label']}, rests until {output.at(row['until_at'])}: {row['reason']}"
    )
    return terminal.fit(line, output.cells) if output.cells else line


def _workers(session: Session, workers: list[Row]) -> str:
    rows = []
    for row in workers:
        since = duration(time.time() - row["since_at"]) if row["since_at"] is not None else ""
        worker = row["worker"]
        cells = (worker["id"], row["shown"], worker["agent"], row["task_id"], since, row["task_title"])
        rows.append(("", *(terminal.one_line(cell) for cell in cells)))
    return terminal.columns(None, rows, limit=session.output.cells, flexible=6, is_coloured=session.output.is_coloured)


def _first_steps(session: Session, found: Row) -> list[str]:
    """What a new instance still lacks, in order."""
    if not found["projects"]:
        return [session.command("project add PATH --gate 'make test'")]
    if not found["workers"]:
        return [session.command("worker spawn --agent claude")]
    if not counts(found):
        return [session.command('add "TITLE"')]
    return []
