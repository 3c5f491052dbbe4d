"""What happens inside the booted system: run by its own unit, it writes what it saw as JSON for the test outside."""

from __future__ import annotations

import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ringmaster
from ringmaster.cli.instance import Process, open_process, open_shims
from ringmaster.client import Client
from tests.fakes.house import git, make_repository, steps, write_step

PROGRAMS = Path(sys.prefix) / "bin"
STATE = Path("/var/lib/ringmaster")
SERVICE, SOCKET = "ringmaster.service", "ringmaster.socket"
LONGEST_S = 60.0


def systemctl(*args: str) -> str:
    """Run it; it must succeed."""
    done = subprocess.run(["systemctl", *args], capture_output=True, text=True, timeout=LONGEST_S, check=False)
    assert done.returncode == 0, (args, done.stdout, done.stderr)
    return done.stdout.strip()


def rmctl(*args: str) -> dict[str, Any]:
    """How a call of a logged-in person ends."""
    environ = {**os.environ, "XDG_RUNTIME_DIR": "/run/user/0"}
    argv = [str(PROGRAMS / "rmctl"), *args]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=LONGEST_S, check=False)
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def call(method: str, **params: Any) -> Any:
    """A call that, where no daemon runs, makes systemd start one."""
    with Client(str(STATE / "ringmaster.sock"), name=str(STATE), timeout_s=LONGEST_S) as client:
        return client.call(method, params)


