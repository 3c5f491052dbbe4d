"""The manual page's two forms, and that it holds every command."""

from __future__ import annotations

import shutil
import subprocess

import click
import pytest

from ringmaster.cli.command import Group
from ringmaster.cli.main import TABLE, root
from ringmaster.cli.man import EXITS, GLOBALS, page_of
from ringmaster.cli.manual import Block, escape, to_plain, to_roff
from ringmaster.model.errors import EXIT_CODES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".TH is no request here", "\\&.TH is no request here"),
        ("'quoted'", "\\(aqquoted\\(aq"),
        ("back\\slash and --flag", "back\\(rsslash and \\-\\-flag"),
        ("ID… ×", "ID\\[u2026] \\[u00D7]"),
        ("two\n  lines", "two lines"),
    ],
)
def test_roff_takes_no_word_for_an_instruction(text, expected):
    assert escape(text) == expected


def test_plain_text_is_indented_and_wrapped():
    blocks = [Block("section", "NAME"), Block("paragraph", "word " * 30), Block("item", "means this", "--that")]
    lines = to_plain(blocks).splitlines()
    assert lines[0] == "NAME"
    assert lines[1].startswith("       word")
    assert max(map(len, lines)) <= 80
    assert lines[-2:] == ["       --that", "              means this"]


def iter_paths(group: Group, ctx: click.Context, prefix: str):
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        yield f"{prefix} {name}"
        if isinstance(command, Group):
            yield from iter_paths(command, click.Context(command, parent=ctx, info_name=name), f"{prefix} {name}")


def test_every_command_and_verb_is_in_it_and_every_exit_code():
    blocks = page_of(root)
    found = [block.text for block in blocks if block.kind == "command"]
    ctx = click.Context(root, info_name="rmctl")
    paths = list(iter_paths(root, ctx, "rmctl"))
    assert len(paths) > len(TABLE) + 20
    missing = [path for path in paths if not any(f"{text} ".startswith(f"{path} ") for text in found)]
    assert not missing
    assert all(block.text for block in blocks), "an option, a verb or a noun without a word of help"
    assert {str(code) for code in EXIT_CODES.values()} <= {code for code, _ in EXITS}
    # The options that stand everywhere are named once, whatever the commands are built of.
    hidden = {option for param in root.params if getattr(param, "hidden", False) for option in param.opts}
    named = {word for term, _ in GLOBALS for word in term.replace(",", " ").split() if word.startswith("-")}
    assert hidden == named


def test_a_short_form_names_the_verb_that_it_stands_for():
    blocks = page_of(root)
    place = next(index for index, block in enumerate(blocks) if block.text == "rmctl ls")
    assert blocks[place + 1].text == "The short form of rmctl task list."


def test_man_takes_the_page_without_a_warning(tmp_path):
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man is not installed")
    path = tmp_path / "rmctl.1"
    path.write_text(to_roff("rmctl", "ringmaster 1", page_of(root)))
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(path)],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "rmctl task add" in done.stdout
    assert "--idempotency-key KEY" in done.stdout
