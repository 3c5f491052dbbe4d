"""A daemon as a subreaper: orphans go, nobody else's child does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
# Orphans in plenty, while trio and subprocess wait for children of their own; the session is the daemon's.
DAEMON = """
import os, signal, subprocess, sys, trio
from pathlib import Path
from ringmaster.proc.job import start_job
from ringmaster.proc.reaper import become_subreaper, find_dead_orphans, reap, run_reaper
from ringmaster.proc.shim_procfs import take_snapshot, wait_until_dead
from tests.unit.proc.making import make_shell_spec

def count_dead():
    return sum(s.parent == os.getpid() and s.is_dead for s in take_snapshot())

async def run_git_like(results):
    for code in range(20):
        done = await trio.run_process(["sh", "-c", f"exit {code}"], check=False)
        results.append(done.returncode == code)

async def run_job(directory, results):
    job = await start_job(directory, make_shell_spec("(setsid true &); exit 6"))
    results.append((await job.wait()).code == 6)

async def main():
    become_subreaper()
    results = []
    with subprocess.Popen(["sh", "-c", "exit 3"]) as held:
        os.waitid(os.P_PID, held.pid, os.WEXITED | os.WNOWAIT)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_reaper, 0.0)
            async with trio.open_nursery() as work:
                work.start_soon(run_git_like, results)
                for number in range(8):
                    work.start_soon(run_job, Path(sys.argv[1]) / str(number), results)
                for _ in range(20):
                    await trio.run_process(["sh", "-c", "(setsid sh -c :) & (setsid sh -c : &) ; wait"])
            nursery.cancel_scope.cancel()
        # One dead child of our own is in the way the whole time, and is still there.
        orphan = await trio.run_process(["sh", "-c", "setsid sh -c 'echo $$; read line' < /dev/null &"],
                                        capture_stdout=True)
        pid = int(orphan.stdout)
        while living := [s for s in take_snapshot() if s.parent == os.getpid() and not s.is_dead]:
            wait_until_dead(living, 20)
        found = find_dead_orphans()
        results.append(pid in [stat.pid for stat in found])
        results.append(all(reap(stat) for stat in found))
        results.append(not any(reap(stat) for stat in found))
        results.append(count_dead() == 1)
        # With the grace of real life an owner in time keeps even what looks like an orphan.
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_reaper)
            for code in range(20):
                done = await trio.run_process(["sh", "-c", f"exit {code}"], check=False, start_new_session=True)
                results.append(done.returncode == code)
            nursery.cancel_scope.cancel()
    results.append(held.returncode == 3)
    print(all(results), len(results), [n for n, result in enumerate(results) if not result])

trio.run(main)
"""


def test_orphans_are_reaped_and_other_children_left_to_their_owners(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DAEMON, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        check=False,
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("True 53 []\n", "")


# A job's orphan without a nonce, next to a live job, a child of the daemon's own and its git.
BEREFT = """
import os, signal, subprocess, sys, trio
from pathlib import Path
from ringmaster.proc.identity import is_alive, own_identity, read_identity
from ringmaster.proc.job import start_job
from ringmaster.proc.reaper import become_subreaper
from tests.unit.proc.making import make_shell_spec, read_lines

async def main():
    become_subreaper()
    roots, directory = (own_identity(),), Path(sys.argv[1])
    script = "setsid env -i sh -c 'echo $$; exec sleep 1000' & exec sleep 1000"
    lost = await start_job(directory / "lost", make_shell_spec(script), roots=roots)
    orphan = read_identity(int((await read_lines(lost.stdout, 1))[0]))
    live = await start_job(directory / "live", make_shell_spec("echo up; exec sleep 1000"), roots=roots)
    await read_lines(live.stdout, 1)
    with (
        subprocess.Popen(["sleep", "1000"]) as own,
        subprocess.Popen(["git", "1000"], executable="/bin/sleep", start_new_session=True) as git,
    ):
        os.kill(lost.shim.pid, signal.SIGKILL)
        result = await lost.wait()
        print(type(result).__name__, orphan.pid in result.killed.pids, is_alive(orphan), result.killed.survivors)
        print(is_alive(live.shim), own.poll(), git.poll())
        own.kill()
        git.kill()
    live.cancel(0)
    print((await live.wait()).reason)

trio.run(main)
"""


def test_an_orphan_without_any_mark_is_found_by_descent_and_nothing_else_is_touched(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BEREFT, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        check=False,
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("JobLost True False ()\nTrue None None\ncancelled\n", "")
