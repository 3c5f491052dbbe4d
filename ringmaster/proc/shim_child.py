"""How the shim starts its child: checked first, held on a pipe until its identity is on disk."""

from __future__ import annotations

import errno
import os

from ringmaster.proc.shim_procfs import PR_SET_PDEATHSIG, call_prctl

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any, NoReturn
else:
    import _signal as signal

NONCE_VARIABLE = "RM_NONCE"
# Python ignores the first two; the shim ignores the others. A child must find all as they are.
RESET_SIGNALS = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGTSTP,
    signal.SIGTTIN,
    signal.SIGTTOU,
)


class SpawnError(Exception):
    """The child cannot be started; the text is the one line that a user reads."""


def encode(text: str) -> bytes:
    """UTF-8 whatever the locale says, undecodable bytes as they were."""
    return text.encode("utf-8", "surrogateescape")


def find_program(spec: dict[str, Any]) -> str:
    """Path of the program of `spec`, by the PATH of the child, not of the shim. Raises SpawnError."""
    cwd: str = spec["cwd"]
    name: str = spec["argv"][0]
    if not os.path.isdir(cwd):
        raise SpawnError(f"the working directory {cwd} does not exist")
    if "/" in name:
        candidates = [os.path.join(cwd, name)]
    else:
        path = spec["env"].get("PATH", os.defpath)
        candidates = [os.path.join(cwd, folder, name) for folder in path.split(":")]
    found = ""
    for candidate in candidates:
        if os.path.isfile(candidate):
            if os.access(candidate, os.X_OK):
                return candidate
            found = found or candidate
    if found:
        raise SpawnError(f"cannot run {found}: it is not executable")
    raise SpawnError(f"cannot run {name}: there is no such program" + ("" if "/" in name else " in PATH"))


def say_exec_error(spec: dict[str, Any], program: str, number: int) -> str:
    """One line for an errno of chdir or execve in the child."""
    if number == errno.ENOENT:
        return f"cannot run {program}: the interpreter in its first line does not exist"
    if number == errno.ENOEXEC:
        return f"cannot run {program}: it is neither a binary of this machine nor starts with #!"
    if number == errno.E2BIG:
        return f"cannot run {program}: arguments and environment are too long"
    return f"cannot run {program} in {spec['cwd']}: {os.strerror(number)}"


class HeldChild:
    """A child that exists, in a session of its own, and has not yet run: `release` lets it exec.

    If the shim dies before that, the pipe's end of file makes the child exit without running.
    """

    def __init__(self, spec: dict[str, Any], lock_fd: int, stdout: int, stderr: int) -> None:
        self._spec = spec
        self._program = find_program(spec)
        try:
            stdin = os.open(spec.get("stdin") or "/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SpawnError(f"cannot read {spec['stdin']} as stdin: {error.strerror}") from None
        hold_read, self._hold = os.pipe2(os.O_CLOEXEC)
        self._errors, errors_write = os.pipe2(os.O_CLOEXEC)
        try:
            self.pid = os.fork()
        except OSError as error:
            raise SpawnError(f"cannot start a process: {error.strerror}") from None
        if self.pid == 0:
            # The child must hold neither the lock nor the other end of its own pipe.
            os.close(lock_fd)
            os.close(self._hold)
            run_child(spec, self._program, hold_read, errors_write, (stdin, stdout, stderr))
        for fd in (hold_read, errors_write, stdin):
            os.close(fd)

    def release(self) -> None:
        """Let the child exec and wait until it has. Raises SpawnError when it could not."""
        os.write(self._hold, b"1")
        os.close(self._hold)
        answer = os.read(self._errors, 16)
        os.close(self._errors)
        if answer:
            raise SpawnError(say_exec_error(self._spec, self._program, int(answer)))


def run_child(spec: dict[str, Any], program: str, hold: int, errors: int, stdio: tuple[int, int, int]) -> NoReturn:
    """The child's side between fork and exec."""
    try:
        # Its own session: nothing that it sends to its group or session can reach the shim.
        os.setsid()
        # Without a shim there are no limits, so the child goes with it at once; what it has started
        # is found by whoever finds the job lost.
        call_prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if not os.read(hold, 1):
            os._exit(127)
        os.chdir(encode(spec["cwd"]))
        for target, source in enumerate(stdio):
            os.dup2(source, target)
        for number in RESET_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        env = {encode(key): encode(value) for key, value in spec["env"].items()}
        env[encode(NONCE_VARIABLE)] = encode(spec["nonce"])
        os.execve(encode(program), [encode(argument) for argument in spec["argv"]], env)
    except OSError as error:
        os.write(errors, str(error.errno or errno.EIO).encode())
    except ValueError:
        os.write(errors, str(errno.EINVAL).encode())
    finally:
        os._exit(127)
