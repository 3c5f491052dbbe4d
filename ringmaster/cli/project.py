"""`rmctl project …`: the repositories to work on."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

import click

from ringmaster.cli.command import Group, verb
from ringmaster.cli.inputs import duration_option, keyed
from ringmaster.cli.output import Column, Row
from ringmaster.cli.page import Page
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError

project = Group("project", help="Repositories to work on.", aliases={"ls": "list", "rm": "remove"})

PROJECTS = (
    Column("NAME", "id"),
    Column("STATE", "state"),
    Column("TARGET", "target"),
    Column("APPROVE", "config.approve"),
    Column("GATE", lambda row: row["config"]["gate"] or "none: every landing asks", is_flexible=True),
    Column("PATH", "path"),
    Column("WHY", "paused_reason", is_wide=True),
)
CHANGED = (Column("NAME", "id"), Column("STATE", "state"), Column("TARGET", "target"), Column("PATH", "path"))

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _many(flag: str, name: str, metavar: str, words: str) -> Decorator:
    return click.option(flag, name, multiple=True, metavar=metavar, help=f"{words} Repeatable; '' for none.")


def _choice(flag: str, name: str, choices: str, words: str) -> Decorator:
    return click.option(flag, name, type=click.Choice(choices.split("|")), default=None, help=words)


SETTINGS: tuple[Decorator, ...] = (
    click.option("--gate", default=None, metavar="CMD", help="Must pass on what lands; none: every landing asks."),
    duration_option("--gate-limit", "gate_limit_s", "Time for one run of the gate. [30m]"),
    _many("--setup", "setup", "CMD", "Makes a fresh checkout usable."),
    duration_option("--setup-limit", "setup_limit_s", "Time for the set-up. [15m]"),
    _many("--cache", "cache", "DIR", "Kept between gates, such as .venv."),
    _many("--copy", "copy", "FILE", "An ignored file to bring into workspaces."),
    _many("--env", "env", "NAME", "A variable for agent, set-up and gate."),
    _many("--agent-env", "agent_env", "NAME", "A variable for the agent alone."),
    _choice("--permissions", "permissions", "edit|run|full", "What agents may do unasked; full: sandboxed. [run]"),
    _choice("--sandbox", "sandbox", "none|bwrap", "What holds agents in. [none]"),
    _choice("--approve", "approve", "auto|ask", "Whether a person accepts before it lands. [auto]"),
    _choice("--history", "history", "merge|squash", "What a landing looks like. [merge]"),
    _choice("--test-changes", "test_changes", "allow|ask", "Whether changed tests ask. [allow]"),
    _choice("--update-checkout", "update_checkout", "clean|never", "Whether a clean checkout is moved along."),
    _choice("--gate-reuse", "gate_reuse", "commit|tree", "What a green receipt holds for. [commit]"),
    _many("--protect", "protected", "PATH", "Asks when changed; !PATH frees one."),
    click.option("--max-running", type=click.IntRange(1), default=None, help="Seats at once. [8]"),
    click.option("--keep-days", type=click.FloatRange(0), default=None, help="Keep ended work so long. [30]"),
    click.option("--agent", default=None, help="For tasks that name none."),
    click.option("--conventions", default=None, metavar="TEXT", help="What agents should know of this project."),
    click.option("--self/--not-self", "is_self", default=None, help="Ringmaster's own source: it reloads from it."),
)


def settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add every project setting as an option."""
    for decorate in reversed(SETTINGS):
        function = decorate(function)
    return function


def _named(given: dict[str, Any]) -> dict[str, object]:
    """The settings that were given; `''` empties a list."""
    config: dict[str, object] = {}
    for name, value in given.items():
        if isinstance(value, tuple):
            if value:
                config[name] = [item for item in value if item]
        elif value is not None:
            config[name] = value
    return config


def _parsed(pairs: tuple[str, ...]) -> dict[str, object]:
    """`key=value` arguments as settings of the right types.

    Raises:
        RingmasterError: USAGE naming the keys there are, or what a value must be.
    """
    from typing import get_type_hints

    import msgspec

    from ringmaster.model.project import ProjectConfig

    kinds = get_type_hints(ProjectConfig)
    config: dict[str, object] = {}
    for key, values in keyed(pairs).items():
        if key not in kinds:
            known = " ".join(("target", "state", *kinds))
            raise RingmasterError(ErrorKind.USAGE, f"no project setting {key!r}", f"there are: {known}")
        is_list = kinds[key] == tuple[str, ...]
        raw = [value for value in values if value] if is_list else values[-1]
        try:
            config[key] = msgspec.to_builtins(msgspec.convert(raw, kinds[key], strict=False))
        except msgspec.ValidationError as error:
            raise RingmasterError(
                ErrorKind.USAGE, f"{key}={values[-1]!r}: {error}", "rmctl project edit --help"
            ) from error
    return config