def read_journal(wanted: str) -> str:
    """The first line of the service's journal with these words, as soon as it is there."""
    argv = ["journalctl", "--follow", "--lines=all", "--output=cat", f"--unit={SERVICE}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as journal:
        assert journal.stdout is not None
        try:
            return next(line.strip() for line in journal.stdout if wanted in line)
        finally:
            journal.kill()


def open_daemon_process() -> Process:
    found = open_process(call("daemon.health")["pid"], None, "daemon")
    assert found is not None
    return found


def is_gone(process: Process, within_s: float) -> bool:
    return bool(select.select([process.pidfd], [], [], within_s)[0])


class Scenario:
    """The steps in their order. seen: what each of them saw."""

    def __init__(self) -> None:
        self.seen: dict[str, Any] = {}
        self.agent = -1
        self.shim: Process
        self.task = ""

    def install_for_the_system(self) -> None:
        """`rmctl service install --system`: written, running at once, and looked at."""
        self.seen["installed"] = {
            "install": rmctl("service", "install", "--system", "root"),
            "status": rmctl("service", "status", "--system", "-o", "json"),
        }

    def start_by_socket(self) -> None:
        systemctl("stop", SERVICE)
        before = systemctl("show", SERVICE, "--property=ActiveState", "--value")
        health = call("daemon.health")
        after = systemctl("show", SERVICE, "--property=ActiveState,StatusText,MainPID")
        words = Path(f"/proc/{health['pid']}/cmdline").read_text().split("\0")
        self.seen["program"] = {
            "argv": words,
            "exe": os.readlink(f"/proc/{health['pid']}/exe"),
            "start": systemctl("show", SERVICE, "--property=ExecStart", "--value").removeprefix("{ "),
            "package": ringmaster.__file__,
            "prefix": sys.prefix,
        }
        self.seen["start"] = {
            "before": before,
            "health": health,
            "after": dict(line.split("=", 1) for line in after.splitlines()),
        }

    def begin_work(self) -> None:
        """A task whose agent waits for a word that comes only after everything else."""
        repository = make_repository(Path.home() / "toy")
        call("project.add", path=str(repository), id="toy", config={"gate": "test -f README"})
        call("worker.spawn", id="w", agent="scripted", project_id="toy")
        go = Path.home() / "go"
        os.mkfifo(go)
        wait = {"do": "fifo", "path": str(go)}
        added = call(
            "task.add", title="Live on", description=steps(wait, write_step("one.txt", "1\n")), project_id="toy"
        )
        self.task = added["view"]["task"]["id"]
        self.agent = os.open(go, os.O_WRONLY)
        [self.shim] = open_shims(STATE / "attempts")

    def reload(self) -> None:
        """New settings are in force, by the same process, and the agent does not notice."""
        with_pid = call("daemon.health")["pid"]
        config = Path(call("daemon.config_check")["path"])
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text("[agents.lately]\nargv = ['true']\n")
        systemctl("reload", SERVICE)
        line = read_journal("settings read again")
        call("worker.spawn", id="late", agent="lately", project_id="toy")
        state = systemctl("show", SERVICE, "--property=ActiveState,SubState", "--value")
        self.seen["reload"] = {
            "before": with_pid,
            "after": call("daemon.health")["pid"],
            "line": line,
            "state": state.split(),
            "is_agent_there": not is_gone(self.shim, 0),
        }

    def reload_the_code(self) -> None:
        """Newer code of a self project: the same process, still watched by systemd, and its children know nothing."""
        config = Path(call("daemon.config_check")["path"])
        config.write_text(config.read_text() + "[self]\nprobation_s = 12.0\nguard_s = 4.0\n")
        systemctl("reload", SERVICE)
        read_journal("from now on self.guard_s")
        own = Path.home() / "own"
        [release] = (STATE / "releases").iterdir()
        shutil.copytree(release, own, ignore=shutil.ignore_patterns("__pycache__"))
        git("init", "-q", "-b", "main", cwd=own)
        git("add", "-A", cwd=own)
        git("commit", "-q", "-m", "The source", cwd=own)
        gate = f"env > {Path.home()}/gate; grep SigBlk /proc/self/status >> {Path.home()}/gate"
        call("project.add", path=str(own), id="own", config={"gate": gate, "is_self": True})
        before, began = call("daemon.status")["cursor"], time.monotonic()
        with_pid, restarts = call("daemon.health")["pid"], systemctl("show", SERVICE, "--property=NRestarts", "--value")
        package = own / "ringmaster" / "__init__.py"
        package.write_text('"""Ringmaster."""\n\n__version__ = "9.9"\n')
        git("commit", "-q", "-a", "-m", "Newer", cwd=own)
        systemctl("reload", SERVICE)
        wanted = ["generation.good", "generation.bad", "generation.put_off"]
        with Client(str(STATE / "ringmaster.sock"), name=str(STATE), timeout_s=LONGEST_S) as client:
            stream = client.stream(
                "events.subscribe", {"after": before, "type": wanted}, resume=lambda event: {"after": event["seq"]}
            )
            ended = next(iter(stream))
        self.seen["code"] = {
            "ended": ended["type"],
            "data": ended["data"],
            "took_s": time.monotonic() - began,
            "version": call("daemon.version")["version"],
            "pids": [with_pid, call("daemon.health")["pid"], int(systemctl("show", SERVICE, "-P", "MainPID"))],
            "restarts": [restarts, systemctl("show", SERVICE, "--property=NRestarts", "--value")],
            "state": systemctl("show", SERVICE, "--property=ActiveState,SubState", "--value").split(),
            "gate": (Path.home() / "gate").read_text().splitlines(),
            "is_agent_there": not is_gone(self.shim, 0),
        }

    def run_out_of_memory(self) -> None:
        """An agent that takes more than the unit has; without a memory controller one that kills itself."""
        group = Path("/sys/fs/cgroup") / systemctl("show", SERVICE, "--property=ControlGroup", "--value").lstrip("/")
        controllers = group / "cgroup.controllers"
        is_limited = controllers.exists() and "memory" in controllers.read_text().split()
        if is_limited:
            systemctl("set-property", "--runtime", SERVICE, "MemoryMax=256M", "MemorySwapMax=0")
        eat = "bytearray(1 << 30)" if is_limited else "import os; os.kill(os.getpid(), 9)"
        argv = [sys.executable, "-c", eat]
        before = call("daemon.health")["pid"]
        call("worker.spawn", id="eater", agent="command", command=argv, project_id="toy")
        task = call("task.add", title="Eat", agent="command", project_id="toy")["view"]["task"]["id"]
        with Client(str(STATE / "ringmaster.sock"), name=str(STATE), timeout_s=LONGEST_S) as client:
            stream = client.stream("events.subscribe", {"after": 0, "task_id": task, "type": ["attempt.ended"]})
            ended = call("attempt.show", id=next(iter(stream))["attempt_id"])
        call("task.cancel", id=task)
        if is_limited:
            systemctl("set-property", "--runtime", SERVICE, "MemoryMax=infinity", "MemorySwapMax=infinity")
        self.seen["memory"] = {
            "is_limited": is_limited,
            "outcome": ended["outcome"],
            "reason": ended["reason"],
            "is_same_daemon": before == call("daemon.health")["pid"],
            "is_agent_there": not is_gone(self.shim, 0),
        }

    def restart(self) -> None:
        daemon = open_daemon_process()
        systemctl("restart", SERVICE)
        self.seen["restart"] = {"is_gone": is_gone(daemon, 0), "is_agent_there": not is_gone(self.shim, 0)}

    def stop_and_start(self) -> None:
        daemon = open_daemon_process()
        systemctl("stop", SOCKET, SERVICE)
        stopped = {"is_gone": is_gone(daemon, 0), "is_agent_there": not is_gone(self.shim, 0)}
        systemctl("start", SOCKET, SERVICE)
        live = call("daemon.health")
        self.seen["stop"] = {**stopped, "state_after": live["state"]}

    def stop_the_loop(self) -> None:
        """The daemon does not turn any more: nobody but the watchdog can tell."""
        daemon = open_daemon_process()
        daemon.send(signal.SIGSTOP)
        is_killed = is_gone(daemon, LONGEST_S)
        after = call("daemon.health")
        restarts = int(systemctl("show", SERVICE, "--property=NRestarts", "--value"))
        self.seen["watchdog"] = {
            "is_killed": is_killed,
            "is_another": after["pid"] != daemon.pid,
            "restarts": restarts,
            "is_agent_there": not is_gone(self.shim, 0),
        }

    def end_work(self) -> None:
        os.close(self.agent)
        call("task.wait", id=self.task, timeout_s=LONGEST_S - 5)
        detail = call("task.show", id=self.task)
        self.seen["work"] = {
            "done_by": detail["view"]["task"]["done_by"],
            "outcomes": [attempt["outcome"] for attempt in detail["attempts"]],
        }

    def uninstall_from_the_system(self) -> None:
        self.seen["uninstalled"] = rmctl("service", "uninstall", "--system")
        self.seen["left"] = sorted(str(path) for path in Path("/etc").rglob("ringmaster*") if path.is_file())

    def install_for_another_account(self) -> None:
        """An account that is not root has the daemon, the state and the socket, and needs root for nothing."""
        shutil.rmtree(STATE)
        subprocess.run(["useradd", "--create-home", "worker"], check=True, capture_output=True)
        person = pwd.getpwnam("worker")
        install = rmctl("service", "install", "--system", "worker")
        asked = subprocess.run(
            [PROGRAMS / "rmctl", "-s", STATE, "health", "-o", "json"],
            user=person.pw_uid,
            group=person.pw_gid,
            extra_groups=[],
            env={"HOME": person.pw_dir, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
        self.seen["account"] = {
            "install": install,
            "uid": person.pw_uid,
            "asked": {"code": asked.returncode, "out": asked.stdout, "err": asked.stderr},
            "owner": (STATE / "ringmaster.sock").stat().st_uid,
            "runs_as": Path(f"/proc/{systemctl('show', SERVICE, '--property=MainPID', '--value')}").stat().st_uid,
        }
        rmctl("service", "uninstall", "--system")

    def install_as_a_person(self) -> None:
        """`rmctl service` at a user's manager: installed, looked at, refused to stop, taken away."""
        systemctl("start", "person.service")
        seen: dict[str, Any] = {"install": rmctl("service", "install")}
        seen["health"] = json.loads(rmctl("health", "-o", "json")["out"])
        daemon = open_process(seen["health"]["pid"], None, "daemon")
        assert daemon is not None
        seen["status"] = rmctl("service", "status", "-o", "json")
        seen["stop"] = rmctl("daemon", "stop")
        seen["uninstall"] = rmctl("service", "uninstall")
        seen["is_gone"] = is_gone(daemon, 0)
        seen["after"] = rmctl("service", "status")
        self.seen["person"] = seen


def main(results: Path) -> int:
    """Run every step; the first that fails ends it, with its words among what was seen."""
    scenario = Scenario()
    order: tuple[Callable[[], None], ...] = (
        scenario.install_for_the_system,
        scenario.start_by_socket,
        scenario.begin_work,
        scenario.reload,
        scenario.reload_the_code,
        scenario.run_out_of_memory,
        scenario.restart,
        scenario.stop_and_start,
        scenario.stop_the_loop,
        scenario.end_work,
        scenario.uninstall_from_the_system,
        scenario.install_for_another_account,
        scenario.install_as_a_person,
    )
    try:
        for step in order:
            step()
    finally:
        journal = subprocess.run(["journalctl", "--no-pager", "-n", "300"], capture_output=True, text=True, check=False)
        (results / "journal").write_text(journal.stdout)
        (results / "seen.json").write_text(json.dumps(scenario.seen))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
