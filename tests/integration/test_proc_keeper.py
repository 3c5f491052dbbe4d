"""The keeper with real daemons: small programs on its listener that die in all ways."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ringmaster.proc.identity import ProcessIdentity, current_boot_id, is_alive
from ringmaster.proc.instance import claim_instance, read_holder
from ringmaster.proc.job import PYTHON
from ringmaster.proc.keeper_run import LONGEST_DELAY_S, back_off
from ringmaster.proc.keeper_start import KEEPER

CHECKOUT = Path(__file__).parents[2]
# Answers each connection by what it is told: who it is, a clean end, a new keeper.
DAEMON = """
import os, signal, socket, sys, trio
from pathlib import Path
from ringmaster.proc.instance import write_exit_status
from ringmaster.proc.keeper_start import keeper_from_environment, start_adopting_keeper
from ringmaster.proc.reaper import become_subreaper
state, path, lock = Path(sys.argv[1]), Path(sys.argv[2]), int(os.environ["RINGMASTER_LOCK_FD"])
listener = socket.socket(fileno=int(os.environ["RINGMASTER_LISTENER_FD"]))
def end(*_):
    write_exit_status(state, 0)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
become_subreaper()
while True:
    connection, _ = listener.accept()
    with connection:
        word = connection.recv(100)
        if word == b"keeper":
            argv = [sys.executable, *sys.orig_argv[1:]]
            new = trio.run(start_adopting_keeper, state, path, lock, listener.fileno(), argv)
            connection.send(f"{new.pid} {new.start_time}".encode())
        elif word == b"end":
            end()
        else:
            connection.send(f"{os.getpid()} {os.getsid(0)} {keeper_from_environment().pid}".encode())
"""


class Instance:
    """A state directory with a keeper to be."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.socket = state / "rm.sock"
        self.keepers: list[ProcessIdentity] = []

    def command(self, *daemon: str) -> list[str]:
        return [PYTHON, "-I", "-S", str(KEEPER), str(self.state), "--socket", str(self.socket), "--", *daemon]

    def start(self, *daemon: str) -> ProcessIdentity:
        """Start a keeper and return it; its answer must be `ready`."""
        done = subprocess.run(
            self.command(*daemon), stdout=subprocess.PIPE, text=True, check=False, cwd=CHECKOUT, timeout=30
        )
        assert done.returncode == 0, done.stdout
        return self.note(done.stdout)

    def start_daemon(self) -> ProcessIdentity:
        """Start a keeper with the daemon of this file."""
        code = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r})\n{DAEMON}"
        return self.start(sys.executable, "-c", code, str(self.state), str(self.socket))

    def note(self, answer: str) -> ProcessIdentity:
        fields = dict(word.split("=") for word in answer.split()[1:])
        keeper = ProcessIdentity(int(fields["pid"]), int(fields["start_time"]), current_boot_id())
        self.keepers.append(keeper)
        return keeper

    def ask(self, word: str = "who") -> list[int]:
        """Say a word to the daemon on a new connection and return the numbers it answers."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(self.socket))
            client.send(word.encode())
            return [int(number) for number in client.recv(100).split()]

    def log(self) -> str:
        return (self.state / "daemon.log").read_text()


def wait_until_gone(pid: int) -> None:
    """Wait for the end of a process that need not be a child."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(pidfd):
        assert select.select([pidfd], [], [], 30)[0], f"{pid} is still there"


def kill(pid: int) -> None:
    """Kill a process and wait until it is dead: a dying one may still take a connection along."""
    pidfd = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    with os.fdopen(pidfd):
        assert select.select([pidfd], [], [], 30)[0]


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    made = Instance(tmp_path / "s")
    yield made
    for keeper in made.keepers:
        if is_alive(keeper):
            os.kill(keeper.pid, signal.SIGTERM)
            wait_until_gone(keeper.pid)


def test_delays_double_up_to_a_bound():
    assert [back_off(deaths) for deaths in (1, 2, 3, 4)] == [0.1, 0.2, 0.4, 0.8]
    assert back_off(10) == back_off(10_000) == LONGEST_DELAY_S


def test_a_daemon_that_dies_is_started_again_until_it_ends_cleanly(instance):
    # The number of bytes in `lives` is that of starts; the fourth ends with 0.
    script = 'cd "$1"; printf x >> lives; echo "life $(cat lives)"; [ $(wc -c < lives) = 4 ] || exit 9'
    keeper = instance.start("sh", "-c", script, "sh", str(instance.state))
    wait_until_gone(keeper.pid)
    log = instance.log()
    assert (instance.state / "lives").read_text() == "xxxx"
    assert [line for line in log.splitlines() if line.startswith("life")] == [f"life {'x' * n}" for n in range(1, 5)]
    assert [f"in {delay} s" in log for delay in ("0.1", "0.2", "0.4", "0.8")] == [True, True, True, False]
    assert "3 early deaths in a row" in log
    assert not instance.socket.exists()


