"""`rmctl completion`: the scripts for shells, and the answers that these ask rmctl for at each press of Tab.

What a word may be is click's to say; the ids and names of what there is come from the daemon, within LOOK_S and
without a word when it does not answer: a prompt must not hang, nor show errors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, NamedTuple

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

from ringmaster.cli.command import top
from ringmaster.cli.session import Session
from ringmaster.cli.terminal import one_line
from ringmaster.model.errors import RingmasterError

VARIABLE = "_RMCTL_COMPLETE"
"""What the scripts set: the shell and what it wants, `bash_complete`."""
PROGRAM = "rmctl"
LOOK_S = 0.5
MOST = 1000
HELP_CELLS = 60


class Source(NamedTuple):
    """A list of the daemon's. rows: the field of the answer that holds it; id, words: dotted fields of a row."""

    method: str
    params: Mapping[str, Any]
    rows: str
    id: str
    words: str


SOURCES = {
    "tasks": Source("task.list", {"limit": MOST}, "tasks", "task.id", "task.title"),
    "all tasks": Source("task.list", {"limit": MOST, "is_all": True}, "tasks", "task.id", "task.title"),
    "projects": Source("project.list", {}, "projects", "id", "path"),
    "workers": Source("worker.list", {}, "workers", "worker.id", "shown"),
    "agents": Source("agent.list", {}, "agents", "name", "kind"),
    "attempts": Source("attempt.list", {}, "attempts", "attempt.id", "attempt.state"),
    "decisions": Source("decision.list", {}, "decisions", "id", "question"),
}
BY_PARAM = {
    "project_id": "projects",
    "task_id": "all tasks",
    "worker_id": "workers",
    "attempt_id": "attempts",
    "agent": "agents",
    "after": "tasks",
    "added": "tasks",
    "removed": "tasks",
}
BY_NOUN = {
    "worker": "workers",
    "project": "projects",
    "agent": "agents",
    "attempt": "attempts",
    "decision": "decisions",
}
OWN_NAMES = ("id", "ids", "name")
"""What a verb calls the thing of its noun."""
ALSO_ENDED = ("show", "logs", "retry", "diff", "attempts", "reopen")
NEW_NAMES = (("worker", "spawn"), ("worker", "run"))
"""Verbs whose name is one to be made up."""


def source_of(noun: str, verb: str, param: str) -> str:
    """The entry of SOURCES that holds what a parameter may be, '' for none. noun: '' for a verb by itself."""
    if param in BY_PARAM:
        return BY_PARAM[param]
    if param not in OWN_NAMES or (noun, verb) in NEW_NAMES:
        return ""
    if noun in BY_NOUN:
        return BY_NOUN[noun]
    return ("all tasks" if verb in ALSO_ENDED else "tasks") if noun in ("", "task") else ""


def _with_daemon(kind: type[ShellComplete]) -> type[ShellComplete]:
    """A shell's completion with the ids and names that only the daemon knows."""

    class Complete(kind):  # type: ignore[misc,valid-type]
        def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
            ctx, param, incomplete = self._find(args, incomplete)
            source = _source_for(ctx, param) if param is not None else ""
            if not source:
                found: list[CompletionItem] = super().get_completions(args, incomplete)
                return found
            return offered(ctx.obj, SOURCES[source], incomplete)

        def _find(self, args: list[str], incomplete: str) -> tuple[click.Context, click.Parameter | None, str]:
            """The parameter that the incomplete word is for; None where it is no parameter."""
            from click.shell_completion import _resolve_context, _resolve_incomplete

            ctx = _resolve_context(self.cli, self.ctx_args, self.prog_name, args)
            found, rest = _resolve_incomplete(ctx, list(args), incomplete)
            return ctx, found if isinstance(found, click.Parameter) else None, rest

    return Complete


SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
INSTALL = {
    "bash": "echo 'eval \"$(rmctl completion bash)\"' >> ~/.bashrc",
    "zsh": "echo 'eval \"$(rmctl completion zsh)\"' >> ~/.zshrc, after compinit",
    "fish": "rmctl completion fish > ~/.config/fish/completions/rmctl.fish",
}


def _source_for(ctx: click.Context, param: click.Parameter) -> str:
    above = ctx.parent.command.name if ctx.parent is not None and ctx.parent.parent is not None else ""
    return source_of(above or "", ctx.command.name or "", param.name or "")


def offered(session: Session, source: Source, incomplete: str) -> list[CompletionItem]:
    """What the daemon knows that begins so; nothing when it does not answer at once."""
    from ringmaster.client import Client

    try:
        with Client(session.socket_path(), timeout_s=LOOK_S) as client:
            rows = client.call(source.method, source.params)[source.rows]
    except RingmasterError:
        return []
    found = [(str(_dig(row, source.id)), str(_dig(row, source.words))) for row in rows]
    # On one line: titles are written by others.
    return [CompletionItem(id, help=one_line(words)[:HELP_CELLS]) for id, words in found if id.startswith(incomplete)]


def _dig(row: Any, path: str) -> object:
    for name in path.split("."):
        row = row.get(name, "") if isinstance(row, Mapping) else ""
    return row


def answer(root: click.Command, session: Session, environ: Mapping[str, str], write: Callable[[str], object]) -> int:
    """Answer a shell that presses Tab: what it asked is in the environment. Returns the exit code; silent on errors."""
    name, _, wish = environ[VARIABLE].partition("_")
    shell = SHELLS.get(name)
    if shell is None or wish != "complete":
        return 1
    ctx_args: MutableMapping[str, Any] = {"obj": session}
    try:
        write(_with_daemon(shell)(root, ctx_args, PROGRAM, VARIABLE).complete() + "\n")
    except (click.ClickException, RingmasterError, ValueError, KeyError):
        # Half a command line: a word that is no command, an option without its value, an unclosed quote.
        return 0
    return 0


@top(
    "completion", help="The script that lets a shell complete commands, ids and names. Typed, it says where to put it."
)
@click.argument("shell", type=click.Choice(tuple(SHELLS)))
def completion(session: Session, shell: str) -> None:
    """Print the script; to a person also how to have it in every shell."""
    made = SHELLS[shell](click.Command(PROGRAM), {}, PROGRAM, VARIABLE)
    # The plain source: bash's own method runs a bash to look at its version at each start of a shell.
    session.output.text(ShellComplete.source(made))
    if session.output.is_terminal:
        session.output.words(f"to have it in every {shell}: {INSTALL[shell]}")
