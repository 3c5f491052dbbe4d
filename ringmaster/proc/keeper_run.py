"""What a keeper does. Arguments, answers and environment are in keeper.py's docstring.

Single-threaded and alone with its children, so unlike the daemon it may wait for any child.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple, NoReturn

from ringmaster.proc.instance import (
    KEEPER_VARIABLE,
    LISTENER_VARIABLE,
    LOCK_VARIABLE,
    Held,
    InstanceError,
    claim_instance,
    read_exit_status,
    remove_socket,
    write_holder,
)
from ringmaster.proc.shim_procfs import PR_SET_CHILD_SUBREAPER, call_prctl, read_stat

EXIT_USAGE = 2
EXIT_HELD = 75
FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 30.0
LONG_LIFE_S = 60.0
EARLY_DEATHS = 3
DEATHS_VARIABLE = "RINGMASTER_DEATHS"
LAST_EXIT_VARIABLE = "RINGMASTER_LAST_EXIT"
LOG_BYTES = 16 * 1024 * 1024
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Arguments(NamedTuple):
    """The command line. `adopt` is (pid, start time) of a running daemon."""

    state: Path
    socket: Path
    daemon: list[str]
    adopt: tuple[int, int] | None = None
    lock_fd: int = -1
    listener_fd: int = -1


def parse_arguments(argv: list[str]) -> Arguments:
    """Raises InstanceError with one line for a wrong command line."""
    usage = "usage: keeper.py STATE_DIR --socket PATH [--adopt PID:START_TIME --lock-fd N --listener-fd N] -- DAEMON…"
    options = {"--socket": "", "--adopt": "", "--lock-fd": "-1", "--listener-fd": "-1"}
    if "--" not in argv:
        raise InstanceError(usage)
    split = argv.index("--")
    own, daemon = argv[:split], argv[split + 1 :]
    pairs = dict(zip(own[1::2], own[2::2], strict=False))
    if len(own) % 2 == 0 or not daemon or not own or pairs.keys() - options.keys():
        raise InstanceError(usage)
    options.update(pairs)
    try:
        adopt = tuple(int(part) for part in options["--adopt"].split(":")) if options["--adopt"] else None
        lock_fd, listener_fd = int(options["--lock-fd"]), int(options["--listener-fd"])
    except ValueError:
        raise InstanceError(usage) from None
    if not options["--socket"] or (adopt and (len(adopt) != 2 or min(lock_fd, listener_fd) < 0)):
        raise InstanceError(usage)
    return Arguments(
        Path(own[0]).absolute(),
        Path(options["--socket"]).absolute(),
        daemon,
        (adopt[0], adopt[1]) if adopt else None,
        lock_fd,
        listener_fd,
    )


def back_off(deaths: int) -> float:
    """Seconds to wait before the start after the `deaths`-th early death in a row (from 1)."""
    return float(min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** min(deaths - 1, 20)))


def trusted_argv(state: Path, argv: list[str]) -> list[str]:
    """How to start the daemon after a death: by the stub of the good release, with the words that were named.

    The stub that was named lies where people edit it. As named where there is no good release yet.
    """
    try:
        good = json.loads((state / "boot.json").read_bytes())["good"]
        stub = state / "releases" / good["release"] / "bin" / "ringmasterd"
        is_whole = os.access(good["python"], os.X_OK) and stub.is_file()
    except (OSError, ValueError, KeyError, TypeError):
        return argv
    if not is_whole or "-s" not in argv:
        return argv
    return [good["python"], "-I", os.fspath(stub), *argv[argv.index("-s") :]]


def read_good(state: Path) -> tuple[int, bool]:
    """The generation that boots, 0 for none, and whether one is on trial: then it was that which died, if one did."""
    try:
        record = json.loads((state / "boot.json").read_bytes())
        return int(record["good"]["generation"]), bool(record.get("trial"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0, False


class Keeper:
    """One instance being kept. Both descriptors stay open until the end."""

    def __init__(self, arguments: Arguments, lock_fd: int, listener_fd: int) -> None:
        self.arguments = arguments
        self.lock_fd = lock_fd
        self.listener_fd = listener_fd
        self.log_path = arguments.state / "daemon.log"
        self.pid = self.last_pid = 0
        self.pidfd = -1
        self.code: int | None = None
        self.is_child = True
        self.is_stopping = False
        self.deaths = 0
        self.good = 0
        self.start_time = 0
        self.began = time.monotonic()
        self.wake_read, self.wake_write = socket.socketpair()
        for end in (self.wake_read, self.wake_write):
            end.setblocking(False)
        signal.set_wakeup_fd(self.wake_write.fileno(), warn_on_full_buffer=False)
        for number in HANDLED:
            signal.signal(number, lambda *_: None)

    def say(self, text: str) -> None:
        """One line into the daemon's log; a full disk must not end the keeper."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with contextlib.suppress(OSError):
            fd = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, f"{stamp} keeper {os.getpid()}: {text}\n".encode())
            finally:
                os.close(fd)

    def rotate_log(self) -> None:
        """Keep one older log; only between two daemons, as a running one writes through its descriptor."""
        with contextlib.suppress(OSError):
            if self.log_path.stat().st_size > LOG_BYTES:
                os.replace(self.log_path, self.log_path.with_name("daemon.log.1"))

    def run(self) -> int:
        """Until the daemon ends cleanly or the keeper is told to stop; the keeper's exit code."""
        if self.arguments.adopt is not None:
            self.adopt(*self.arguments.adopt)
        else:
            self.start()
        while True:
            self.wait_for_daemon()
            if self.has_stopped() or self.is_stopping or not self.pause():
                break
            self.start()
        self.say(f"the end; the daemon ended with {self.code}")
        remove_socket(self.arguments.socket, self.listener_fd)
        return 0

    def has_stopped(self) -> bool:
        """Whether it ended as it should. On trial 0 alone is not enough: any code can end a process with it, and a
        stop takes the trial out of the boot record and leaves a record of its own."""
        state = self.arguments.state
        if self.code != 0 or not self.is_child or not read_good(state)[1]:
            return self.code == 0
        return read_exit_status(state, self.last_pid, self.start_time) is not None

    def pause(self) -> bool:
        """Wait as long as the back-off says; False when asked to stop meanwhile."""
        before, (self.good, is_trial) = self.good, read_good(self.arguments.state)
        # The death of a trial, or of another good release, says nothing of the one that is started next.
        is_first = time.monotonic() - self.began >= LONG_LIFE_S or is_trial or self.good != before
        self.deaths = 1 if is_first else self.deaths + 1
        delay_s = back_off(self.deaths)
        self.say(f"the daemon ended with {self.code}; starting it again in {delay_s:g} s")
        if self.deaths == EARLY_DEATHS:
            self.say(f"{EARLY_DEATHS} early deaths in a row: now the good release before this one, if there is one")
        self.wait(delay_s)
        return not self.is_stopping

    def start(self) -> None:
        """Start the daemon as a child; a program that cannot be run counts as an early death."""
        self.rotate_log()
        own = read_stat(os.getpid())
        environment = dict(os.environ)
        environment[LOCK_VARIABLE] = str(self.lock_fd)
        environment[LISTENER_VARIABLE] = str(self.listener_fd)
        environment[KEEPER_VARIABLE] = f"{os.getpid()}:{own.start_time if own else 0}"
        log = os.fspath(self.log_path)
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        # By these the stub names the death of a trial, and gives up a good release that dies and dies.
        for name in (DEATHS_VARIABLE, LAST_EXIT_VARIABLE):
            environment.pop(name, None)
        if self.code is not None:
            environment[DEATHS_VARIABLE], environment[LAST_EXIT_VARIABLE] = str(self.deaths), str(self.code)
        argv = self.arguments.daemon
        if self.deaths % 2:
            # Every other time as named: it can do what a damaged stub cannot, which is to go back.
            argv = trusted_argv(self.arguments.state, argv)
        self.code, self.is_child, self.began = None, True, time.monotonic()
        try:
            self.pid = os.posix_spawnp(
                argv[0],
                argv,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_OPEN, 1, log, append, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                # A session of its own: the daemon's is how its children are told from jobs' orphans.
                setsid=True,
                setsigmask=[],
                setsigdef=[*HANDLED, signal.SIGPIPE, signal.SIGXFSZ],
            )
        except OSError as error:
            self.say(f"cannot run {argv[0]}: {error.strerror}")
            self.code = 127
            return
        self.pidfd = os.pidfd_open(self.pid)
        now = read_stat(self.pid)
        self.start_time = now.start_time if now else 0

    def adopt(self, pid: int, start_time: int) -> None:
        """Take over a running daemon that is not a child. If it is gone its exit record says how it ended."""
        now = read_stat(pid)
        if now is not None and now.start_time == start_time:
            with contextlib.suppress(ProcessLookupError):
                self.pidfd = os.pidfd_open(pid)
                self.pid = pid
        self.is_child = False
        self.start_time = start_time
        if self.pidfd < 0:
            self.code = self.read_code(pid)

    def read_code(self, pid: int) -> int:
        """Exit code of a daemon that is not a child; 1, a crash, when it left no record."""
        code = read_exit_status(self.arguments.state, pid, self.start_time)
        return 1 if code is None else code

    def wait_for_daemon(self) -> None:
        """Until the daemon has ended; `code` then says how. Passes signals on."""
        while self.code is None:
            self.wait(None)
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.last_pid, self.pid, self.pidfd = self.pid, 0, -1

    def wait(self, timeout_s: float | None) -> None:
        """Handle signals, orphans and the daemon's end; for a timeout, until it is over or a stop is asked."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        poller = select.poll()
        poller.register(self.wake_read, select.POLLIN)
        if self.pidfd >= 0:
            poller.register(self.pidfd, select.POLLIN)
        while True:
            left_ms = None if deadline is None else max(0.0, deadline - time.monotonic()) * 1000
            ready = {fd for fd, _ in poller.poll(left_ms)}
            if self.wake_read.fileno() in ready:
                self.take_signals(self.wake_read.recv(4096))
            self.reap()
            if self.pidfd in ready and not self.is_child:
                self.code = self.read_code(self.pid)
            if deadline is None or self.is_stopping or time.monotonic() >= deadline:
                return

    def take_signals(self, numbers: bytes) -> None:
        """TERM and INT stop the instance, HUP is passed on, CHLD has done its work by waking."""
        for number in numbers:
            if number in (signal.SIGTERM, signal.SIGINT):
                self.is_stopping = True
                self.send(signal.SIGTERM)
            elif number == signal.SIGHUP:
                self.send(signal.SIGHUP)

    def send(self, number: int) -> None:
        """To exactly the kept daemon, if it runs."""
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def reap(self) -> None:
        """Every dead child: the daemon, and orphans, since the keeper is a subreaper."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.pid and self.is_child:
                self.code = os.waitstatus_to_exitcode(status)


