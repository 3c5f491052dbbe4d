"""`rmctl service …`: the daemon as a unit of the user's systemd, or of the system's."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import click

from ringmaster.cli import daemon as daemon_commands
from ringmaster.cli import instance, service_system, terminal
from ringmaster.cli.command import Group, verb
from ringmaster.cli.page import Page
from ringmaster.cli.session import Session
from ringmaster.model.errors import EXIT_CODES, ErrorKind, RingmasterError
from ringmaster.systemd.units import MARK, Service, base_name, environment_text, service_text, socket_text

service = Group("service", help="Run the daemon under systemd instead of a keeper.")

RECORDED = ("PATH", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
"""Always recorded where set: agents are found by the first, and the state by the others."""
SYSTEMCTL_S = 120.0
FIRST_LINE = MARK.partition(";")[0]


class File(NamedTuple):
    """A file that install writes. shown: its text for people, without values that may be secret."""

    path: Path
    text: str
    shown: str
    mode: int = 0o644


def user_service(session: Session) -> Service:
    """The units of this instance under the user's manager.

    Raises:
        RingmasterError: USAGE for a path that no unit can name.
    """
    paths = session.paths
    base = base_name(paths.name)
    if any(not character.isprintable() for character in f"{paths.state}{paths.socket}"):
        raise RingmasterError(ErrorKind.USAGE, "the state's path has characters that a unit cannot hold", "-s PATH")
    return Service(
        base=base,
        state=paths.name,
        argv=tuple(daemon_commands.daemon_argv(session)),
        socket=str(paths.socket),
        environment_file=str(_config_home(session) / "ringmaster" / f"{base}.env"),
    )


def _config_home(session: Session) -> Path:
    from ringmaster.settings import home_directory

    given = session.environ.get("XDG_CONFIG_HOME", "")
    return Path(given) if given.startswith("/") else home_directory(session.environ) / ".config"


def _files(session: Session, made: Service, directory: Path, names: tuple[str, ...]) -> list[File]:
    # Where the caller has their files is nothing to another account.
    recorded = RECORDED[:1] if made.account else RECORDED
    variables = {name: session.environ[name] for name in recorded if session.environ.get(name)}
    for name in names:
        if not name.isascii() or not name.isidentifier():
            raise RingmasterError(ErrorKind.USAGE, f"--env {name!r} is no name of a variable", "--env NAME, set here")
        if name not in session.environ:
            raise RingmasterError(ErrorKind.USAGE, f"--env {name}: it is not set here", f"export {name}=…")
        variables[name] = session.environ[name]
    hidden = {name: "…" if name in names else value for name, value in variables.items()}
    units = [(made.service_name, service_text(made)), (made.socket_name, socket_text(made))]
    return [
        *(File(directory / name, text, text) for name, text in units),
        # It may hold keys.
        File(Path(made.environment_file), environment_text(variables), environment_text(hidden), 0o600),
    ]


def unit_directory(session: Session) -> Path:
    """Where the user's units lie."""
    return _config_home(session) / "systemd" / "user"


@verb(service, help="Write the units and start the daemon under them. It then starts with your session.")
@click.option("--env", "names", multiple=True, metavar="NAME", help="Hand this variable on, such as an API key.")
@click.option("-n", "--dry-run", "is_dry_run", is_flag=True, help="Print the files, change nothing.")
@click.option("--system", "account", metavar="ACCOUNT", help="Under the system's manager instead, as this account.")
def install(session: Session, names: tuple[str, ...], is_dry_run: bool, account: str | None) -> None:
    """Install, or install again with what has changed."""
    if account is not None:
        made, directory = service_system.system_service(session, account), service_system.UNITS
    else:
        made, directory = user_service(session), unit_directory(session)
    files = _files(session, made, directory, names)
    if is_dry_run:
        row = {"id": made.service_name, "files": {str(file.path): file.shown for file in files}}
        session.output.item(row, lambda: "\n".join(f"# {file.path}\n{file.shown}" for file in files))
        return
    is_user = not account
    if account:
        service_system.check_can_install(made)
    _check_manager(session, is_user=is_user)
    is_again = _leave_keeper(session) if is_user else is_own(directory / made.service_name)
    for file in files:
        write_file(session, file)
    run_systemctl(session, "daemon-reload", is_user=is_user)
    run_systemctl(session, "enable", "--now", made.socket_name, made.service_name, is_user=is_user)
    if is_again:
        run_systemctl(session, "restart", made.service_name, is_user=is_user)
    session.output.words(f"{made.service_name} runs")
    if account:
        return session.output.words(f"for {account} it is: rmctl -s {service_system.SYSTEM_STATE} status")
    linger = read_linger(session)
    if linger != "yes":
        session.output.words("it ends when you log out; to let it run on: loginctl enable-linger")


