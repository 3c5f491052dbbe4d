"""A state with tiny releases, which the real boot stub runs as it would run Ringmaster."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ringmaster.proc.identity import current_boot_id
from ringmaster.proc.instance import LISTENER_VARIABLE, LOCK_VARIABLE, claim_instance
from ringmaster.reload.boot_record import BootRecord, Image, begin_trial, exec_command, read_record, write_record
from ringmaster.reload.release import SourceFile, make_release

ROOT = Path(__file__).resolve().parents[2]
STUB = ROOT / "bin" / "ringmasterd"

SERVES = """
import json, os, signal, socket, sys
def serve(argv, boot):
    # Says who it is to each caller, then does as it is told.
    listener = socket.socket(fileno=int(os.environ["RINGMASTER_LISTENER_FD"]))
    number = boot.take_handoff() if boot else -1
    while True:
        connection, _ = listener.accept()
        said = {"generation": boot.generation if boot else 0, "pid": os.getpid(), "argv": list(argv)}
        said |= {"is_trial": bool(boot and boot.is_trial), "handoff": os.pread(number, 99, 0).decode() if number >= 0 else ""}
        said |= {"is_inheritable": [os.get_inheritable(int(os.environ[f"RINGMASTER_{name}_FD"])) for name in ("LOCK", "LISTENER")]}
        said |= {"module": __file__, "is_blocked": signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])}
        connection.sendall(json.dumps(said).encode() + b"\\n")
        word, _, rest = connection.recv(9999).decode().partition(" ")
        if word == "stop":
            return 0
        if word == "raise":
            raise RuntimeError("as told")
        if word == "switch":
            for name in ("LOCK", "LISTENER"):
                os.set_inheritable(int(os.environ[f"RINGMASTER_{name}_FD"]), True)
            argv = json.loads(rest)
            os.execv(argv[0], argv)
        connection.close()
"""  # noqa: E501 - it is read as one text
GOOD = f"{SERVES}\nmain = serve\n"


class StubWorld:
    """A state whose lock and listener are held here, as by a keeper."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.socket = state / "ringmaster.sock"
        self.words = ["-s", str(state)]
        state.mkdir(mode=0o700)
        self.fds: tuple[int, ...] = ()
        self.started: list[subprocess.Popen[str]] = []

    def claim(self) -> None:
        self.fds = tuple(claim_instance(self.state, self.socket, "keeper"))

    def let_go(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds = ()

    def make_image(self, generation: int, main: str = GOOD) -> Image:
        files = {"ringmaster/__init__.py": "", "ringmaster/daemon/__init__.py": "", "ringmaster/daemon/main.py": main}
        files["sql/none.sql"] = f"-- {generation}\n"
        sources = [SourceFile(path, False, text.encode()) for path, text in files.items()]
        release = make_release(self.state, [*sources, SourceFile("bin/ringmasterd", True, STUB.read_bytes())])
        return Image(generation, release.id, release.digest, sys.executable)

    def write(self, *good: str, trial: str = "", guard_s: float = 0.2, boot_id: str = "", boots: int = 0) -> BootRecord:
        """A record whose good generation is the last of `good`, the one before it the first of two.

        boots: how often the trial's stub has begun.
        """
        images = [self.make_image(number, text) for number, text in enumerate(good, start=1)]
        record = BootRecord(good=images[-1], before=images[-2] if images[1:] else None)
        if trial:
            image = self.make_image(len(images) + 1, trial)
            record = begin_trial(record, image, boot_id or current_boot_id(), guard_s)
            assert record.trial is not None
            record = msgspec.structs.replace(record, trial=msgspec.structs.replace(record.trial, boots=boots))
        write_record(self.state, record)
        return record

    @property
    def record(self) -> BootRecord:
        found = read_record(self.state)
        assert found is not None
        return found

    @property
    def reasons(self) -> list[tuple[int, str]]:
        return [(failure.generation, failure.reason) for failure in self.record.failed]

    def root_of(self, image: Image) -> Path:
        return image.release_in(self.state).root

    def trial_argv(self, **handed: Any) -> list[str]:
        """What a switch executes."""
        record = self.record
        assert record.trial is not None
        return exec_command(self.state, record, record.trial, self.words, **handed)

    def choose_argv(self) -> list[str]:
        """What a keeper runs: here the stub of the good release."""
        return [sys.executable, "-I", str(self.root_of(self.record.good) / "bin" / "ringmasterd"), *self.words]

    def run(self, argv: Sequence[str], *kept_fds: int, **environ: str) -> subprocess.Popen[str]:
        """Start the stub with what is claimed."""
        names = dict(zip((LOCK_VARIABLE, LISTENER_VARIABLE), map(str, self.fds), strict=False))
        process = subprocess.Popen(
            argv,
            env={"PATH": os.environ["PATH"], "HOME": str(self.state), **names, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(*self.fds, *kept_fds),
            text=True,
        )
        self.started.append(process)
        return process

    def ask(self, word: str = "bye") -> dict[str, Any]:
        """Who serves; `word` is what it is told then. The listener queues a caller that comes before a server."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(self.socket))
            with client.makefile("rb") as lines:
                said = json.loads(lines.readline())
                client.sendall(word.encode())
            assert isinstance(said, dict)
            return said


@contextlib.contextmanager
def open_stub_world(state: Path) -> Iterator[StubWorld]:
    """A world whose processes are dead at the end."""
    world = StubWorld(state)
    try:
        yield world
    finally:
        for process in world.started:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        world.let_go()
