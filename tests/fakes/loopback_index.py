"""A package index on loopback that has what the daemon needs, out of what is installed here, and one package more."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import Distribution
from pathlib import Path

from ringmaster.reload.runtime import normalize, runtime_distributions

EXTRA = "ringmaster_extra"
"""A module that no index of the world has; its VERSION says which one is installed."""
LEFT_OUT = {"INSTALLER", "REQUESTED", "direct_url.json"}


def pack_installed(found: Distribution, directory: Path) -> Path:
    """The wheel that a distribution was installed from, as far as its files say."""
    tags = (line.removeprefix("Tag: ") for line in (found.read_text("WHEEL") or "").splitlines() if line[:5] == "Tag: ")
    parts = [".".join(sorted(set(part))) for part in zip(*(tag.split("-") for tag in tags), strict=True)]
    wheel = directory / "-".join([found.name.replace("-", "_"), found.version, *parts, ""]).removesuffix("-")
    wheel = wheel.with_name(f"{wheel.name}.whl")
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in found.files or ():
            if ".." not in path.parts and "__pycache__" not in path.parts and path.name not in LEFT_OUT:
                archive.write(str(path.locate()), str(path))
    return wheel


def pack_extra(directory: Path, version: str) -> Path:
    """A wheel of the module that is nowhere else."""
    wheel, info = directory / f"{EXTRA}-{version}-py3-none-any.whl", f"{EXTRA}-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{EXTRA}.py", f"VERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {EXTRA}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", f"{EXTRA}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return wheel


def pack_all(directory: Path) -> None:
    """Wheels of all that the daemon needs."""
    directory.mkdir(parents=True, exist_ok=True)
    for found in runtime_distributions():
        pack_installed(found, directory)


def lock_of(directory: Path, *extra: Path) -> str:
    """A lock with the hashes of the wheels in a directory, and of more."""
    lines = []
    for wheel in sorted({*directory.glob("*.whl"), *extra}):
        name, version = wheel.name.split("-")[:2]
        lines.append(f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    return "".join(lines)


class LoopbackIndex:
    """The wheels of a directory under an address that refuses until the index is in reach. asked: paths, in order."""

    def __init__(self, directory: Path) -> None:
        self.asked: list[str] = []
        index = self

        class Pages(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.asked.append(self.path)
                _, kind, name, *_ = [*self.path.split("/"), "", ""]
                path = directory / name
                if kind == "simple":
                    body = index._page(directory, name).encode()
                else:
                    body = path.read_bytes()
                self.send_response(200)
                self.send_header("Content-Type", "text/html" if kind == "simple" else "application/octet-stream")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Pages, bind_and_activate=False)
        # The address is its own, and nobody listens.
        self._server.server_bind()
        self._thread: threading.Thread | None = None

    @staticmethod
    def _page(directory: Path, name: str) -> str:
        wheels = [one for one in directory.glob("*.whl") if normalize(one.name.split("-")[0]) == name]
        return "".join(f'<a href="/files/{one.name}">{one.name}</a>\n' for one in wheels)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/simple"

    def come_in_reach(self) -> None:
        """From now on it answers."""
        self._server.server_activate()
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


@contextmanager
def open_index(directory: Path) -> Iterator[LoopbackIndex]:
    """An index that is out of reach; gone at the end."""
    index = LoopbackIndex(directory)
    try:
        yield index
    finally:
        index.close()
