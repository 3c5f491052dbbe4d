"""Which processes are taken for a lost job's leftovers, and that they die."""

from __future__ import annotations

import os
import subprocess
from subprocess import PIPE

import trio

from ringmaster.proc import identity, tree
from ringmaster.proc.identity import ProcessIdentity
from ringmaster.proc.inotify import open_watcher
from ringmaster.proc.job import Job, start_job
from ringmaster.proc.job_files import read_run
from ringmaster.proc.shim_procfs import read_small, select_descendants
from ringmaster.proc.tree import choose_by_descent, choose_by_nonce, kill_leftovers
from tests.unit.proc.making import make_spec
from tests.unit.proc.test_identity import make_stat


def make_root(pid: int) -> ProcessIdentity:
    return ProcessIdentity(pid, pid * 10, "boot")


def test_orphans_of_jobs_are_told_from_the_daemons_own_children(monkeypatch):
    monkeypatch.setattr(tree, "is_own_program", lambda pid: pid == 160)
    keeper, daemon = make_stat(50, 1, session=50), make_stat(100, 50, session=100)
    snapshot = [
        make_stat(1, 0),
        keeper,
        daemon,
        make_stat(110, 100, session=100),  # git
        make_stat(111, 110, session=100),
        make_stat(120, 100, session=120),  # a live shim and its job
        make_stat(121, 120, session=121),
        make_stat(130, 100, session=7),  # orphans of a dead shim, under the daemon and the keeper
        make_stat(131, 130, session=131),
        make_stat(140, 50, session=7),
        make_stat(150, 100, session=150, state=b"Z"),
        make_stat(160, 100, session=160),  # a shim that is just starting
        make_stat(161, 160, session=161),
        make_stat(170, 1, session=170),  # nobody's
    ]
    roots = [make_root(100), make_root(50)]
    chosen = choose_by_descent(snapshot, roots, {(120, 1200)})
    assert sorted(stat.pid for stat in chosen) == [130, 131, 140]
    assert choose_by_descent(snapshot, [ProcessIdentity(100, 5, "boot")]) == [], "a reused pid is no root"


async def test_daemons_own_programs_are_known_by_their_command_line(tmp_path):
    job = await start_job(tmp_path / "j", make_spec("sleep", "1000"))
    await wait_for_exec(job)
    assert tree.is_own_program(job.shim.pid)
    job.cancel(0)
    await job.wait()
    for name, is_own in (("/usr/bin/git", True), ("gitk", False)):
        argv = [name, "-c", "echo; read line"]
        with subprocess.Popen(argv, executable="/bin/sh", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdin is not None
            child.stdout.readline()
            assert tree.is_own_program(child.pid) is is_own
            child.stdin.close()
    assert not tree.is_own_program(os.getpid())


async def wait_for_exec(job: Job) -> None:
    """Until run.json is there: then the shim is past its own exec."""
    async with open_watcher() as watcher:
        with watcher.watch(job.directory) as changes:
            while read_run(job.directory) is None:
                await changes.wait()


def test_descendants_are_found_through_dead_ones_and_without_the_root():
    snapshot = [make_stat(2, 1), make_stat(3, 2, state=b"Z"), make_stat(4, 3), make_stat(5, 1)]
    assert [stat.pid for stat in select_descendants(snapshot, 2)] == [4]


async def test_leftovers_are_killed_by_nonce_wherever_they_went(nonce):
    script = "setsid sh -c '(sleep 1000 & echo $!; wait) & wait' & exit"
    with subprocess.Popen(
        ["sh", "-c", script], stdout=subprocess.PIPE, env=os.environ | {"RM_NONCE": nonce}
    ) as starter:
        assert starter.stdout is not None
        sleeper = int(starter.stdout.readline())
    killed = await trio.to_thread.run_sync(kill_leftovers, nonce)
    assert sleeper in killed.pids
    assert len(killed.pids) == 3
    assert killed.survivors == ()
    assert kill_leftovers(nonce) == tree.Killed()
    assert kill_leftovers("") == tree.Killed(), "no nonce means nobody, not everybody"


async def test_one_in_the_middle_of_its_exec_is_waited_for(nonce, monkeypatch):
    """What /proc tells of it then was seen of processes that exec without end under SCHED_IDLE on a busy machine."""
    looks = 0

    def read_small_in_exec(path: str) -> bytes | None:
        nonlocal looks
        text = read_small(path)
        if looks < 10 and path == f"/proc/{sleeper.pid}/environ":
            looks += 1
            return b""
        if looks < 10 and path == f"/proc/{sleeper.pid}/stat" and text:
            head, name, fields = text.rpartition(b") ")
            return head + name + b" ".join([*fields.split()[:48], b"0", b"0"])
        return text

    environment = os.environ | {"RM_NONCE": nonce}
    with subprocess.Popen(["sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE, env=environment) as sleeper:
        assert sleeper.stdout is not None
        sleeper.stdout.readline()
        monkeypatch.setattr(tree, "read_small", read_small_in_exec)
        monkeypatch.setattr(identity, "read_small", read_small_in_exec)
        assert tree.carries_nonce(sleeper.pid, nonce) is None
        killed = await trio.to_thread.run_sync(kill_leftovers, nonce)
        sleeper.kill()  # or it would be waited for without end where this fails
    assert killed == tree.Killed((sleeper.pid,))


def test_one_without_an_environment_is_not_waited_for():
    with subprocess.Popen(["/bin/sh", "-c", "echo; read line"], env={}, stdin=PIPE, stdout=PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert tree.carries_nonce(child.pid, "any") is False
        child.communicate()


def test_oneself_is_never_chosen(nonce, monkeypatch):
    own = make_stat(os.getpid())
    monkeypatch.setattr(tree, "read_nonce", lambda pid: nonce)
    assert choose_by_nonce([own, make_stat(7)], nonce)[0].pid == 7
