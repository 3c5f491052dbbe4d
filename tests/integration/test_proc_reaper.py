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
from ringmaster.proc.reaper import become_subreaper, reap_orphans, run_reaper
from ringmaster.proc.shim_procfs import take_snapshot
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
            nursery.start_soon(run_reaper)
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
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        results.append(pid in reap_orphans())
        results.append(count_dead() == 1)
    results.append(held.returncode == 3)
    print(all(results), len(results))

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
    assert (done.stdout, done.stderr) == ("True 31\n", "")
