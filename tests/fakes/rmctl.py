"""Runs rmctl as a program, its output read from pipes or from a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

RMCTL = Path(__file__).resolve().parents[2] / "bin" / "rmctl"


class Ended(NamedTuple):
    """How a call ended. out and err as text, undecodable bytes replaced."""

    code: int
    out: str
    err: str


class Rmctl:
    """Calls rmctl with an environment of its own. socket: what RMCTL_SOCKET names."""

    def __init__(self, socket: Path | None, environ: Mapping[str, str] | None = None) -> None:
        self.environ = {**os.environ, **(environ or {}), "TZ": "UTC"}
        if socket is not None:
            self.environ["RMCTL_SOCKET"] = str(socket)

    def __call__(self, *args: str, stdin: bytes = b"") -> Ended:
        """Run to the end with pipes."""
        done = subprocess.run(
            [RMCTL, *args], input=stdin, capture_output=True, env=self.environ, timeout=30, check=False
        )
        return Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def run_as(self, program: Path, *args: str) -> Ended:
        """Run another installation's to the end, which may take as long as a start."""
        done = subprocess.run(
            [program, *args], stdin=subprocess.DEVNULL, capture_output=True, env=self.environ, timeout=90, check=False
        )
        return Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def at(self, directory: Path, *args: str, **environ: str) -> Ended:
        """Run to the end in a directory, without what says which instance is meant but for `environ`."""
        saying = ("RMCTL_SOCKET", "RINGMASTER_STATE")
        named = {name: value for name, value in self.environ.items() if name not in saying}
        done = subprocess.run(
            [RMCTL, *args], capture_output=True, env=named | environ, cwd=directory, timeout=30, check=False
        )
        return Ended(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Begin a call; the test ends it. Unbuffered, so that reading a line takes no more than the line."""
        return subprocess.Popen(
            [RMCTL, *args],
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environ,
        )

    def on_terminal(
        self,
        *args: str,
        keys: bytes = b"",
        columns: int = 100,
        seen: tuple[bytes, Callable[[], object]] = (b"", lambda: None),
        **environ: str,
    ) -> Ended:
        """Run with a terminal for stdin, stdout and stderr: both outputs come as `out`.

        keys: typed beforehand. seen: what is done once these words are on the terminal; bytes that it answers are typed
        then, Ctrl-C too.
        """
        words, react = seen
        parent, child = pty.openpty()
        import fcntl
        import struct
        import termios

        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        environ = {**self.environ, "TERM": "xterm", **environ}
        # A terminal of its own: what is typed there is a signal to it alone.
        argv = ["setsid", "--ctty", str(RMCTL), *args]
        with subprocess.Popen(argv, stdin=child, stdout=child, stderr=child, env=environ) as process:
            os.close(child)
            parts: list[bytes] = []
            if keys:
                os.write(parent, keys)
            while True:
                try:
                    part = os.read(parent, 65536)
                except OSError:
                    break  # EIO: the last one that had the terminal has closed it
                if not part:
                    break
                parts.append(part)
                if words and words in b"".join(parts):
                    words = b""
                    if isinstance(typed := react(), bytes):
                        os.write(parent, typed)
            os.close(parent)
        out = b"".join(parts).decode(errors="replace").replace("\r\n", "\n")
        return Ended(process.returncode, out, "")
