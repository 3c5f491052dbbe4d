"""The entry of rmctl: the table of its commands, and how a call ends."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence

import click

from ringmaster import __version__
from ringmaster.cli import terminal
from ringmaster.cli.command import Root
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError

INTERRUPTED = 130

TABLE = {
    "status": ("status", "status", "one screen: what needs you, the queue, the workers"),
    "add": ("task", "add", "put a task on the queue (task add)"),
    "ls": ("task", "list_", "the tasks that have not ended (task list)"),
    "show": ("task", "show", "all about one task, attempt or decision"),
    "why": ("why", "why", "why a task is not worked on, what it does, or why it ended"),
    "wait": ("task_wait", "wait", "wait until tasks have ended or need a person (task wait)"),
    "logs": ("logs", "logs", "what an attempt wrote"),
    "retry": ("task_control", "retry", "put a task on the queue again (task retry)"),
    "cancel": ("task_control", "cancel", "take a task off the queue, end its attempt (task cancel)"),
    "undo": ("undo", "undo", "take back the newest change, or that of an event or task"),
    "pause": ("pause", "pause", "give out nothing new, of one project or at all"),
    "resume": ("pause", "resume", "give out again"),
    "project": ("project", "project", "repositories to work on"),
    "task": ("task", "task", "units of queued work"),
    "worker": ("worker", "worker", "seats that run agents"),
    "attempt": ("attempt", "attempt", "starts of an agent on a task"),
    "pull": ("pull", "pull", "take a task to work on it by hand"),
    "prompt": ("pull", "prompt", "what is to be done on a pulled task"),
    "heartbeat": ("pull", "heartbeat", "say that you are still at a pulled task"),
    "report": ("pull", "report", "hand a pulled task in"),
    "ask": ("pull", "ask", "ask a person about the task at hand"),
    "prime": ("pull", "prime", "the words an agent needs to report"),
    "agent": ("agent", "agent", "programs that do the work: list, test"),
    "cost": ("cost", "cost", "what was spent"),
    "trend": ("stats", "trend", "figures over time: what landed, what failed, what it cost"),
    "budget": ("budget", "budget", "what may be spent in a day: show, set"),
    "decision": ("decision", "decision", "questions only a person may answer"),
    "events": ("events", "events", "every state change, in order"),
    "dashboard": ("dashboard", "dashboard", "open the page that shows everything"),
    "daemon": ("daemon", "daemon", "start, stop and look after the daemon"),
    "service": ("service", "service", "run the daemon under systemd"),
    "reload": ("reload", "reload", "take newer code of the daemon, or say what would be taken"),
    "rollout": ("rollout", "rollout", "generations of the daemon's code: status, history, undo"),
    "estop": ("estop", "estop", "end every agent now, with or without a daemon"),
    "gc": ("gc", "gc", "remove what is no longer needed"),
    "doctor": ("doctor", "doctor", "look everything over, and mend what is safe to mend"),
    "db": ("db", "db", "the database: backup, check, path"),
    "config": ("config", "config", "the settings file"),
    "selfhost": ("selfhost", "selfhost", "what the daemon's own measurements say should be improved"),
    "health": ("about", "health", "whether all is well, as an exit code"),
    "version": ("about", "version", "of rmctl and of the daemon"),
    "rpc": ("rpc", "rpc", "call any method with JSON"),
    "completion": ("completion", "completion", "let bash, zsh or fish complete what you type"),
    "man": ("man", "man", "the manual page"),
}
ALIASES = {
    "list": "ls",
    "log": "logs",
    "event": "events",
    "st": "status",
    "projects": "project",
    "tasks": "task",
    "pull-bead": "pull",
    "build-prompt": "prompt",
    "report-result": "report",
}


def _say_version(ctx: click.Context, param: click.Parameter, is_given: bool) -> None:
    if is_given:
        click.echo(f"rmctl {__version__}")
        ctx.exit()


root = Root(
    TABLE,
    ALIASES,
    name="rmctl",
    params=[click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_say_version)],
    help="Run coding agents over a queue of tasks. Start with: rmctl daemon start; rmctl project add PATH",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What stdout ends with when it is a file that cannot be written on."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line. Returns the exit code; a closed pipe on stdout is silent and 0."""
    args = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    session = Session(os.environ)
    session.is_program = argv is None
    try:
        if "_RMCTL_COMPLETE" in os.environ:
            from ringmaster.cli.completion import answer

            code = answer(root, session, os.environ, sys.stdout.write)
        else:
            code = _run(args, session)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _forget_stdout()
        return 0
    except OSError as error:
        # Elsewhere a file that cannot be written is told by whoever writes it: this is stdout.
        if error.errno not in UNWRITTEN or error.filename is not None:
            raise
        _forget_stdout()
        told = RingmasterError(ErrorKind.DISK_FULL, f"cannot write the output: {error.strerror}", "send it elsewhere")
        return _fail(args, session, told)
    finally:
        session.close()


def _prepare_streams() -> None:
    """A stream that was closed by the caller is nothing, and what its encoding lacks is spelled out, not an error."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it is the process's own until the end
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(args: list[str], session: Session) -> int:
    try:
        with root.make_context("rmctl", args, obj=session) as ctx:
            root.invoke(ctx)
        return session.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        return 2
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        return _fail(args, session, _usage_error(error))
    except RingmasterError as error:
        return _fail(args, session, error)
    except (KeyboardInterrupt, click.Abort):
        sys.stderr.write("\n")
        return INTERRUPTED


def _usage_error(error: click.ClickException) -> RingmasterError:
    # click puts the choices of a missing argument on lines of their own.
    message = " ".join(error.format_message().split()).rstrip(".")
    # What click calls a type is no word for people: "'high' is not a valid integer range".
    message = message.replace("a valid integer range", "a whole number").replace("a valid float range", "a number")
    ctx = getattr(error, "ctx", None)
    hint = "" if "rmctl" in message else f"{ctx.command_path if ctx else 'rmctl'} --help"
    return RingmasterError(ErrorKind.USAGE, message[:1].lower() + message[1:], hint)


def _fail(args: list[str], session: Session, error: RingmasterError) -> int:
    """Say what went wrong: a line for people, one JSON object with `-o json`."""
    sys.stdout.flush()
    message, hint = error.message, session.with_instance(error.hint)
    if session.output.is_json or _asks_for_json(args):
        import json

        told = {"code": error.exit_code, "kind": str(error.kind), "message": message, "hint": hint}
        sys.stderr.write(json.dumps({"error": told}) + "\n")
    else:
        line = f"rmctl: {message}" + (f" ({hint})" if hint else "")
        sys.stderr.write(terminal.one_line(line) + "\n")
    return error.exit_code


def _asks_for_json(args: list[str]) -> bool:
    """Whether the line asks for JSON, also where it could not be parsed so far."""
    for index, arg in enumerate(args):
        if arg == "--":
            return False
        if arg in ("-ojson", "-ojsonl", "--output=json", "--output=jsonl"):
            return True
        if arg in ("-o", "--output") and args[index + 1 : index + 2] in (["json"], ["jsonl"]):
            return True
    return False


def _forget_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's last flush does not complain about the closed pipe."""
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