def test_a_killed_daemon_is_replaced_on_the_same_listener(instance):
    keeper = instance.start_daemon()
    assert oct(instance.socket.stat().st_mode & 0o777) == "0o600"
    pid, session, kept_by = instance.ask()
    assert session == pid, "jobs' orphans are told from the daemon's children by its session"
    assert kept_by == keeper.pid
    kill(pid)
    # At once: the listener is the keeper's and never refuses.
    assert instance.ask()[0] != pid
    os.kill(keeper.pid, signal.SIGTERM)
    wait_until_gone(keeper.pid)
    assert not instance.socket.exists()
    assert read_holder(instance.state) is None
    claim = claim_instance(instance.state, instance.socket, "daemon")
    for fd in claim:
        os.close(fd)


def test_a_stop_during_the_pause_ends_the_keeper(instance):
    keeper = instance.start("/no/such/daemon")
    os.kill(keeper.pid, signal.SIGTERM)
    wait_until_gone(keeper.pid)
    assert "cannot run /no/such/daemon: No such file or directory" in instance.log()


def test_of_eight_at_once_one_wins_and_the_others_name_it(instance):
    instance.state.mkdir()
    starts = [subprocess.Popen(instance.command("sleep", "1000"), stdout=subprocess.PIPE, text=True) for _ in range(8)]
    answers = [(start.communicate(timeout=30)[0], start.returncode) for start in starts]
    winners = [text for text, code in answers if code == 0]
    assert [text.split()[0] for text in winners] == ["ready"]
    keeper = instance.note(winners[0])
    losers = [text for text, code in answers if code != 0]
    assert [code for _, code in answers].count(75) == 7
    assert set(losers) == {f"held by keeper {keeper.pid}\n"}


def test_orphans_of_the_daemon_are_reaped(instance):
    os.mkdir(instance.state)
    for name in ("pids", "go"):
        os.mkfifo(instance.state / name)
    script = 'cd "$1"; (setsid sh -c "echo \\$\\$ $$ > pids; read line < go" &) ; exec sleep 1000'
    instance.start("sh", "-c", script, "sh", str(instance.state))

    def end_orphan() -> tuple[int, int]:
        orphan, daemon = [int(word) for word in (instance.state / "pids").read_text().split()]
        assert Path(f"/proc/{orphan}").exists()
        (instance.state / "go").write_text("on\n")
        wait_until_gone(orphan)
        return orphan, daemon

    first, daemon = end_orphan()
    os.kill(daemon, signal.SIGKILL)
    end_orphan()
    # The keeper started the second daemon after it had collected all that was dead.
    assert not Path(f"/proc/{first}").exists()


@pytest.mark.parametrize("is_clean", [True, False])
def test_a_daemon_whose_keeper_died_gets_another(instance, is_clean):
    first = instance.start_daemon()
    daemon = instance.ask()[0]
    kill(first.pid)
    assert instance.ask()[0] == daemon
    pid, start_time = instance.ask("keeper")
    second = instance.note(f"ready pid={pid} start_time={start_time}")
    assert is_alive(second)
    holder = read_holder(instance.state)
    assert holder is not None
    assert (holder["role"], holder["pid"]) == ("keeper", pid)
    if is_clean:
        instance.ask("end")
        wait_until_gone(pid)
        assert not instance.socket.exists()
        assert json.loads((instance.state / "daemon.exit").read_text())["code"] == 0
    else:
        kill(daemon)
        new, _, kept_by = instance.ask()
        assert new != daemon
        assert kept_by == pid


def refuse(instance: Instance, *, code: int = 2) -> str:
    """The one line with which a keeper refuses to start."""
    done = subprocess.run(
        instance.command("true"), capture_output=True, text=True, check=False, cwd=CHECKOUT, timeout=30
    )
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (code, "", 1)
    return done.stdout


def test_a_dead_daemons_socket_is_removed_and_anything_else_is_not(instance, tmp_path):
    instance.state.mkdir()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(instance.socket))
        other.listen()
        assert "another daemon, with another state directory, listens" in refuse(instance)
        assert instance.socket.exists()
    keeper = instance.start("sleep", "1000")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(instance.socket))
    os.kill(keeper.pid, signal.SIGTERM)
    wait_until_gone(keeper.pid)
    instance.socket.write_text("precious")
    assert "is not a socket" in refuse(instance)
    assert instance.socket.read_text() == "precious"


def test_bad_arguments_and_long_paths_are_refused_in_one_line(instance):
    done = subprocess.run([PYTHON, "-I", "-S", KEEPER, "x"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.startswith("error: usage:")) == (2, True)
    instance.socket = instance.state / ("x" * 107)
    assert f"{len(str(instance.socket))} bytes and may have 107" in refuse(instance)
    assert not instance.state.exists(), "a refused start changes nothing"
