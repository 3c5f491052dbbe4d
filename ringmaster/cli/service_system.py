"""The daemon as a unit of the system's manager, for an account: written by root, run as that account."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

from ringmaster.cli import daemon as daemon_commands
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.systemd.units import Service

SYSTEM_STATE = "/var/lib/ringmaster"
UNITS = Path("/etc/systemd/system")
ENVIRONMENT_FILE = "/etc/ringmaster.env"


def system_service(session: Session, account: str) -> Service:
    """The units for an account. One that is not known here, as in a dry run for elsewhere, has a group of its name.

    Raises:
        RingmasterError: USAGE for a name that no unit can hold.
    """
    if not account.replace("-", "").replace("_", "").isalnum() or not account.isascii():
        raise RingmasterError(ErrorKind.USAGE, f"{account!r} is no name of an account", "--system ACCOUNT")
    program = daemon_commands.daemon_argv(session)[:-1]
    return Service(
        base="ringmaster",
        state=SYSTEM_STATE,
        argv=(*program, SYSTEM_STATE),
        socket=f"{SYSTEM_STATE}/ringmaster.sock",
        environment_file=ENVIRONMENT_FILE,
        account=account,
        group=group_of(account),
    )


def group_of(account: str) -> str:
    """The name of an account's own group; that of the account where it is not known."""
    try:
        return grp.getgrgid(pwd.getpwnam(account).pw_gid).gr_name
    except KeyError:
        return account


def check_can_install(service: Service) -> None:
    """Refuse what the system's manager could not run.

    Raises:
        RingmasterError: USAGE for an account that is not there, PERMISSION for who is not root, REFUSED for a program
            that the account cannot reach.
    """
    try:
        person = pwd.getpwnam(service.account)
    except KeyError:
        hint = f"make it: useradd --create-home {service.account}; the texts alone: --dry-run"
        raise RingmasterError(ErrorKind.USAGE, f"there is no account {service.account!r} here", hint) from None
    if os.geteuid() != 0:
        raise RingmasterError(
            ErrorKind.PERMISSION, "units of the system are root's to write", "with sudo, or --dry-run"
        )
    groups = os.getgrouplist(person.pw_name, person.pw_gid)
    closed = find_closed(Path(service.argv[0]), person.pw_uid, groups)
    if closed is not None:
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"{service.account} could not run {service.argv[0]}: {closed} is closed to it",
            "install Ringmaster where every account can read it, such as /opt or /usr/local",
        )


def find_closed(program: Path, uid: int, groups: list[int]) -> Path | None:
    """The first directory on the way to a program, or the program itself, that a user may not enter or run."""
    if uid == 0:
        return None
    for path in (*reversed(program.parents), program):
        found = path.stat()
        bit = 0o100 if found.st_uid == uid else 0o010 if found.st_gid in groups else 0o001
        if not found.st_mode & bit:
            return path
    return None
