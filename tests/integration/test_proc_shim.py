"""One job under its shim: bytes, limits, and nothing left of its tree."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest
import trio

from ringmaster.proc.identity import is_alive, read_identity
from ringmaster.proc.job import PYTHON, SHIM, start_job
from ringmaster.proc.job_files import ExitReason, JobExit, read_run
from ringmaster.proc.shim_procfs import count_oom_kills, read_count
from ringmaster.proc.tail import read_index
from tests.unit.proc.making import list_bearers, make_shell_spec, make_spec, read_lines

# Killed or stopped by its parent's death or not: each child is started anew at once.
RESPAWNER = """
import os, sys
def keep():
    while True:
        pid = os.fork()
        if pid == 0:
            os.setsid()
            os.execvp("sleep", ["sleep", "1000"])
        os.write(1, b"%d\\n" % pid)
        os.waitpid(pid, 0)
for _ in range(6):
    if os.fork() == 0:
        os.setpgid(0, 0)
        keep()
__import__("signal").pause()
"""


async def run(directory: Path, spec) -> JobExit:
    job = await start_job(directory, spec)
    ended = await job.wait()
    assert isinstance(ended, JobExit)
    return ended


async def test_output_is_exact_and_the_exit_status_known(tmp_path):
    data = os.urandom(3_000_000)
    (tmp_path / "data").write_bytes(data)
    ended = await run(tmp_path / "j", make_shell_spec('cat "$1"; printf abc >&2; exit 3', str(tmp_path / "data")))
    assert (tmp_path / "j/stdout").read_bytes() == data
    assert (tmp_path / "j/stderr").read_bytes() == b"abc"
    assert (ended.reason, ended.code, ended.signal) == (ExitReason.EXITED, 3, None)
    assert (ended.stdout_bytes, ended.stderr_bytes) == (3_000_000, 3)
    assert ended.max_rss_kb > 0
    assert ended.started_at <= ended.ended_at
    last = read_index(tmp_path / "j/index")[-1]
    assert (last.stdout, last.stderr) == (3_000_000, 3)


async def test_child_gets_the_prompt_the_environment_and_nothing_else(tmp_path):
    (tmp_path / "prompt").write_text("do it\n")
    spec = make_spec("/usr/bin/env", env={"A": "ä", "PATH": "/usr/bin:/bin"}, nonce="n1")
    await run(tmp_path / "env", spec)
    assert sorted((tmp_path / "env/stdout").read_text().splitlines()) == ["A=ä", "PATH=/usr/bin:/bin", "RM_NONCE=n1"]
    await run(tmp_path / "j", make_shell_spec("cat; pwd", cwd=str(tmp_path), stdin=str(tmp_path / "prompt")))
    assert (tmp_path / "j/stdout").read_text() == f"do it\n{tmp_path}\n"
    # Not through a shell, which has signals blocked and descriptors open while it starts a program.
    await run(tmp_path / "fd", make_spec("ls", "/proc/self/fd"))
    assert (tmp_path / "fd/stdout").read_text().split() == ["0", "1", "2", "3"], "3 is the directory that it reads"
    await run(tmp_path / "signals", make_spec("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"))
    blocked, ignored = (tmp_path / "signals/stdout").read_text().splitlines()
    assert int(blocked.split()[1], 16) == 0
    # Signals 32 and 33 are glibc's own, which its posix_spawn ignores.
    assert int(ignored.split()[1], 16) & 0x7FFFFFFF == 0


async def test_run_json_names_the_shim_and_the_child(tmp_path):
    job = await start_job(tmp_path / "j", make_shell_spec("echo $$; ps -o sid= -p $$; kill -STOP $$"))
    pid, session = [int(line) for line in await read_lines(job.stdout, 2)]
    running = read_run(tmp_path / "j")
    assert running is not None
    assert running.shim == job.shim
    assert running.child == read_identity(pid)
    assert session == pid, "a signal to the child's session cannot reach the shim"
    job.cancel(0)
    await job.wait()


@pytest.mark.parametrize(
    ("argv", "fields", "words"),
    [
        (["nowhere-to-be-found"], {}, "there is no such program in PATH"),
        (["./nothing"], {}, "there is no such program"),
        (["{tmp}/plain"], {}, "it is not executable"),
        (["{tmp}/orphan"], {}, "the interpreter in its first line does not exist"),
        (["{tmp}/noise"], {}, "neither a binary of this machine"),
        (["true"], {"cwd": "{tmp}/gone"}, "working directory {tmp}/gone does not exist"),
        (["true"], {"stdin": "{tmp}/gone"}, "cannot read {tmp}/gone as stdin"),
        (["true", "x" * 200_000], {}, "too long"),
    ],
)
async def test_what_cannot_be_run_says_why_in_one_line(tmp_path, argv, fields, words):
    (tmp_path / "plain").write_text("hello")
    for name, text in (("orphan", "#!/no/such/interpreter\n"), ("noise", "\x00\x01noise")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)

    def fill(text: str) -> str:
        return text.replace("{tmp}", str(tmp_path))

    spec = make_spec(*map(fill, argv), **{key: fill(value) for key, value in fields.items()})
    ended = await run(tmp_path / "j", spec)
    assert ended.reason is ExitReason.SPAWN_FAILED
    assert ended.code is None
    assert ended.error is not None
    assert fill(words) in ended.error
    assert "\n" not in ended.error
    assert (tmp_path / "j/shim.log").read_text() == ""


async def test_no_descendant_survives(tmp_path):
    script = """
        setsid sh -c 'echo $$; exec sleep 1000' &
        (setsid env -i sh -c 'echo $$; exec sleep 1000' & exit)
        trap "" TERM HUP; (echo $BASHPID; sleep 1000) & read line < "$1"
    """
    os.mkfifo(tmp_path / "go")
    spec = make_spec("bash", "-c", script, "bash", str(tmp_path / "go"))
    job = await start_job(tmp_path / "j", spec)
    found = [read_identity(int(line)) for line in await read_lines(job.stdout, 3)]
    left = [identity for identity in found if identity is not None]
    assert all(is_alive(identity) for identity in left)
    await trio.to_thread.run_sync((tmp_path / "go").write_text, "\n")
    ended = await job.wait()
    assert isinstance(ended, JobExit)
    assert (ended.reason, ended.code) == (ExitReason.EXITED, 0)
    assert len(left) == 3
    assert not any(is_alive(identity) for identity in left)
    assert list_bearers(spec.nonce) == []


async def test_a_tree_that_respawns_itself_is_killed_whole(tmp_path):
    spec = make_spec(PYTHON, "-I", "-S", "-c", RESPAWNER)
    job = await start_job(tmp_path / "j", spec)
    await read_lines(job.stdout, 6)
    job.cancel(0)
    ended = await job.wait()
    assert isinstance(ended, JobExit)
    assert ended.reason is ExitReason.CANCELLED
    assert list_bearers(spec.nonce) == []


async def test_cancel_asks_first_and_waits_for_the_whole_tree(tmp_path):
    script = """(trap 'read line < "$1"; echo saved; exit' TERM; echo up; while :; do sleep 0.01; done) & wait"""
    os.mkfifo(tmp_path / "go")
    job = await start_job(tmp_path / "j", make_shell_spec(script, str(tmp_path / "go")))
    await read_lines(job.stdout, 1)
    child = read_run(tmp_path / "j")
    assert child is not None
    # Opened before, because the child dies at once; what it started still has its grace.
    pidfd = os.pidfd_open(child.child.pid)
    job.cancel(50)
    await trio.lowlevel.wait_readable(pidfd)
    os.close(pidfd)
    await trio.to_thread.run_sync((tmp_path / "go").write_text, "\n")
    ended = await job.wait()
    assert isinstance(ended, JobExit)
    assert (ended.reason, ended.signal) == (ExitReason.CANCELLED, signal.SIGTERM)
    assert (tmp_path / "j/stdout").read_text() == "up\nsaved\n"


async def test_a_child_that_ignores_the_request_is_killed_and_grace_can_be_shortened(tmp_path):
    spec = make_shell_spec("trap '' TERM; echo up; while :; do sleep 1000; done", grace_s=1000.0)
    job = await start_job(tmp_path / "j", spec)
    await read_lines(job.stdout, 1)
    job.cancel()
    job.cancel(0.1)
    ended = await job.wait()
    assert isinstance(ended, JobExit)
    assert (ended.reason, ended.signal) == (ExitReason.CANCELLED, signal.SIGKILL)
    assert list_bearers(spec.nonce) == []


@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        ("exec sleep 1000", {"wall_s": 0.1}, ExitReason.WALL_CLOCK),
        ("while :; do echo x; sleep 0.01; done", {"idle_s": 30.0, "wall_s": 0.1}, ExitReason.WALL_CLOCK),
        ("echo once; exec sleep 1000", {"idle_s": 0.1}, ExitReason.IDLE),
        ("exec yes", {"output_bytes": 100_000}, ExitReason.OUTPUT_FLOOD),
        ("exec yes >&2", {"output_bytes": 100_000}, ExitReason.OUTPUT_FLOOD),
    ],
)
async def test_limits_end_the_tree_and_are_named(tmp_path, script, limits, reason):
    spec = make_shell_spec(script, **limits)
    ended = await run(tmp_path / "j", spec)
    assert ended.reason is reason
    assert ended.signal in (signal.SIGTERM, signal.SIGKILL)
    assert list_bearers(spec.nonce) == []
    if reason is ExitReason.OUTPUT_FLOOD:
        assert ended.stdout_bytes + ended.stderr_bytes >= 100_000


async def test_estop_ends_what_runs_and_lets_nothing_start(tmp_path):
    estop = tmp_path / "ESTOP"
    spec = make_shell_spec("trap '' TERM; echo up; while :; do sleep 1000; done", estop=str(estop), grace_s=1000.0)
    job = await start_job(tmp_path / "running", spec)
    await read_lines(job.stdout, 1)
    estop.touch()
    ended = await job.wait()
    assert isinstance(ended, JobExit)
    assert (ended.reason, ended.signal) == (ExitReason.ESTOP, signal.SIGKILL)
    late = await run(tmp_path / "late", make_shell_spec("echo ran", estop=str(estop)))
    assert (late.reason, late.code, late.stdout_bytes) == (ExitReason.ESTOP, None, 0)


async def test_the_shim_is_deaf_to_what_ends_sessions(tmp_path):
    os.mkfifo(tmp_path / "go")
    job = await start_job(tmp_path / "j", make_shell_spec('echo up; read line < "$1"', str(tmp_path / "go")))
    await read_lines(job.stdout, 1)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGQUIT, signal.SIGUSR1):
        os.kill(job.shim.pid, number)
    await trio.to_thread.run_sync((tmp_path / "go").write_text, "\n")
    ended = await job.wait()
    assert isinstance(ended, JobExit)
    assert (ended.reason, ended.code) == (ExitReason.EXITED, 0)


async def test_a_cancel_before_the_shim_looks_is_not_lost(tmp_path):
    job = await start_job(tmp_path / "j", make_spec("sleep", "1000"))
    job.cancel()
    ended = await job.wait()
    assert isinstance(ended, JobExit)
    assert ended.reason is ExitReason.CANCELLED


def test_a_shim_started_by_hand_takes_the_lock_itself(tmp_path):
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(make_shell_spec("echo hand")))
    argv = [PYTHON, "-I", "-S", str(SHIM), str(tmp_path), "-"]
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (refused.returncode, "already running" in refused.stderr) == (75, True)
    assert not (tmp_path / "run.json").exists()
    assert subprocess.run(argv, check=False).returncode == 0
    assert (tmp_path / "stdout").read_text() == "hand\n"
    assert json.loads((tmp_path / "exit.json").read_text())["code"] == 0


def test_the_outcome_is_written_on_a_full_disk(tmp_path, left_out):
    mount = ["unshare", "-rm", "sh", "-c"]
    room = tmp_path / "small"
    room.mkdir()
    can = shutil.which("unshare") and subprocess.run(
        [*mount, 'mount -t tmpfs none "$0"', str(room)], capture_output=True, check=False
    )
    if not can or can.returncode != 0:
        left_out("disk full", "user namespaces with mounts are not allowed here")
    script = "cat /dev/zero; echo full >&2; exit 4"
    (tmp_path / "spec.json").write_bytes(msgspec.json.encode(make_shell_spec(script)))
    inside = 'mount -t tmpfs -o size=400k none "$0" && cp "$1" "$0" && shift && "$@" && cat "$0/exit.json"'
    argv = [PYTHON, "-I", "-S", str(SHIM), str(room), "-"]
    done = subprocess.run(
        [*mount, inside, str(room), str(tmp_path / "spec.json"), *argv], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["code"] == 4


def test_the_kernels_count_is_read_from_both_its_forms():
    assert read_count(b"low 0\noom 3\noom_kill 2\noom_group_kill 0\n", b"oom_kill ") == 2
    assert read_count(b"pswpin 7\noom_kill 12\n", b"oom_kill ") == 12
    assert read_count(b"", b"oom_kill ") == 0
    assert count_oom_kills() >= 0
