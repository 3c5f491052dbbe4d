"""`doctor.*` over the socket."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ringmaster.model.errors import ErrorKind
from ringmaster.store import accounts
from ringmaster.store.connection import Connection
from tests.fakes.house import git
from tests.integration.rpc.harness import Table, attempt_caller

LONG_AGO = 1_000_000_000


async def examine(table: Table) -> dict[str, list[Any]]:
    """The findings by their check."""
    found: dict[str, list[Any]] = {}
    for finding in (await table.call("doctor.examine"))["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return found


async def test_a_new_instance_is_well(table: Table):
    found = await examine(table)
    errors = [finding for group in found.values() for finding in group if finding["level"] == "error"]
    assert not errors
    expected = {"settings", "git", "open files", "processes", "disk of state", "inotify", "state directory", "socket"}
    expected |= {"database file", "socket path", "clock", "rights", "outside", "keeper", "database", "projects"}
    assert expected | {"leftovers"} <= set(found)
    assert "Ringmaster <ringmaster@localhost>" in found["git"][0]["words"]
    assert found["clock"][0]["level"] == "ok"
    assert (await table.refusal("doctor.examine", caller=attempt_caller("rm-x/1"))).kind is ErrorKind.PERMISSION
    assert (await table.refusal("doctor.mend", caller=attempt_caller("rm-x/1"))).kind is ErrorKind.PERMISSION


async def test_modes_are_found_and_mended(table: Table):
    table.paths.state.chmod(0o755)
    found = (await examine(table))["state directory"][0]
    assert (found["level"], found["mend"]) == ("warning", f"chmod 700 {table.paths.state}")
    assert f"chmod 700 {table.paths.state}" in (await table.call("doctor.mend"))["done"]
    assert (await examine(table))["state directory"][0]["level"] == "ok"


async def test_agents_with_seats_must_be_there(table: Table):
    await table.call("worker.spawn", agent="scripted")

    def give_seat_an_agent(conn: Connection) -> None:
        conn.execute("UPDATE workers SET agent = 'claude'")

    await table.store.write(give_seat_an_agent)
    path = os.environ["PATH"]
    os.environ["PATH"] = str(table.tmp_path / "bin")
    try:
        assert (await examine(table))["agent claude"][0]["mend"].startswith("npm install")
        (table.tmp_path / "bin").mkdir()
        program = table.tmp_path / "bin" / "claude"
        program.write_text("#!/bin/sh\necho 9.9.9\n")
        program.chmod(0o755)
        [found] = (await examine(table))["agent claude"]
    finally:
        os.environ["PATH"] = path
    assert (found["level"], found["mend"]) == ("error", "claude /login")
    assert found["words"] == f"{program} 9.9.9 has no login; 1 seat has it"


async def test_an_agent_whose_account_rests_is_named(table: Table):
    home = table.tmp_path / "home"
    (home / ".claude").mkdir(parents=True)
    (home / ".claude" / ".credentials.json").write_text("{}")
    (table.tmp_path / "claude").write_text("#!/bin/sh\necho 9.9.9\n")
    (table.tmp_path / "claude").chmod(0o755)
    before = {name: os.environ[name] for name in ("HOME", "PATH")}
    os.environ |= {"HOME": str(home), "PATH": f"{table.tmp_path}:{before['PATH']}"}
    try:
        listed = (await table.call("agent.list"))["agents"]
        account = next(agent["account"] for agent in listed if agent["name"] == "claude")

        def rest(conn: Connection) -> None:
            accounts.note_account(conn, id=account, agent="claude", label="me")
            accounts.pause_account(conn, account, until_at=conn.now + 7300, reason="the weekly limit")

        await table.store.write(rest)
        [found] = (await examine(table))["agent claude"]
    finally:
        os.environ |= before
    assert (found["level"], found["mend"]) == ("warning", "rmctl agent test claude")
    assert "rests for 2 hours: the weekly limit" in found["words"]


async def test_a_repository_that_is_gone_is_an_error(table: Table):
    await table.take_on()
    assert (await examine(table))["projects"][0]["words"] == "1 repository is in place"
    shutil.rmtree(table.tmp_path / "toy")
    found = (await examine(table))["project toy"][0]
    assert found["level"] == "error"
    assert "rmctl project remove toy" in found["mend"]


async def test_what_a_kill_cut_short_is_removed_and_what_may_hold_work_is_not(table: Table):
    stale, fresh = table.paths.state / "trial-old", table.paths.state / "trial-new"
    lost = table.paths.workspaces / "nobody" / "rm-lost"
    for place in (stale, fresh, lost):
        place.mkdir(parents=True)
    (lost / "work").write_text("a night's")
    for place in (stale, lost.parent):
        os.utime(place, (LONG_AGO, LONG_AGO))
    found = (await examine(table))["leftovers"]
    assert {(finding["mend"].partition("  ")[0], finding["is_safe"]) for finding in found} == {
        (f"rm -r {stale}", True),
        (f"ls -la {lost.parent}", False),
    }
    done = (await table.call("doctor.mend", idempotency_key="k"))["done"]
    assert f"removed {stale}" in done
    assert (stale.exists(), fresh.exists(), (lost / "work").exists()) == (False, True, True)
    # A repeat under its key says again what was done, and does nothing.
    stale.mkdir()
    os.utime(stale, (LONG_AGO, LONG_AGO))
    assert (await table.call("doctor.mend", idempotency_key="k"))["done"] == done
    assert stale.exists()


async def test_what_goes_while_it_is_looked_at_is_no_leftover(table: Table, monkeypatch: pytest.MonkeyPatch):
    trial, listed = table.paths.state / "trial-now", Path.glob

    def end_trial(place: Path, pattern: str) -> list[Path]:
        """It is over between the list and the look."""
        return [*listed(place, pattern), *([trial] if pattern == "trial-*" else [])]

    monkeypatch.setattr(Path, "glob", end_trial)
    assert [finding["level"] for finding in (await examine(table))["leftovers"]] == ["ok"]
    assert (await table.call("doctor.mend"))["failed"] == []


async def test_a_process_of_an_ended_attempt_is_named_with_the_command_that_ends_it(table: Table):
    environ = {**os.environ, "RM_ATTEMPT": "rm-gone/1", "RM_WORKSPACE": str(table.paths.workspaces / "toy/rm-gone")}
    argv = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(
        argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = (await examine(table))["outside"]
        done = await table.call("doctor.mend")
        assert process.poll() is None, "to end it is a person's to decide"
        process.communicate(b"\n")
    assert [finding["mend"] for finding in found if finding["level"] == "warning"] == [f"kill {process.pid}"]
    assert done["failed"] == []


async def test_a_job_that_outlived_its_attempt_and_kept_work_that_nobody_knows(table: Table):
    await table.take_on()
    bare = table.paths.repository("toy")
    head = git("rev-parse", "main", cwd=table.tmp_path / "toy")
    git("update-ref", f"refs/ringmaster/keep/rm-gone/2/commits/{head}", head, cwd=bare)
    job = table.paths.attempts / "rm-gone" / "1" / "agent"
    job.mkdir(parents=True)
    (job / "run.json").write_text('{"format": 1, "shim": {"pid": 4194304}}')
    with open(job / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        held = (await examine(table))["leftovers"]
    assert {(finding["level"], finding["mend"]) for finding in held} == {
        ("ok", "rmctl gc"),
        ("warning", "kill 4194304"),
    }
    assert any("rm-gone/2" in finding["words"] for finding in held)
    assert not any("kill" in finding["mend"] for finding in (await examine(table))["leftovers"])


async def test_settings_that_changed_or_broke_are_said(table: Table):
    table.paths.config.write_text("[daemon]\ndrain_s = 77\n")
    assert (await examine(table))["settings"][0]["mend"] == "rmctl daemon restart"
    table.paths.config.write_text("[daemon]\nnonsense = 1\n")
    assert (await examine(table))["settings"][0]["level"] == "error"
    table.paths.config.unlink()
