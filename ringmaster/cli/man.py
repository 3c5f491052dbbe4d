"""`rmctl man`: the manual page, made from the commands themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

from ringmaster import __version__
from ringmaster.cli.command import Group, Root, top
from ringmaster.cli.manual import Block, to_plain, to_roff
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError

GLOBALS = (
    ("-s, --instance NAME|PATH", "The instance to speak to: its name, or the path of its state. Default: default."),
    ("-o, --output table|wide|json|jsonl|name", "How to write what was found. JSON keeps the names of the protocol."),
    ("--fields A,B", "Only these fields, in this order."),
    ("-q, --quiet", "Ids only."),
    ("--timeout S", "Give up after so long: 90, 15m, 1h30m."),
    ("-y, --yes", "Answer yes to what would be asked."),
    ("--idempotency-key KEY", "A repeat of a change under the same key changes nothing and gets the first answer."),
    ("--no-color", "No colour."),
)
EXITS = (
    ("0", "It worked. A closed pipe is no error."),
    ("1", "The operation failed."),
    ("2", "The command line or the settings are wrong."),
    ("3", "The daemon is not running or cannot be reached."),
    ("4", "There is no such task, worker, project or other thing."),
    ("5", "It is not in a state for that: a conflict, a lost lease, nothing to claim."),
    ("6", "Refused: a gate is red, a budget used up, something is paused."),
    ("7", "It is not permitted."),
    ("8", "Client and daemon speak different protocols."),
    ("124", "It took too long."),
    ("130", "Interrupted by Ctrl-C."),
)
VARIABLES = (
    ("RMCTL_SOCKET", "The socket to speak to, where -s does not say."),
    ("RINGMASTER_STATE", "The instance that is meant without -s."),
    ("XDG_STATE_HOME, XDG_CONFIG_HOME, XDG_RUNTIME_DIR", "Where state, settings and socket lie."),
    ("NO_COLOR", "No colour, when it is set."),
)
FILES = (
    ("$XDG_CONFIG_HOME/ringmaster/config.toml", "The settings. Without the variable: ~/.config."),
    ("$XDG_STATE_HOME/ringmaster/NAME", "The state of an instance. Without the variable: ~/.local/state."),
    ("$XDG_RUNTIME_DIR/ringmaster/NAME.sock", "Its socket; without the variable it lies in the state."),
)
DESCRIPTION = (
    "Ringmaster runs coding agents over a queue of tasks in git repositories, decides by each project's gate whether "
    "their work is good, and lands what is. rmctl speaks to its daemon.",
    "Start with: rmctl daemon start; rmctl project add PATH; rmctl worker spawn --agent claude; rmctl add TITLE.",
    "Ids may be shortened as long as they are unique. Data goes to stdout, words go to stderr. A table is for a "
    "terminal; in a pipe the values are separated by tabs.",
)


def page_of(root: Root) -> list[Block]:
    """The whole page."""
    with click.Context(root, info_name="rmctl") as ctx:
        return [
            Block("section", "NAME"),
            Block("paragraph", "rmctl - run coding agents over a queue of tasks"),
            Block("section", "SYNOPSIS"),
            Block("paragraph", "rmctl [OPTIONS] COMMAND [ARGS]…"),
            Block("section", "DESCRIPTION"),
            *(Block("paragraph", text) for text in DESCRIPTION),
            Block("section", "OPTIONS"),
            Block("paragraph", "These are understood before and after every command."),
            *_items(GLOBALS),
            Block("section", "COMMANDS"),
            *_commands(root, ctx),
            Block("section", "EXIT STATUS"),
            *_items(EXITS),
            Block("section", "ENVIRONMENT"),
            *_items(VARIABLES),
            Block("section", "FILES"),
            *_items(FILES),
        ]


def _items(pairs: tuple[tuple[str, str], ...]) -> Iterator[Block]:
    return (Block("item", text, term) for term, text in pairs)


def _commands(root: Root, ctx: click.Context) -> Iterator[Block]:
    """Every command with its options; a short form names the verb that it stands for."""
    tops = {name: command for name in root.list_commands(ctx) if (command := root.get_command(ctx, name)) is not None}
    verbs: dict[int, str] = {}
    for noun, group in tops.items():
        if isinstance(group, Group):
            verbs |= {id(group.get_command(ctx, name)): f"rmctl {noun} {name}" for name in group.list_commands(ctx)}
    for name, command in tops.items():
        if isinstance(command, Group):
            yield Block("command", f"rmctl {name}")
            yield Block("paragraph", command.help or "")
            with click.Context(command, parent=ctx, info_name=name) as below:
                for verb in command.list_commands(below):
                    found = command.get_command(below, verb)
                    assert found is not None
                    yield from _command(found, verb, below)
        elif id(command) in verbs:
            yield Block("command", f"rmctl {name}")
            yield Block("paragraph", f"The short form of {verbs[id(command)]}.")
        else:
            yield from _command(command, name, ctx)


def _command(command: click.Command, name: str, above: click.Context) -> Iterator[Block]:
    with click.Context(command, parent=above, info_name=name) as ctx:
        yield Block("command", " ".join([ctx.command_path, *command.collect_usage_pieces(ctx)]))
        yield Block("paragraph", command.help or "")
        for param in command.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and record[1] and "--help" not in param.opts:
                # What click calls the type is no word for people.
                yield Block("item", record[1], record[0].replace("INTEGER RANGE", "N").replace("FLOAT RANGE", "N"))


@top("man", help="The manual page. On a terminal it is shown by man, elsewhere as plain text.")
@click.option("--to", "path", default="", metavar="FILE", help="Write the page there for man; - is stdout.")
def man(session: Session, path: str) -> None:
    """Show or write the page."""
    from ringmaster.cli.main import root

    blocks = page_of(root)
    roff = to_roff("rmctl", f"ringmaster {__version__}", blocks)
    if path == "-":
        return session.output.text(roff)
    if path:
        return _write(session, Path(path), roff)
    viewer = shutil.which("man") if session.output.is_terminal else None
    if viewer is None or not _is_shown(viewer, roff):
        session.output.text(to_plain(blocks))


def _is_shown(viewer: str, roff: str) -> bool:
    # With `-l -` it pages as it pages any other; one that cannot (a stub of a slimmed-down system) says so by its code.
    environ = {**os.environ, "LC_ALL": os.environ.get("LC_ALL") or os.environ.get("LANG") or "C.UTF-8"}
    return subprocess.run([viewer, "-l", "-"], input=roff.encode(), env=environ, check=False).returncode == 0


def _write(session: Session, path: Path, roff: str) -> None:
    try:
        path.write_text(roff)
    except OSError as error:
        raise RingmasterError(ErrorKind.USAGE, f"cannot write {path}: {error.strerror}", "--to FILE") from error
    session.output.words(f"wrote {path}; to read it: man -l {path}")
