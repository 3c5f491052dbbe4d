"""`rmctl doctor`: everything looked over, each finding with the command that mends it; with or without a daemon."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Mapping
from pathlib import Path

import click

from ringmaster import __version__
from ringmaster.cli import instance, service, terminal
from ringmaster.cli.command import top
from ringmaster.cli.output import Row
from ringmaster.cli.session import Session
from ringmaster.doctor import instance_rules, machine, machine_rules, reach_rules
from ringmaster.doctor.facts import ClockFacts, Holder, ReachFacts, SettingsFacts, UnitFacts
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.codes import PROTOCOL_VERSION
from ringmaster.protocol.doctor import Finding
from ringmaster.settings import Paths
from ringmaster.systemd.units import service_text, socket_text

ANSWER_S = 5.0
LOOK_S = 120.0
"""How long a daemon that answers may look itself over: its database may be large."""
COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


@top("doctor", help="Look everything over; say what is wrong and the command that mends it. Needs no daemon.")
@click.option("--fix", "is_fixing", is_flag=True, help="Do what is safe, and say each thing; work is never touched.")
@click.option("--json", "is_json", is_flag=True, help="The same as -o json.")
def doctor(session: Session, is_fixing: bool, is_json: bool) -> None:
    """Examine, mend where asked to, and end with 0, with 1 for an error, with 3 where no daemon answers."""
    if is_json:
        session.output.kind = session.output.kind or "json"
    reach = look_for_daemon(session)
    is_reached = reach.answer == "answers"
    done = _mend(session, is_reached) if is_fixing else []
    if done:
        reach = look_for_daemon(session)
    unit = look_at_unit(session)
    findings = (
        reach_rules.judge_reach(reach),
        reach_rules.judge_holder(reach),
        *([reach_rules.judge_versions(reach)] if is_reached else []),
        *reach_rules.judge_unit(unit),
        *(_by_daemon(session) if is_reached else _by_itself(session)),
    )
    commands = _commands_of_systemd(session, is_reached, unit)
    shown = [_plain(session, finding, commands) for finding in findings]
    row = {"id": "doctor", "is_reached": is_reached, "findings": shown, "done": done}
    session.output.item(row, lambda: "".join(_lines(session, found) for found in shown))
    session.output.words(_summary(session, shown))
    session.exit_code = reach_rules.exit_code(is_reached, findings)


def _plain(session: Session, finding: Finding, commands: Mapping[str, str]) -> Row:
    import msgspec

    plain: Row = msgspec.to_builtins(finding)
    mend = finding.mend
    for general, special in commands.items():
        mend = mend.replace(general, special)
    return {**plain, "mend": session.with_instance(mend)}


def _commands_of_systemd(session: Session, is_reached: bool, unit: UnitFacts) -> dict[str, str]:
    """What takes the place of rmctl's own commands where systemd starts and stops the daemon."""
    name, ctl = unit.name if unit.is_installed and unit.has_manager else "", "systemctl --user"
    if is_reached:
        health = session.call("daemon.health")
        name = health.get("unit", "")
        ctl = ctl if health.get("is_user_unit") else "sudo systemctl"
    if not name:
        return {}
    both = f"{name.removesuffix('.service')}.socket {name}"
    return {
        "rmctl daemon restart": f"{ctl} restart {name}",
        "rmctl daemon start": f"{ctl} start {both}",
        "systemctl --user edit": f"{ctl} edit",
    }


def _lines(session: Session, found: Row) -> str:
    level = session.output.paint(found["level"].ljust(7), COLOURS[found["level"]])
    text = f"{level}  {terminal.one_line(found['check']):<18}  {terminal.one_line(found['words'])}\n"
    if found["mend"]:
        mend = session.output.paint(terminal.one_line(found["mend"]), "cyan")
        text += f"{'':7}  {'':<18}  -> {mend}\n"
    return text


