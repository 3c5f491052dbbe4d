"""The texts of the units, as a pure function of what they run. A service always comes with its socket."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MARK = "# Written by `rmctl service install`; change it with `{edit}`, a new install writes it again."
ENVIRONMENT_MARK = "# Written by `rmctl service install`; a new install writes it again."

_USER_HARDENING = """\
# Agents run below this unit, so whatever is forbidden here is forbidden to them and to gates.
# No sudo and no other setuid program: nobody watches at night. A gate that needs rootless containers needs this off.
NoNewPrivileges=yes
# Switching to the address layout of old systems only helps exploits.
LockPersonality=yes
# A runaway agent with real-time priority would starve the machine, the daemon with it.
RestrictRealtime=yes
# System calls of other architectures are a way around every filter above.
SystemCallArchitectures=native
# What it writes is nobody else's to read.
UMask=0077
"""

_SYSTEM_HARDENING = """\
# /usr, /boot and /etc are the administrator's. Homes stay writable: repositories lie there.
ProtectSystem=full
# Nothing here is root's business, and no file or setuid program may make it so.
CapabilityBoundingSet=
# No agent needs a kernel module,
ProtectKernelModules=yes
# nor another name for the machine,
ProtectHostname=yes
# nor another time: leases and back-off are counted by it.
ProtectClock=yes
# Of devices the null, random and terminal ones are enough; no disks.
PrivateDevices=yes
# Local sockets, the network that models are reached by, and the queries of resolvers about it; no raw packets.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
# A secret of one session is none of another's.
KeyringMode=private
# Left out on purpose. PrivateTmp: an agent that outlives a restart would see another /tmp than the new daemon.
# ProtectKernelTunables, ProtectKernelLogs, ProtectProc: with parts of /proc covered bubblewrap cannot mount its own.
# RestrictNamespaces: bubblewrap is made of them. MemoryDenyWriteExecute: agents are JavaScript, compiled as it runs.
# ProtectControlGroups: Delegate hands the unit its own part of that tree. RestrictSUIDSGID: shared git
# repositories set the group of their directories by it.
"""


@dataclass(frozen=True, slots=True)
class Service:
    """What one instance's units are made from.

    base: their name without `.service`. argv: the daemon's command line. socket: where clients look.
    environment_file: read at each start, need not be there. account: who runs it under the system's manager;
    empty for a unit of the user's own manager. group: that account's own.
    """

    base: str
    state: str
    argv: tuple[str, ...]
    socket: str
    environment_file: str
    account: str = ""
    group: str = ""

    @property
    def service_name(self) -> str:
        """The service unit's file name."""
        return f"{self.base}.service"

    @property
    def socket_name(self) -> str:
        """The socket unit's file name."""
        return f"{self.base}.socket"


def base_name(state: str) -> str:
    """The name of the units of a state, by its name or path. Two states never share one."""
    if state == "default":
        return "ringmaster"
    if re.fullmatch(r"[A-Za-z0-9_.-]+", state):
        return f"ringmaster-{state}"
    tail = re.sub(r"[^A-Za-z0-9_.-]+", "-", state.rstrip("/").rpartition("/")[2]).strip("-")
    return f"ringmaster-{tail}-{hashlib.sha256(state.encode()).hexdigest()[:8]}"


def quote(word: str) -> str:
    """A word of a command line of which systemd expands and splits nothing."""
    word = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[A-Za-z0-9_@%+=:,./$-]+", word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def command_line(argv: Sequence[str]) -> str:
    """An `ExecStart=` value."""
    return " ".join(quote(word) for word in argv)


def _mark(service: Service) -> str:
    return MARK.format(edit="systemctl edit" if service.account else "systemctl --user edit")


def service_text(service: Service) -> str:
    """The service unit."""
    scope = "system" if service.account else "user"
    target = "multi-user.target" if service.account else "default.target"
    identity = f"User={service.account}\n" if service.account else ""
    hardening = _USER_HARDENING + (_SYSTEM_HARDENING if service.account else "")
    return f"""\
{_mark(service)}
[Unit]
Description=Ringmaster, coding agents over a queue of tasks ({_plain(service.state)})
# The socket is there before the daemon and stays when it goes: a call made during a restart waits instead of failing.
Requires={service.socket_name}
After={service.socket_name}
# A cause that passes, such as a full disk or a broken settings file, must not need a person to start it again.
StartLimitIntervalSec=0

[Service]
{identity}# Started is when it has recovered and serves, as it says itself.
Type=notify
NotifyAccess=main
ExecStart={command_line(service.argv)}
ExecReload=/bin/kill -HUP $MAINPID
# Starting is recovering, so every end is answered by a start, except the one that systemctl asked for.
Restart=always
RestartSec=2
# The first start with new code may bring a large database up to date.
TimeoutStartSec=10min
TimeoutStopSec=60
# The loop itself answers. One that does not turn is killed: nothing is lost by that, and agents do not notice.
WatchdogSec=30
WatchdogSignal=SIGKILL
# Only the daemon is stopped: agents go on, and the next start takes them up.
KillMode=process
# What runs below is the daemon's to order, and is not a leftover for systemd to clear away.
Delegate=yes
# An agent that ran out of memory has failed; the daemon and the other agents have not.
OOMPolicy=continue
Environment=RINGMASTER_UNIT={scope}:%n
EnvironmentFile=-{_plain(service.environment_file)}
{hardening}
[Install]
WantedBy={target}
Also={service.socket_name}
"""


def socket_text(service: Service) -> str:
    """The socket unit."""
    group = service.group or service.account
    owner = f"SocketUser={service.account}\nSocketGroup={group}\n" if service.account else ""
    directory = service.socket.rpartition("/")[0]
    made = (
        f"# The account must reach the socket before the first start.\nExecStartPre=/usr/bin/install -d -m 0700 "
        f"-o {service.account} -g {group} {quote(directory)}\n"
        if service.account
        else ""
    )
    return f"""\
{_mark(service)}
[Unit]
Description=Socket of Ringmaster ({_plain(service.state)})

[Socket]
ListenStream={_plain(service.socket)}
FileDescriptorName=rpc
# Who may connect may run commands as this account.
SocketMode=0600
DirectoryMode=0700
{owner}{made}
[Install]
WantedBy=sockets.target
"""


def environment_text(variables: Mapping[str, str]) -> str:
    """The environment file: a variable a line, values quoted as systemd reads them."""
    lines = [ENVIRONMENT_MARK]
    for name, value in variables.items():
        quoted = re.sub(r'([\\"$`])', r"\\\1", value)
        lines.append(f'{name}="{quoted}"')
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """A value that is not split into words, but in which percent signs would be expanded."""
    return text.replace("%", "%%")
