"""Commands and groups of rmctl: global options before or after the verb, nouns imported when they are named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ringmaster.cli.output import FORMATS
from ringmaster.cli.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])

GLOBAL_HELP = (
    "Global options, before or after the verb: -s NAME|PATH, -o table|wide|json|jsonl|name, --fields A,B, "
    "-q, --timeout S, -y, --idempotency-key KEY, --no-color."
)


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Keep a global option's value if it was given; the one after the verb comes later and wins."""
    if value is not None and value is not False and ctx.obj is not None and param.name is not None:
        ctx.obj.set_global(param.name, value)


def _global_options() -> list[click.Parameter]:
    def option(*names: str, **more: Any) -> click.Option:
        return click.Option(names, expose_value=False, hidden=True, callback=_remember, **more)

    return [
        option("-s", "--instance", "instance", metavar="NAME|PATH"),
        option("-o", "--output", "output", type=click.Choice(FORMATS)),
        option("--fields", "fields", metavar="A,B"),
        option("-q", "--quiet", "is_quiet", is_flag=True),
        option("--timeout", "timeout", metavar="S"),
        option("-y", "--yes", "is_yes", is_flag=True),
        option("--idempotency-key", "idempotency_key", metavar="KEY"),
        option("--no-color", "is_colour_off", is_flag=True),
    ]


class Command(click.Command):
    """A verb. With `keeps_rest`, what follows `--` is handed on untouched as the parameter `rest`."""

    def __init__(self, *args: Any, keeps_rest: bool = False, **kwargs: Any) -> None:
        kwargs.setdefault("epilog", GLOBAL_HELP)
        super().__init__(*args, **kwargs)
        # A verb may have another -o of its own.
        own = {param.name for param in self.params}
        self.params.extend(option for option in _global_options() if option.name not in own)
        self.keeps_rest = keeps_rest

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Split off what follows `--` before click drops the mark."""
        if not self.keeps_rest:
            return super().parse_args(ctx, args)
        rest: list[str] = []
        if "--" in args:
            mark = args.index("--")
            args, rest = args[:mark], args[mark + 1 :]
        left = super().parse_args(ctx, args)
        ctx.params["rest"] = tuple(rest)
        return left


class Group(click.Group):
    """A noun with its verbs.

    aliases: other names of its verbs.
    """

    command_class = Command

    def __init__(self, *args: Any, aliases: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("epilog", GLOBAL_HELP)
        super().__init__(*args, **kwargs)
        self.params.extend(_global_options())
        self.aliases = aliases or {}

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb of this name or alias."""
        return super().get_command(ctx, self.aliases.get(cmd_name, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that the first argument names; an unknown one is answered with the nearest."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None and not name.startswith("-"):
            raise click.UsageError(self.unknown(ctx, name), ctx)
        return super().resolve_command(ctx, args)

    def unknown(self, ctx: click.Context, name: str) -> str:
        """One line about a command that does not exist."""
        from difflib import get_close_matches

        path, names = ctx.command_path, self.list_commands(ctx)
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        if near:
            return f"no command {path} {name}; did you mean: {path} {near[0]}"
        return f"no command {path} {name}; there are: {', '.join(names)}"


class Root(Group):
    """`rmctl` itself: its table names the module and attribute of each command, imported when used."""

    def __init__(self, table: Mapping[str, tuple[str, str, str]], aliases: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(aliases=aliases, **kwargs)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and hand out one command."""
        entry = self.table.get(self.aliases.get(cmd_name, cmd_name))
        if entry is None:
            return None
        command = getattr(import_module(f"ringmaster.cli.{entry[0]}"), entry[1])
        assert isinstance(command, click.Command)
        return command

    def unknown(self, ctx: click.Context, name: str) -> str:
        """One line about a command that does not exist; a verb without its noun is answered with both."""
        nouns = [
            noun
            for noun in self.table
            if isinstance(group := self.get_command(ctx, noun), Group) and group.get_command(ctx, name) is not None
        ]
        if nouns:
            path = ctx.command_path
            return f"no command {path} {name}; did you mean: {' or '.join(f'{path} {noun} {name}' for noun in nouns)}"
        return super().unknown(ctx, name)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, from the table alone: a shell waits for it at each press of Tab."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=words) for name, (_, _, words) in self.table.items()]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(item for item in found if item.value.startswith(incomplete)), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, _, words) in self.table.items()])


def pass_session(function: F) -> F:
    """Hand the call's Session to a command as its first argument."""
    return click.make_pass_decorator(Session)(function)  # type: ignore[return-value]


def verb(group: Group, name: str | None = None, **kwargs: Any) -> Callable[[Callable[..., Any]], Command]:
    """Register a function as a verb of a noun."""

    def register(function: Callable[..., Any]) -> Command:
        command = group.command(name, cls=Command, **kwargs)(pass_session(function))
        assert isinstance(command, Command)
        return command

    return register


def top(name: str, **kwargs: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command that stands by itself."""

    def make(function: Callable[..., Any]) -> Command:
        return click.command(name, cls=Command, **kwargs)(pass_session(function))

    return make