def _summary(session: Session, shown: list[Row]) -> str:
    counts = [(level, sum(1 for found in shown if found["level"] == level)) for level in ("error", "warning")]
    words = [f"{count} {level}{'s' if count != 1 else ''}" for level, count in counts if count]
    if not words:
        return "all is well"
    is_some_safe = any(found["is_safe"] and found["level"] != "ok" for found in shown)
    hint = f"; some of it is mended by: {session.command('doctor --fix')}" if is_some_safe else ""
    return ", ".join(words) + hint


def look_for_daemon(session: Session) -> ReachFacts:
    """What can be seen of the daemon from outside."""
    path = session.socket_path()
    state = session.paths.state
    holders = instance.open_holders(state)
    for holder in holders:
        holder.close()
    named = instance.read_record(state / "lock") or {}
    pid, start_time = named.get("pid"), named.get("start_time")
    living = instance.open_process(pid, start_time, "") if isinstance(pid, int) else None
    if living is not None:
        living.close()
    answer, version = _ask(session, path)
    return ReachFacts(
        socket=path,
        answer=answer,
        holders=tuple(Holder(role=holder.role, pid=holder.pid) for holder in holders),
        named_pid=pid if isinstance(pid, int) else None,
        is_named_gone=living is None,
        log=str(state / "daemon.log"),
        own_version=__version__,
        own_protocol=PROTOCOL_VERSION,
        version=str(version.get("version", "")),
        protocol=int(version.get("protocol", 0)),
    )


def _ask(session: Session, path: str) -> tuple[str, Row]:
    """How the socket answers, in a word of ReachFacts or in words of its own; and the daemon's version."""
    before, session.timeout_s = session.timeout_s, session.timeout_s or ANSWER_S
    try:
        return "answers", session.call("daemon.version")
    except RingmasterError as error:
        if error.kind is ErrorKind.TIMED_OUT:
            return "silent", {}
        if error.kind is not ErrorKind.UNREACHABLE:
            return error.message, {}
    finally:
        session.timeout_s = before
        session.close()
    return _socket_state(path), {}


def _socket_state(path: str) -> str:
    try:
        is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return "none"
    if not is_socket:
        return f"{path} is no socket: move it away"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            return "silent"
        except ConnectionRefusedError:
            return "dead"
        except OSError as error:
            return f"cannot connect to {path}: {error.strerror}"
    return "silent"


