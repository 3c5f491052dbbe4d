"""Gathering: what is read of this machine is what is there."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from ringmaster.doctor import machine
from ringmaster.proc.inotify import open_watcher

MOUNTS = """\
22 28 0:21 / /proc rw,nosuid shared:13 - proc proc rw,hidepid=2
28 1 8:1 / / rw - ext4 /dev/sda1 rw
40 28 0:40 / /home rw - nfs4 server:/home rw
41 40 8:2 / /home/me/my\\040disk rw - xfs /dev/sdb rw
"""


def test_the_kind_of_a_file_system_is_that_of_the_deepest_mount():
    kinds = {
        path: machine.file_system_of(Path(path), MOUNTS)
        for path in ("/", "/homes", "/home/me/x", "/home/me/my disk/state")
    }
    assert kinds == {"/": "ext4", "/homes": "ext4", "/home/me/x": "nfs4", "/home/me/my disk/state": "xfs"}
    assert machine.file_system_of(Path("/x"), "") == ""


def test_hidden_processes_are_seen_by_the_mount():
    assert machine.read_rights(MOUNTS).is_hidden
    assert not machine.read_rights(MOUNTS.replace("hidepid=2", "hidepid=0")).is_hidden
    assert not machine.read_rights("").is_hidden


def test_git_is_the_one_on_the_path(tmp_path):
    assert machine.read_git({"PATH": str(tmp_path)}).program == ""
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\necho git version 9.9\n")
    fake.chmod(0o755)
    found = machine.read_git({"PATH": str(tmp_path)})
    assert (found.program, found.said) == (str(fake), "git version 9.9")


def test_limits_are_this_processes_own():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    try:
        found = machine.read_limits(3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (found.files, found.seats) == (soft - 1, 3)
    assert found.processes_now > 0


def test_a_directory_that_is_not_there_yet_has_the_disk_of_its_parent(tmp_path):
    found = machine.read_disk("state", tmp_path / "not" / "there", 1)
    assert found.path == str(tmp_path)
    assert found.free_bytes > 0


async def test_watches_of_this_process_count(tmp_path):
    before = machine.read_inotify()
    async with open_watcher() as watcher:
        with watcher.watch(tmp_path):
            during = machine.read_inotify()
    assert during.max_instances == before.max_instances > 0
    # Other programs of the user come and go meanwhile, so only what is surely there is asked for.
    assert during.used_instances >= 1
    assert during.used_watches >= 1


def test_modes_and_times_of_files(tmp_path):
    path = tmp_path / "f"
    path.write_text("x")
    path.chmod(0o640)
    found = machine.read_file("it", path, 0o600)
    assert (found.mode, found.is_own, found.wanted) == (0o640, True, 0o600)
    assert machine.read_file("it", tmp_path / "none", 0o600).mode is None
    now = time.time()
    assert abs(machine.read_file_time(tmp_path, now) - now) < 60
    assert machine.read_file_time(tmp_path / "none", 5.0) == 5.0
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_that_an_ended_attempt_left_is_found(tmp_path):
    """By its environment: it may have a new session, and another parent than any of the attempt's."""
    workspaces = tmp_path / "workspaces"
    environ = {**os.environ, "RM_ATTEMPT": "rm-a/1", "RM_WORKSPACE": str(workspaces / "toy" / "rm-a")}
    argv = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(
        argv, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        ended = machine.read_outside(os.environ, workspaces, frozenset())
        live = machine.read_outside(os.environ, workspaces, frozenset({"rm-a/1"}))
        elsewhere = machine.read_outside(os.environ, tmp_path / "other", frozenset())
        process.communicate(b"\n")
    assert [(stray.pid, stray.attempt_id) for stray in ended.strays] == [(process.pid, "rm-a/1")]
    assert live.strays == elsewhere.strays == ()


def test_services_are_those_that_are_there(tmp_path):
    (tmp_path / "tmux").write_text("#!/bin/sh\n")
    (tmp_path / "tmux").chmod(0o755)
    environ = {"PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    assert "tmux" in machine.read_outside(environ, tmp_path, frozenset()).services
    assert "cron" not in machine.read_outside(environ, tmp_path, frozenset()).services
