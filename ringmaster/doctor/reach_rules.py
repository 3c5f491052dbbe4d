"""From what rmctl sees of the daemon from outside to findings. Pure; needs no daemon."""

from __future__ import annotations

import shlex

from ringmaster.doctor.facts import ReachFacts, UnitFacts
from ringmaster.protocol.doctor import Finding


def judge_reach(reach: ReachFacts) -> Finding:
    """Whether the daemon answers, and else why not: the cases have different cures."""
    who = " and ".join(f"{holder.role} {holder.pid}" for holder in reach.holders)
    is_kept = any(holder.role == "keeper" for holder in reach.holders)
    log = f"tail {shlex.quote(reach.log)}"

    def error(words: str, mend: str) -> Finding:
        return Finding(check="daemon", level="error", words=words, mend=mend)

    if reach.answer == "answers":
        return Finding(check="daemon", level="ok", words=f"it answers at {reach.socket}")
    if reach.answer == "none" and who:
        return error(f"there is {who}, but its socket {reach.socket} was deleted", "rmctl daemon restart")
    if reach.answer == "none":
        return error(f"it is not running: no socket at {reach.socket}", "rmctl daemon start")
    if is_kept and len(reach.holders) == 1:
        return error(f"it dies at its start, and its {who} starts it again and again; the log says why", log)
    if reach.answer == "dead":
        return error(f"it has died: nobody answers its socket at {reach.socket}", "rmctl daemon start")
    if reach.answer == "silent":
        words = f"there is {who or 'somebody who listens'}, but no answer comes; the log: {reach.log}"
        return error(words, "rmctl daemon restart")
    return error(reach.answer, "rmctl daemon status")


def judge_holder(reach: ReachFacts) -> Finding:
    """Who has the state, and whether the lock file names somebody who has gone."""
    if reach.holders:
        who = " and ".join(f"{holder.role} {holder.pid}" for holder in reach.holders)
        return Finding(check="lock", level="ok", words=f"held by {who}")
    if reach.named_pid is not None and reach.is_named_gone:
        words = f"free; it names {reach.named_pid}, which has ended (the next start takes it over)"
        return Finding(check="lock", level="ok", words=words)
    return Finding(check="lock", level="ok", words="free")


def judge_versions(reach: ReachFacts) -> Finding:
    """Whether daemon and rmctl are of one version."""
    if reach.protocol and reach.protocol != reach.own_protocol:
        return Finding(
            check="versions",
            level="error",
            words=f"the daemon speaks protocol {reach.protocol}, this rmctl {reach.own_protocol}",
            mend="rmctl daemon restart",
        )
    if reach.version and reach.version != reach.own_version:
        return Finding(
            check="versions",
            level="warning",
            words=f"the daemon is {reach.version}, this rmctl {reach.own_version}",
            mend="rmctl daemon restart",
        )
    return Finding(check="versions", level="ok", words=f"rmctl and the daemon are {reach.own_version}")


def judge_unit(unit: UnitFacts) -> tuple[Finding, ...]:
    """Whether systemd would run what install would write now, and after logging out too."""
    if not unit.is_installed:
        words = "none of yours is installed" if unit.has_manager else "none: no user manager answers here"
        return (Finding(check="unit", level="ok", words=words),)
    found = []

    def warn(words: str, mend: str, *, is_safe: bool = False) -> None:
        found.append(Finding(check="unit", level="warning", words=words, mend=mend, is_safe=is_safe))

    if unit.is_other:
        warn(f"{unit.name} is not what this version would install", "rmctl service install", is_safe=True)
    if unit.environment_mode is not None and unit.environment_mode & 0o077:
        warn("its file of variables, which may hold keys, is readable to others", "rmctl doctor --fix", is_safe=True)
    if not unit.has_manager:
        warn(f"{unit.name} is installed and no user manager answers here: nobody runs it", "systemctl --user status")
    elif unit.enabled not in ("enabled", ""):
        socket = unit.name.removesuffix(".service") + ".socket"
        words = f"{unit.name} is {unit.enabled}: it does not start with your session"
        warn(words, f"systemctl --user enable {socket} {unit.name}")
    if unit.has_manager and unit.linger == "no":
        warn(f"{unit.name} ends when you log out", "loginctl enable-linger")
    words = f"{unit.name} is installed{' and enabled' if unit.enabled == 'enabled' else ''}"
    return tuple(found) or (Finding(check="unit", level="ok", words=words),)


def exit_code(is_reached: bool, findings: tuple[Finding, ...]) -> int:
    """0 when nothing is an error, 3 when no daemon answers, else 1."""
    if not is_reached:
        return 3
    return 1 if any(finding.level == "error" for finding in findings) else 0
