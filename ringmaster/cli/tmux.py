"""Workers in tmux: a server of each instance's own, a session for each worker that runs `rmctl worker run` in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from typing import NoReturn

from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError


class Tmux:
    """The tmux server of an instance.

    Raises:
        RingmasterError: NOT_FOUND where tmux is not installed.
    """

    def __init__(self, session: Session) -> None:
        found = shutil.which("tmux")
        if found is None:
            raise RingmasterError(
                ErrorKind.NOT_FOUND,
                "tmux is not installed",
                "install it, or keep a terminal open for: rmctl worker run NAME",
            )
        self.program = found
        self.socket = session.socket_path()
        self.label = f"ringmaster-{hashlib.sha256(os.fsencode(self.socket)).hexdigest()[:8]}"

    def start(self, name: str) -> None:
        """Begin a session that runs the worker; it ends with it.

        Raises:
            RingmasterError: CONFLICT when there is one of this name, or tmux refuses, in its words.
        """
        program = os.path.abspath(sys.argv[0])
        command = (program, "-s", self.socket, "worker", "run", name)
        done = self._run("new-session", "-d", "-s", name, "--", *command)
        if done.returncode != 0:
            words = done.stderr.strip() or f"status {done.returncode}"
            raise RingmasterError(ErrorKind.CONFLICT, f"tmux began no session for worker {name}: {words}")

    def has(self, name: str) -> bool:
        """Whether the worker has a session."""
        return self._run("has-session", "-t", f"={name}").returncode == 0

    def attach(self, name: str) -> NoReturn:
        """Become a tmux that shows the worker's session. Ctrl-B D leaves it to itself."""
        environ = {key: value for key, value in os.environ.items() if key != "TMUX"}
        os.execve(self.program, (self.program, "-L", self.label, "attach-session", "-t", f"={name}"), environ)

    def _run(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (self.program, "-L", self.label, *args),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