@verb(project, help="Register a git repository. PATH: a work tree or a bare repository.")
@click.argument("path")
@click.option("--name", "id", default="", help="What to call it. [the directory's name]")
@click.option("--target", default="", metavar="BRANCH", help="Where work lands. [what HEAD names]")
@settings
def add(session: Session, path: str, id: str, target: str, **given: Any) -> None:
    """Add a project; asks once whether the checkout may be moved along."""
    from ringmaster.protocol.project import ProjectAddParams

    config = _named(given)
    path = os.path.abspath(os.path.expanduser(path))
    # What is refused in any case is refused without a question before it.
    if "update_checkout" not in config and session.is_asked() and os.path.isdir(path):
        config["update_checkout"] = _ask_update_checkout()
    params = ProjectAddParams(
        path=path,
        id=id,
        target=target,
        config=config,
        idempotency_key=session.new_key(),
    )
    row = session.call("project.add", params)
    session.output.changed(row, CHANGED)
    if not row["config"]["gate"]:
        command = session.command(f"project edit {row['id']} --gate CMD")
        session.output.words(f"it has no gate, so every landing asks: {command}")


def _ask_update_checkout() -> str:
    try:
        is_clean = click.confirm(
            "When work lands on the branch you have checked out, and your checkout is clean: move it along?",
            default=False,
            err=True,
        )
    except click.Abort:
        is_clean = False
    return "clean" if is_clean else "never"


@verb(project, "list", help="All projects.")
def list_(session: Session) -> None:
    """List projects."""
    found = session.call("project.list")
    session.output.rows(found["projects"], PROJECTS, empty="no projects; add one: rmctl project add PATH")


@verb(project, help="All about one project.")
@click.argument("name")
def show(session: Session, name: str) -> None:
    """Show a project."""
    from ringmaster.protocol.project import ProjectShowParams

    row = session.call("project.show", ProjectShowParams(id=name))
    session.output.item(row, lambda: layout(session, row))


def layout(session: Session, row: Row) -> str:
    """The page of one project."""
    page = Page(session.output)
    page.title(row["id"], row["state"], row["paused_reason"])
    page.fact("path", row["path"])
    page.fact("target", row["target"])
    page.fact("parked", row["parked_commit"])
    page.fact("created", page.at(row["created_at"]))
    # A word of it only where it holds: of all other projects it says nothing.
    shown = {key: value for key, value in row["config"].items() if key != "is_self" or value}
    settings = [{"key": key, "value": value} for key, value in shown.items()]
    page.table("settings", settings, (Column("", "key"), Column("", "value", is_flexible=True)))
    page.gap()
    if row["state"] == "paused":
        page.fact("next", session.command(f"project edit {row['id']} --resume"))
    else:
        page.fact("next", session.command(f'task add -P {row["id"]} "TITLE"'))
    return page.done()


@verb(project, help="Change settings, as options or as key=value; a repeated key makes a list.")
@click.argument("name")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE…]")
@click.option("--target", default="", metavar="BRANCH", help="Where work lands.")
@click.option("--pause", "is_paused", is_flag=True, help="Give out none of its tasks.")
@click.option("--resume", "is_resumed", is_flag=True, help="Give them out again.")
@settings
def edit(
    session: Session,
    name: str,
    pairs: tuple[str, ...],
    target: str,
    is_paused: bool,
    is_resumed: bool,
    **given: Any,
) -> None:
    """Edit a project."""
    from ringmaster.protocol.project import ProjectEditParams

    own = {key: pair.partition("=")[2] for pair in pairs if (key := pair.partition("=")[0]) in ("target", "state")}
    config = _parsed(tuple(pair for pair in pairs if pair.partition("=")[0] not in own)) | _named(given)
    target = target or own.get("target", "")
    state = _state(own.get("state", ""), is_paused=is_paused, is_resumed=is_resumed)
    if not (config or state or target):
        raise RingmasterError(ErrorKind.USAGE, "nothing to change", "rmctl project edit --help")
    params = ProjectEditParams(id=name, config=config, target=target, state=state, idempotency_key=session.new_key())
    session.output.changed(session.call("project.edit", params), CHANGED)


def _state(named: str, *, is_paused: bool, is_resumed: bool) -> Literal["", "active", "paused"]:
    wanted = {named, "paused" if is_paused else "", "active" if is_resumed else ""} - {""}
    if not wanted:
        return ""
    if wanted == {"paused"}:
        return "paused"
    if wanted == {"active"}:
        return "active"
    raise RingmasterError(ErrorKind.USAGE, f"no such state: {' and '.join(sorted(wanted))}", "--pause or --resume")


@verb(project, help="Forget a project. Its repository is not touched; its tasks stay as history.")
@click.argument("name")
def remove(session: Session, name: str) -> None:
    """Remove a project, after a question on a terminal."""
    from ringmaster.protocol.project import ProjectRemoveParams

    session.confirm(f"remove project {name}?")
    found = session.call("project.remove", ProjectRemoveParams(id=name, idempotency_key=session.new_key()))
    session.output.changed(found, (Column("NAME", "id"),), note=found["note"])
