"""`rmctl task graph`: what waits for what, the longest chain, and what can run side by side."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import click

from ringmaster.cli import terminal
from ringmaster.cli.command import top
from ringmaster.cli.output import Output, Row
from ringmaster.cli.session import Session

FORMATS = ("text", "dot", "json", "jsonl", "name")
KINDLESS = ("blocks", "parent-child")
STYLES = {"conditional-blocks": "dashed", "parent-child": "dotted"}


@top(
    "graph",
    help="What waits for what: tasks of one step can run side by side, * marks the longest chain. With ID what it"
    " waits for and what waits for it; without, all tasks that have to do with others. -o dot is for graphviz.",
)
@click.argument("id", required=False, default="")
@click.option("-P", "--project", "project_id", default="", help="Of one project.")
@click.option("-n", "--limit", type=click.IntRange(1, 2_000), default=200, help="At most so many tasks. [200]")
@click.option("-o", "--output", "output", type=click.Choice(FORMATS), default=None, help="How to show it. [text]")
def graph(session: Session, id: str, project_id: str, limit: int, output: str | None) -> None:
    """Show the graph of tasks."""
    from ringmaster.protocol.order import TaskGraphParams

    if output is not None:
        session.output.kind = output
    found = session.call("task.graph", TaskGraphParams(id=id, project_id=project_id, limit=limit))
    if session.output.is_quiet or session.output.kind == "name":
        session.output.text("".join(f"{terminal.one_line(task['id'])}\n" for task in found["tasks"]))
    elif session.output.is_json:
        session.output.json(found)
    elif session.output.kind == "dot":
        session.output.text(dot(found))
    elif not found["tasks"]:
        session.output.words("no task has to do with another (rmctl task dep ID OTHER makes one wait)")
    else:
        session.output.text(text(session.output, found))
        if not found["edges"]:
            session.output.words(
                "none of these waits for another task, nor any task for it: rmctl why ID says what else"
            )
    session.output.words(found["note"])


def text(output: Output, found: Row) -> str:
    """Step by step, each a heading and its tasks, with what each of them waits for."""
    tasks = found["tasks"]
    waits = _waits(found)
    rows = [
        (
            "*" if task["is_critical"] else "",
            terminal.one_line(task["id"]),
            task["shown"],
            f"P{task['priority']}",
            terminal.one_line(task["title"]),
            waits.get(task["id"], ""),
        )
        for task in tasks
    ]
    limit = output.cells
    lines = terminal.columns(
        None, rows, limit=limit - 2 if limit else None, flexible=4, is_coloured=output.is_coloured
    ).splitlines()
    last = tasks[-1]["layer"]
    words = f"{_count(len(tasks), 'task')} in {_count(last, 'step')}"
    if found["critical_path"]:
        words += f"; * is the longest chain, of {_count(len(found['critical_path']), 'task')}"
    page = [words]
    layer = 0
    for task, line in zip(tasks, lines, strict=True):
        if task["layer"] != layer:
            layer = task["layer"]
            count = sum(other["layer"] == layer for other in tasks)
            side = f", {count} side by side" if count > 1 else ""
            page.append(output.paint(f"step {layer}{side}", "bold"))
        page.append(f"  {line}")
    return "".join(line + "\n" for line in page)


def _waits(found: Row) -> dict[str, str]:
    """By task, what it waits for, in words; of kinds that are not the usual one with their name."""
    waits: dict[str, list[str]] = {}
    for edge in found["edges"]:
        if edge["kind"] == "parent-child":
            words = f"part of {edge['other_id']}"
        elif edge["kind"] == "blocks":
            words = f"after {edge['other_id']}"
        else:
            words = " ".join(word for word in (edge["kind"], edge["mode"], edge["other_id"]) if word)
        waits.setdefault(edge["task_id"], []).append(terminal.one_line(words))
    return {id: ", ".join(words) for id, words in waits.items()}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def dot(found: Row) -> str:
    """The same in the language of graphviz: an arrow leads from what comes first to what waits for it."""
    lines = ["digraph tasks {", "  rankdir=LR;", '  node [shape=box, fontname="sans-serif"];']
    for task in found["tasks"]:
        colour = ", color=red, penwidth=2" if task["is_critical"] else ""
        shape = ", shape=folder" if task["type"] == "epic" else ""
        label = f"{task['id']}  P{task['priority']}  {task['shown']}\n{terminal.one_line(task['title'])}"
        lines.append(f"  {_quoted(task['id'])} [label={_quoted(label)}{shape}{colour}];")
    path = found["critical_path"]
    critical = set(itertools.pairwise(path))
    lines += [f"  {_arrow(edge, critical)};" for edge in found["edges"]]
    layers: dict[int, list[str]] = {}
    for task in found["tasks"]:
        layers.setdefault(task["layer"], []).append(_quoted(task["id"]))
    lines += [f"  {{ rank=same; {'; '.join(ids)} }}" for ids in layers.values() if len(ids) > 1]
    return "\n".join([*lines, "}"]) + "\n"


def _arrow(edge: Mapping[str, str], critical: set[tuple[str, str]]) -> str:
    first, then = edge["other_id"], edge["task_id"]
    facts = [f"style={STYLES[edge['kind']]}"] if edge["kind"] in STYLES else []
    if edge["kind"] not in KINDLESS:
        facts.append(f"label={_quoted(' '.join(word for word in (edge['kind'], edge['mode']) if word))}")
    if {(first, then), (then, first)} & critical:
        facts.append("color=red")
    return f"{_quoted(first)} -> {_quoted(then)}" + (f" [{', '.join(facts)}]" if facts else "")


def _quoted(words: str) -> str:
    """A string of the language; a line break in it is one of the label."""
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
