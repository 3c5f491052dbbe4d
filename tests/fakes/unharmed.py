"""What nothing of a reload may touch: the user's repository, byte for byte, and the connection of a client."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.house import git
from tests.fakes.own_source import OwnSource, open_own_source


def hash_repository(top: Path) -> dict[str, str]:
    """Everything below a repository, `.git` included: of files mode and content, of links where they lead, of
    directories that they are there."""
    found = {}
    for folder, folders, names in os.walk(top):
        for name in (*folders, *names):
            path = Path(folder, name)
            about = path.lstat()
            if path.is_symlink():
                content = f"-> {path.readlink()}"
            else:
                content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "directory"
            found[str(path.relative_to(top))] = f"{about.st_mode:o} {content}"
    return found


class Steady:
    """A client that has one connection for good and never asks twice."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(40)
        self._socket.connect(str(path))
        self._stream = self._socket.makefile("rwb")
        self._number = 0

    def ask(self, method: str) -> Any:
        """The result of a call without parameters. Fails when the connection is gone or the answer an error."""
        self._number += 1
        question = {"jsonrpc": "2.0", "id": self._number, "method": method}
        self._stream.write(json.dumps(question).encode() + b"\n")
        self._stream.flush()
        answer = json.loads(self._stream.readline())
        assert answer["id"] == self._number, answer
        return answer["result"]

    def close(self) -> None:
        """Hang up."""
        self._stream.close()
        self._socket.close()


class Unharmed:
    """Commits what a reload has to cope with, and holds that nothing was harmed by it.

    own: the daemon with its source. Each change is to the source as it was in the first commit: what the one before
    changed is put back in the same commit.
    """

    def __init__(self, own: OwnSource, steady: Steady) -> None:
        self.own = own
        self.steady = steady
        self.pid = int(steady.ask("daemon.health")["pid"])
        self._originals: dict[str, str | None] = {}

    def find_first(self) -> None:
        """Until the daemon knows that the first commit is what runs."""
        after = self.own.cursor
        self.own.daemon.call("reload.request")
        event = self.own.wait_settled(after)
        assert event["data"].get("words", "").startswith("generation 1 is what there is"), event

    def spoiled(self, files: Mapping[str, str | None]) -> dict[str, str | None]:
        """These files, and those that were changed before as they were."""
        back = dict(self._originals)
        for name in files:
            path = self.own.repository / name
            if name not in self._originals:
                self._originals[name] = path.read_text() if path.exists() else None
        there = {name: text for name, text in back.items() if text is not None or (self.own.repository / name).exists()}
        return {**there, **files}

    def original(self, name: str) -> str:
        """A file of the first commit."""
        original = self._originals.get(name)
        return original if original is not None else (self.own.repository / name).read_text()

    def append(self, name: str, text: str) -> dict[str, str | None]:
        """A file as in the first commit with something behind it."""
        return {name: self.original(name) + text}

    def commit(self, files: Mapping[str, str | None]) -> None:
        """Commit a change to the first source; see the class."""
        self.own.commit(self.spoiled(files))

    def take(self, files: Mapping[str, str | None]) -> Any:
        """Commit, and hold that what became of it left repository and client as they were: the event."""
        after = self.own.cursor
        self.commit(files)
        with self.open_repository_kept():
            return self.own.wait_settled(after)

    @contextmanager
    def open_repository_kept(self) -> Iterator[None]:
        """Nothing in the repository changes inside the block."""
        before = hash_repository(self.own.repository)
        yield
        assert hash_repository(self.own.repository) == before

    def reconnect(self) -> None:
        """After the death of an image that had the clients: they are lost with it, and the listener is not."""
        self.steady.close()
        self.steady = Steady(self.own.daemon.socket)

    def row(self, generation: int) -> Any:
        """The row of a generation."""
        return next(one for one in self.own.history() if one["generation"]["id"] == generation)["generation"]

    def assert_serves(self, generation: int) -> None:
        """The same process serves this generation, on the connection that was there from the beginning."""
        assert self.steady.ask("daemon.version")["generation"] == generation
        assert self.steady.ask("daemon.health")["pid"] == self.pid
        status = self.own.daemon.call("rollout.status")
        assert (status["running"], status["good"]) == (generation, generation)

    def assert_bad(self, event: Any, words: str, serves: int) -> None:
        """A generation is bad for this reason, which its row and its event name, and the old code serves."""
        assert event["type"] == "generation.bad", event
        assert words in event["data"]["reason"], event["data"]["reason"]
        row = self.row(event["data"]["generation"])
        assert (row["state"], row["reason"]) == ("bad", event["data"]["reason"])
        status = self.own.daemon.call("rollout.status")
        assert status["last"]["id"] == row["id"]
        self.assert_serves(serves)


@contextmanager
def open_unharmed(own: OwnSource) -> Iterator[Unharmed]:
    """Watches over a daemon with its own source; its client hangs up at the end."""
    unharmed = Unharmed(own, Steady(own.daemon.socket))
    try:
        yield unharmed
    finally:
        unharmed.steady.close()


@contextmanager
def open_unharmed_source(root: Path, **config: Any) -> Iterator[Unharmed]:
    """The same over a daemon of its own that knows the first commit for what runs. config: as of `open_own_source`."""
    with open_own_source(root, **config) as own, open_unharmed(own) as unharmed:
        unharmed.find_first()
        yield unharmed


__all__ = ["Steady", "Unharmed", "git", "hash_repository", "open_unharmed", "open_unharmed_source"]
