"""The files of the page: by path beside this module, so that a release and a wheel serve their own."""

from __future__ import annotations

import errno
import os
import re
import stat
from hashlib import sha256
from pathlib import Path

import msgspec
import trio

from ringmaster.web.message import Answer, Refusal, Request

PAGE = Path(__file__).resolve().parent / "page"
INDEX = "/index.html"
NAME = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)+\Z")
"""Nothing is decoded, and no part begins with a dot: no spelling leads out of the folder."""
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}


def policy_of(host: str) -> bytes:
    """The content security policy of a page that came from `host`: its own files, its own daemon, nothing else."""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; "
        f"connect-src 'self' ws://{host} wss://{host}; img-src 'self' data:; manifest-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ).encode()


class File(msgspec.Struct, frozen=True):
    """A file as it was read. mark: tells whether it is the same still."""

    mark: tuple[int, ...]
    content: bytes
    tag: str


class Pages:
    """Serves a folder. Each file is looked at when it is asked for: what was edited is there at the next look.

    Its content is read once and held once, however many take it and however slowly.
    """

    def __init__(self, folder: Path = PAGE) -> None:
        self._folder = folder
        self._files: dict[str, File] = {}

    def _find(self, name: str) -> File:
        """Blocking. Raises OSError, ValueError."""
        # What is no file is not waited for, such as a pipe.
        with open(self._folder / name[1:], "rb", opener=_open_at_once) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise OSError(errno.EINVAL, "this is no file")
            mark = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
            known = self._files.get(name)
            if known is None or known.mark != mark:
                content = file.read()
                known = self._files[name] = File(mark, content, f'"{sha256(content).hexdigest()[:32]}"')
            return known

    async def answer(self, request: Request, host: str) -> Answer:
        """A file, or that the client has it already. Raises `Refusal` where there is none."""
        name = INDEX if request.path == "/" else request.path
        kind = TYPES.get(Path(name).suffix)
        if kind is None or not NAME.match(name):
            raise _missing()
        try:
            file = await trio.to_thread.run_sync(self._find, name)
        except (OSError, ValueError):
            raise _missing() from None
        headers = (
            (b"Cache-Control", b"no-cache"),
            (b"ETag", file.tag.encode()),
            (b"Content-Security-Policy", policy_of(host)),
        )
        if file.tag in request.header("if-none-match"):
            return Answer(304, headers=headers)
        return Answer(200, file.content, kind, headers)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _missing() -> Refusal:
    return Refusal(404, "there is no such page", "the page is at /")