def main(argv: list[str]) -> int:
    """Fork; the parent prints the child's one line and ends with its verdict."""
    answer_read, answer_write = os.pipe2(os.O_CLOEXEC)
    if os.fork() == 0:
        os.close(answer_read)
        run_in_background(argv, answer_write)
    os.close(answer_write)
    parts = []
    while part := os.read(answer_read, 4096):
        parts.append(part)
    text = b"".join(parts).decode(errors="replace").strip()
    code, _, line = text.partition(" ")
    print(line or "error: the keeper ended without a word", flush=True)
    return int(code) if code.isdigit() else 1


def run_in_background(argv: list[str], answer: int) -> NoReturn:
    """The keeper's own process: claim, answer, detach, keep."""
    code = 1
    try:
        os.setsid()
        try:
            arguments = parse_arguments(argv)
            lock_fd, listener_fd = take_hold(arguments)
        except Held as error:
            tell(answer, EXIT_HELD, f"held by {error.holder}")
            os._exit(EXIT_HELD)
        except InstanceError as error:
            tell(answer, EXIT_USAGE, f"error: {error}")
            os._exit(EXIT_USAGE)
        except OSError as error:
            tell(answer, 1, f"error: {error.strerror}: {error.filename or argv[0]}")
            os._exit(1)
        keeper = Keeper(arguments, lock_fd, listener_fd)
        call_prctl(PR_SET_CHILD_SUBREAPER, 1)
        detach(keeper.log_path)
        own = read_stat(os.getpid())
        tell(answer, 0, f"ready pid={os.getpid()} start_time={own.start_time if own else 0}")
        code = keeper.run()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def take_hold(arguments: Arguments) -> tuple[int, int]:
    """Lock and listener, inheritable: claimed, or the adopted daemon's own."""
    if arguments.adopt is None:
        lock_fd, listener_fd = claim_instance(arguments.state, arguments.socket, "keeper")
    else:
        lock_fd, listener_fd = arguments.lock_fd, arguments.listener_fd
        for fd in (lock_fd, listener_fd):
            os.fstat(fd)
        write_holder(lock_fd, "keeper")
    for fd in (lock_fd, listener_fd):
        os.set_inheritable(fd, True)
    return lock_fd, listener_fd


def tell(answer: int, code: int, line: str) -> None:
    """The one line for whoever started this; it may have gone away."""
    try:
        os.write(answer, f"{code} {line}\n".encode())
    except OSError as error:
        if error.errno != errno.EPIPE:
            raise
    os.close(answer)


def detach(log: Path) -> None:
    """Give back the starter's terminal, pipes and directory; what the keeper itself might say goes to the log."""
    os.chdir("/")
    null = os.open("/dev/null", os.O_RDONLY)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, null), (1, out), (2, out)):
        os.dup2(source, target)
    for fd in (null, out):
        if fd > 2:
            os.close(fd)
