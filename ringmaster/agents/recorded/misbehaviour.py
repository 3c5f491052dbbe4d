"""Steps that wait, and steps that do what a supervisor has to stand."""

from __future__ import annotations

import os
import signal
import sys

from ringmaster.agents.recorded.script import Ended, Script, StepFailed, StepObject, show, text_of

TYPE_CHECKING = False  # the real one costs milliseconds of every start
if TYPE_CHECKING:
    from typing import NoReturn

BINARY_BYTES = bytes(range(256))


def do_wait_for(script: Script, step: StepObject) -> None:
    """Block until a file is there, told by inotify(7): the watch is added before the first look, so
    a file that appears in between is not missed. Its folder has to be there."""
    import ctypes

    path = os.path.join(script.workspace, text_of(step, "path"))
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_CLOEXEC)
    created_or_moved_here = 0x100 | 0x80
    if watch < 0 or libc.inotify_add_watch(watch, os.fsencode(os.path.dirname(path)), created_or_moved_here) < 0:
        raise StepFailed(f"cannot watch {os.path.dirname(path)}: {os.strerror(ctypes.get_errno())}")
    while not os.path.exists(path):
        os.read(watch, 65_536)
    os.close(watch)


def do_fifo(script: Script, step: StepObject) -> None:
    """Block until somebody has written to a FIFO and closed it."""
    with open(os.path.join(script.workspace, text_of(step, "path")), encoding="utf-8") as fifo:
        show(script, fifo.read())


def do_sleep(script: Script, step: StepObject) -> None:
    import time

    time.sleep(float(step.get("seconds", 1)))


def do_hang(script: Script, step: StepObject) -> NoReturn:
    while True:
        signal.pause()


def do_ignore_term(script: Script, step: StepObject) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def do_exit(script: Script, step: StepObject) -> NoReturn:
    """End now: with a result line when there is a status, without one otherwise."""
    code = int(step.get("code", 0))
    if "status" not in step:
        os._exit(code)
    raise Ended(text_of(step, "status"), text_of(step, "summary", ""), code=code)


def do_crash(script: Script, step: StepObject) -> NoReturn:
    """Die of a signal (default SIGKILL) or of an exit status, without a result line."""
    if "code" in step:
        os._exit(int(step["code"]))
    number = signal.Signals[step.get("signal", "SIGKILL")]
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(1)


def do_flood(script: Script, step: StepObject) -> None:
    """Write lines to `stream`: `bytes` of them, or without end."""
    line = b"x" * 127 + b"\n"
    limit = step.get("bytes")
    descriptor = 2 if step.get("stream") == "stderr" else 1
    written = 0
    while limit is None or written < limit:
        written += os.write(descriptor, (line * 512)[: None if limit is None else limit - written])


def do_binary(script: Script, step: StepObject) -> None:
    for _ in range(int(step.get("times", 1))):
        os.write(1, BINARY_BYTES)


def do_fork(script: Script, step: StepObject) -> None:
    """Leave a process behind: `how` is child, setsid or double; it waits until a signal ends it.

    is_ignoring_term, is_env_clean: make it harder to find and end. pid_file: where its pid goes.
    """
    reader, writer = os.pipe()
    how = step.get("how", "child")
    if how not in ("child", "setsid", "double"):
        raise StepFailed(f"unknown 'how' {how!r}")
    child = os.fork()
    if child == 0:
        if how != "child":
            os.setsid()
        if how == "double" and os.fork():
            os._exit(0)
        stay_behind(step, writer)
    os.close(writer)
    if how == "double":
        os.waitpid(child, 0)
    pid = os.read(reader, 32).decode()
    os.close(reader)
    if "pid_file" in step:
        with open(text_of(step, "pid_file"), "w", encoding="ascii") as file:
            file.write(pid)
    show(script, f"left process {pid} behind", pid=int(pid))


def stay_behind(step: StepObject, writer: int) -> NoReturn:
    """The forked process: say who it is once it is as hard to end as it will be, then wait for ever."""
    if step.get("is_ignoring_term"):
        do_ignore_term(Script([], [], 0), step)
    if step.get("is_env_clean"):
        os.set_inheritable(writer, True)
        code = f"import os, signal\nos.write({writer}, str(os.getpid()).encode())\nwhile True: signal.pause()"
        os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", code], {})
    os.write(writer, str(os.getpid()).encode())
    os.close(writer)
    while True:
        signal.pause()
