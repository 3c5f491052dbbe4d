"""A real daemon whose own source is a project of its own: what is committed there becomes its next generation."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.fakes.daemon import ROOT, LiveDaemon, open_daemon
from tests.fakes.house import git

PROJECT = "own"
SOURCES = ("ringmaster", "sql", "bin", "requirements.lock", "pyproject.toml", "Makefile")
TEST_ROOT = "RINGMASTER_TEST_ROOT"
SETTLED = ("generation.good", "generation.bad", "generation.superseded", "generation.put_off", "reload.found_nothing")
CONFIG = """\
[limits]
cancel_grace_s = 0.2
[self]
follow = "{follow}"
debounce_s = {debounce_s}
probation_s = {probation_s}
guard_s = {guard_s}
"""


class OwnSource:
    """The daemon, and the repository of its source. The first commit is the code of generation 1."""

    def __init__(self, daemon: LiveDaemon, repository: Path) -> None:
        self.daemon = daemon
        self.repository = repository

    @property
    def cursor(self) -> int:
        """The number of the newest event."""
        return int(self.daemon.call("daemon.status")["cursor"])

    @property
    def generation(self) -> int:
        """The number of the generation that answers."""
        return int(self.daemon.call("daemon.version")["generation"])

    def configure(self, **values: str | float) -> None:
        """Have the settings of `[self]` say otherwise, for those of `CONFIG`; the daemon knows when this returns."""
        config, after = self.daemon.state / "config.toml", self.cursor
        lines = config.read_text().splitlines()
        for name, value in values.items():
            lines = [f"{name} = {json.dumps(value)}" if line.startswith(name) else line for line in lines]
        config.write_text("\n".join(lines) + "\n")
        self.daemon.wait_for(lambda event: event["type"] == "settings.reloaded", after)

    def write(self, files: Mapping[str, str | bytes | None]) -> None:
        """Write files of the repository, or remove those whose content is None; nothing is committed."""
        for name, content in files.items():
            path = self.repository / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)

    def append(self, name: str, text: str) -> dict[str, str]:
        """A file of the repository with something behind it, for `commit`."""
        return {name: (self.repository / name).read_text() + text}

    def commit(self, files: Mapping[str, str | None], message: str = "A change") -> str:
        """Commit files on the branch that is followed; the commit."""
        self.write(files)
        git("add", "--all", cwd=self.repository)
        git("commit", "--quiet", "-m", message, cwd=self.repository)
        return git("rev-parse", "HEAD", cwd=self.repository).strip()

    def wait_settled(self, after: int) -> Any:
        """The first event after a cursor that says what became of a candidate."""
        return self.daemon.wait_for(lambda event: event["type"] in SETTLED, after)

    def take(self, files: Mapping[str, str | None], message: str = "A change") -> Any:
        """Commit, and wait for what became of it: the event."""
        after = self.cursor
        self.commit(files, message)
        return self.wait_settled(after)

    def history(self) -> list[Any]:
        """The generations, the newest first."""
        found: list[Any] = self.daemon.call("rollout.history")["generations"]
        return found


def copy_sources(place: Path, *, is_compiled: bool = False) -> None:
    """The source as it lies in the checkout. is_compiled: with what Python has compiled of it."""
    left_out = shutil.ignore_patterns(*([] if is_compiled else ["__pycache__", "*.pyc"]))
    place.mkdir(parents=True, exist_ok=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=left_out)
        else:
            shutil.copy2(ROOT / name, place / name)


def clone_source(repository: Path) -> None:
    """A repository with the source in one commit, on `main`; nothing of it is anybody else's."""
    # A run makes its seed once, and a clone links to what git has packed of it.
    place = Path(os.environ.get(TEST_ROOT, repository.parent))
    place.mkdir(parents=True, exist_ok=True)
    seed = place / f"seed-{_fingerprint()}"
    if not seed.exists():
        with tempfile.TemporaryDirectory(prefix="seed-", dir=place) as made:
            _make_seed(Path(made) / "seed")
            # Of two workers that make the same one the first is as good.
            with suppress(OSError):
                (Path(made) / "seed").rename(seed)
    git("clone", "--quiet", str(seed), str(repository), cwd=place)
    git("remote", "remove", "origin", cwd=repository)


def _make_seed(seed: Path) -> None:
    copy_sources(seed)
    git("init", "--quiet", "-b", "main", cwd=seed)
    git("add", "--all", cwd=seed)
    git("commit", "--quiet", "-m", "The source", cwd=seed)
    git("repack", "-adq", cwd=seed)


def _fingerprint() -> str:
    """Another one as soon as a file was edited: the daemon of a test starts from what is in the checkout then."""
    found = []
    for name in SOURCES:
        for path in (ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name]:
            if "__pycache__" not in path.parts:
                about = path.stat()
                found.append(f"{path} {about.st_mode} {about.st_size} {about.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()[:16]


@contextmanager
def open_own_source(
    root: Path,
    *,
    follow: str = "target",
    debounce_s: float = 0.05,
    probation_s: float = 0.5,
    guard_s: float = 10.0,
    files: Mapping[str, str | bytes] | None = None,
    **config: Any,
) -> Iterator[OwnSource]:
    """A daemon with a project of its own source, gate `true` unless `config` says otherwise; gone at the end.

    files: more files of the first commit, such as tests.
    """
    repository = root / "source"
    clone_source(repository)
    with open_daemon(root / "state", is_started=False) as daemon:
        settings = CONFIG.format(follow=follow, debounce_s=debounce_s, probation_s=probation_s, guard_s=guard_s)
        (daemon.state / "config.toml").write_text(settings)
        daemon.start()
        own = OwnSource(daemon, repository)
        if files:
            own.write(files)
            git("add", "--all", cwd=repository)
            git("commit", "--quiet", "--amend", "--no-edit", cwd=repository)
        daemon.call("project.add", path=str(repository), id=PROJECT, config={"gate": "true", **config, "is_self": True})
        yield own