def _leave_keeper(session: Session) -> bool:
    """Stop a daemon that a keeper looks after: systemd is to have the state. True when a unit runs it already."""
    found = daemon_commands.probe(session)
    if found is not None and found.get("unit"):
        return True
    holders = instance.open_holders(session.paths.state)
    for holder in holders:
        holder.close()
    if holders:
        session.output.words("stopping the daemon that runs without systemd; its agents go on")
        daemon_commands.stop_instance(session, "drain")
        session.close()
    return False


def write_file(session: Session, file: File) -> None:
    """Write one file and say so."""
    file.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.path.with_name(f".{file.path.name}.new")
    temporary.unlink(missing_ok=True)
    # With its mode from the first byte on, and never half a file.
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, file.mode), "w") as out:
        out.write(file.text)
    os.replace(temporary, file.path)
    session.output.words(f"wrote {file.path}")


@verb(service, help="Stop the daemon and remove its units. Agents at work go on, tasks stay.")
@click.option("--system", "is_system", is_flag=True, help="The units of the system's manager.")
def uninstall(session: Session, is_system: bool) -> None:
    """Take away what install wrote, and nothing else."""
    made, directory = _installed(session, is_system)
    files = [directory / made.service_name, directory / made.socket_name, Path(made.environment_file)]
    own = [path for path in files if is_own(path)]
    if not own:
        return session.output.words("not installed")
    has_manager = is_manager_there(session, is_user=not is_system)
    if has_manager:
        run_systemctl(session, "disable", "--now", made.socket_name, made.service_name, is_user=not is_system)
    for path in own:
        path.unlink()
        session.output.words(f"removed {path}")
    if has_manager:
        run_systemctl(session, "daemon-reload", is_user=not is_system)
    if not is_system:
        session.output.words(f"to run it without systemd: {session.command('daemon start')}")


def _installed(session: Session, is_system: bool) -> tuple[Service, Path]:
    """The units in question and where they lie, for what does not depend on whose they are."""
    if is_system:
        return service_system.system_service(session, "root"), service_system.UNITS
    return user_service(session), unit_directory(session)


def is_own(path: Path) -> bool:
    """Whether `rmctl service install` wrote it."""
    try:
        return path.read_text(errors="replace").startswith(FIRST_LINE)
    except OSError:
        return False


@verb(service, help="Whether the units are there and run. Exit code 3 when they are not.")
@click.option("--system", "is_system", is_flag=True, help="The units of the system's manager.")
def status(session: Session, is_system: bool) -> None:
    """Show the units as systemd sees them."""
    made, directory = _installed(session, is_system)
    is_installed = is_own(directory / made.service_name)
    has_manager = is_manager_there(session, is_user=not is_system)
    row: dict[str, object] = {"id": made.service_name, "is_installed": is_installed, "has_manager": has_manager}
    if is_installed and has_manager:
        names = ("ActiveState", "UnitFileState", "NRestarts", "StatusText")
        asked = ("show", made.service_name, *(f"--property={name}" for name in names))
        said = ask_systemd(session, *systemctl(is_user=not is_system), *asked)
        found = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        row |= {
            "state": found.get("ActiveState", ""),
            "words": found.get("StatusText", ""),
            "enabled": found.get("UnitFileState", ""),
            "restarts": int(found.get("NRestarts") or 0),
            # The system's manager runs on whoever logs out.
            "linger": "yes" if is_system else read_linger(session),
        }
    session.output.item(row, lambda: _layout(session, row, is_system))
    if row.get("state") != "active":
        session.exit_code = EXIT_CODES[ErrorKind.UNREACHABLE]