def look_at_unit(session: Session) -> UnitFacts:
    """The user's systemd and the units of this instance."""
    made = service.user_service(session)
    directory = service.unit_directory(session)
    unit = directory / made.service_name
    has_manager = service.is_manager_there(session)
    is_installed = service.is_own(unit)
    enabled = ""
    if is_installed and has_manager:
        asked = ("show", made.service_name, "--property=UnitFileState", "--value")
        enabled = service.ask_systemd(session, "systemctl", "--user", *asked).strip()
    environment = machine.read_file("", Path(made.environment_file), 0o600)
    wanted = {unit: service_text(made), directory / made.socket_name: socket_text(made)}
    return UnitFacts(
        has_manager=has_manager,
        name=made.service_name,
        is_installed=is_installed,
        is_other=is_installed and any(_text(path) != text for path, text in wanted.items()),
        enabled=enabled,
        linger=service.read_linger(session) if is_installed and has_manager else "unknown",
        environment_mode=environment.mode,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _by_daemon(session: Session) -> list[Finding]:
    """What the daemon finds where its own surroundings count."""
    import msgspec

    session.timeout_s = session.timeout_s or LOOK_S
    found = session.call("doctor.examine")["findings"]
    return msgspec.convert(found, list[Finding])


def _by_itself(session: Session) -> list[Finding]:
    """What can be found without a daemon, with rmctl's own PATH."""
    paths = session.paths
    now = time.time()
    settings = _read_settings(paths)
    reserve = _reserve_bytes(paths)
    found = [
        machine_rules.judge_settings(settings),
        machine_rules.judge_git(machine.read_git(session.environ)),
        machine_rules.judge_disk(machine.read_disk("state", paths.state, reserve)),
        machine_rules.judge_inotify(machine.read_inotify()),
        machine_rules.judge_file(machine.read_file("state directory", paths.state, 0o700)),
        machine_rules.judge_file(machine.read_file("database file", paths.database, 0o600)),
        machine_rules.judge_socket_path(str(paths.socket)),
        machine_rules.judge_clock(ClockFacts(now=now, file_at=machine.read_file_time(paths.state, now))),
        machine_rules.judge_rights(machine.read_rights()),
    ]
    return [*found, _judge_database(paths)]


def _read_settings(paths: Paths) -> SettingsFacts:
    from ringmaster.settings import load_settings

    try:
        load_settings(paths.config)
    except RingmasterError as error:
        return SettingsFacts(path=str(paths.config), is_there=True, error=error.message)
    return SettingsFacts(path=str(paths.config), is_there=paths.config.exists())


def _reserve_bytes(paths: Paths) -> int:
    from ringmaster.settings import DaemonSettings, load_settings

    try:
        return load_settings(paths.config).daemon.reserve_bytes
    except RingmasterError:
        return DaemonSettings().reserve_bytes


def _judge_database(paths: Paths) -> Finding:
    import msgspec

    from ringmaster.cli.db import ask_store
    from ringmaster.protocol.database import DatabaseFacts

    if not paths.database.exists():
        return Finding(check="database", level="ok", words=f"there is no {paths.database} yet")
    try:
        found = ask_store("quick-check", str(paths.database))
    except RingmasterError as error:
        return Finding(check="database", level="error", words=error.message, mend=error.hint)
    return instance_rules.judge_database(msgspec.convert(found, DatabaseFacts))


def _mend(session: Session, is_reached: bool) -> list[str]:
    """Do what is safe, each thing said as it is done; what was done, in words."""
    done: list[str] = []
    if is_reached:
        done += _mend_by_daemon(session)
    else:
        done += _mend_modes(session)
    done += _mend_unit(session)
    for words in done:
        session.output.words(f"done: {words}")
    if not done:
        session.output.words("nothing to mend that is safe to mend")
    return done


def _mend_by_daemon(session: Session) -> list[str]:
    from ringmaster.protocol.doctor import MendParams

    mended = session.call("doctor.mend", MendParams(idempotency_key=session.new_key()), is_unbounded=True)
    for words in mended["failed"]:
        session.output.words(f"not done: {words}")
    done: list[str] = mended["done"]
    return done


def _mend_modes(session: Session) -> list[str]:
    """Modes of what the daemon would see to itself, if there were one."""
    done = []
    paths = session.paths
    for path, wanted in ((paths.state, 0o700), (paths.database, 0o600)):
        file = machine.read_file("", path, wanted)
        if file.mode is not None and file.is_own and file.mode & 0o077:
            path.chmod(wanted)
            done.append(f"chmod {wanted:o} {path}")
    return done


def _mend_unit(session: Session) -> list[str]:
    """Bring the units up to date. The daemon that runs goes on; its variables are left as they were recorded."""
    unit = look_at_unit(session)
    made = service.user_service(session)
    done = []
    if unit.environment_mode is not None and unit.environment_mode & 0o077:
        Path(made.environment_file).chmod(0o600)
        done.append(f"chmod 600 {made.environment_file}")
    if unit.is_other:
        directory = service.unit_directory(session)
        for name, text in ((made.service_name, service_text(made)), (made.socket_name, socket_text(made))):
            service.write_file(session, service.File(directory / name, text, text))
        if unit.has_manager:
            service.run_systemctl(session, "daemon-reload")
        done.append(f"{made.service_name} is as this version writes it, from the next start on")
    return done
