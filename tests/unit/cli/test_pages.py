"""Every command line that a page shows can be typed: its command and options are there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ringmaster.cli.command import Root
from ringmaster.cli.main import root
from ringmaster.model.decisions import DECISION_EFFECTS

CHECKOUT = Path(__file__).resolve().parents[3]
PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
# What ends a command line in a shell or begins what is for a person alone.
END = re.compile(r"[|;#&>…]|\s--\s")


def iter_lines(text: str) -> Iterator[str]:
    """Command lines of rmctl: in code spans, and at the beginning of lines in blocks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for line in [line for block in blocks for line in block.splitlines()] + spans:
        found = re.match(r"(?:bin/)?rmctl ([a-z-].*)", line)
        if found:
            yield END.split(found[1])[0]


def why_unknown(line: str) -> str:
    """What of a command line is not there; '' when all of it is."""
    try:
        words = shlex.split(line)
    except ValueError:
        return ""
    command: click.Command = root
    with click.Context(root, info_name="rmctl") as ctx:
        while words:
            word = words.pop(0)
            if word.startswith("-"):
                flags = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)} | {"--help"}
                if word.partition("=")[0] not in flags and word[:2] not in flags:
                    return f"{command.name} has no {word}"
                is_flag = any(
                    word in (*p.opts, *p.secondary_opts) and getattr(p, "is_flag", False) for p in command.params
                )
                words = words if is_flag or "=" in word else words[1:]
            elif isinstance(command, click.Group) and not word.isupper():
                found = [command.get_command(ctx, name) for name in word.split(",")[0].split("|") if name]
                if not found or found[0] is None:
                    return f"{command.name} has no {word}"
                command = found[0]
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_tells_to_type_can_be_typed(page):
    lines = list(iter_lines(page.read_text()))
    unknown = [f"rmctl {line}: {why}" for line in lines if (why := why_unknown(line))]
    assert not unknown, "\n".join(unknown)


def test_the_pages_are_read():
    assert isinstance(root, Root)
    lines = [line for page in PAGES for line in iter_lines(page.read_text())]
    assert len(lines) > 100
    assert why_unknown("task lst") == "task has no lst"
    assert why_unknown("ls --labels x").endswith("has no --labels")


def test_every_kind_of_decision_has_its_line_and_each_answer_is_named():
    rows = {}
    for line in (CHECKOUT / "docs" / "when-it-goes-wrong.md").read_text().splitlines():
        if found := re.match(r"\| `(\w+)` \|.*\| ([^|]*) \|$", line):
            rows[found[1]] = found[2]
    for kind, effects in DECISION_EFFECTS.items():
        named = set(re.findall(r"`(\w+)", rows[kind]))
        assert {answer for answer in effects if answer != "*"} <= named, kind