def find_unit(session: Session) -> Service | None:
    """The units of this instance, where they are installed and there is a manager that runs them."""
    made = user_service(session)
    is_there = is_own(unit_directory(session) / made.service_name) and is_manager_there(session)
    return made if is_there else None


def _layout(session: Session, row: dict[str, object], is_system: bool) -> str:
    page = Page(session.output)
    if not row["is_installed"]:
        page.title(str(row["id"]), "down", "not installed")
        page.fact("next", session.command("service install" + (" --system ACCOUNT" if is_system else "")))
        return page.done()
    if not row["has_manager"]:
        page.title(str(row["id"]), "down", f"no systemd {_MANAGERS[not is_system]} answers here")
        return page.done()
    page.title(str(row["id"]), str(row["state"]), terminal.one_line(str(row["words"])))
    page.fact("enabled", row["enabled"])
    page.fact("restarts", row["restarts"])
    if not is_system:
        page.fact("linger", row["linger"] if row["linger"] == "yes" else f"{row['linger']}: loginctl enable-linger")
    page.fact("log", f"journalctl {'' if is_system else '--user '}-u {row['id']}")
    return page.done()


_MANAGERS = {True: "user manager", False: "manager of the system"}


def _check_manager(session: Session, *, is_user: bool) -> None:
    if not is_manager_there(session, is_user=is_user):
        raise RingmasterError(
            ErrorKind.UNREACHABLE,
            f"no systemd {_MANAGERS[is_user]} answers here",
            f"without it: {session.command('daemon start')}; the texts: {session.command('service install --dry-run')}",
        )


def systemctl(*, is_user: bool) -> tuple[str, ...]:
    """The command that speaks to the user's manager, or to the system's."""
    return ("systemctl", "--user") if is_user else ("systemctl",)


def is_manager_there(session: Session, *, is_user: bool = True) -> bool:
    """Whether the user's systemd answers, or the system's."""
    return bool(ask_systemd(session, *systemctl(is_user=is_user), "show", "--property=Version", "--value").strip())


def read_linger(session: Session) -> str:
    """`yes` when the user's manager goes on after the last session has ended, `no`, or `unknown`."""
    account = pwd.getpwuid(os.getuid()).pw_name
    return ask_systemd(session, "loginctl", "show-user", account, "--property=Linger", "--value").strip() or "unknown"


def ask_systemd(session: Session, program: str, *args: str) -> str:
    """What a question to systemd is answered with; empty when there is nobody to answer."""
    if shutil.which(program, path=session.environ.get("PATH")) is None:
        return ""
    done = subprocess.run(
        [program, *args], env=dict(session.environ), capture_output=True, text=True, timeout=SYSTEMCTL_S, check=False
    )
    return done.stdout if done.returncode == 0 else ""


def run_systemctl(session: Session, *args: str, is_user: bool = True) -> None:
    """Run one command, which is said first."""
    argv = [*systemctl(is_user=is_user), *args]
    session.output.words("$ " + " ".join(argv))
    done = subprocess.run(
        argv, env=dict(session.environ), capture_output=True, text=True, timeout=SYSTEMCTL_S, check=False
    )
    if done.returncode != 0:
        said = terminal.one_line((done.stderr or done.stdout).strip().partition("\n")[0])
        journal = " ".join((*systemctl(is_user=is_user)[1:], "-u", args[-1]))
        raise RingmasterError(ErrorKind.INTERNAL, f"{' '.join(argv)}: {said or 'it failed'}", f"journalctl {journal}")
