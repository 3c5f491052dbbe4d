"""A real daemon whose own source is a project of its own: what is committed there becomes its next generation."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.daemon import ROOT, LiveDaemon, open_daemon
from tests.fakes.house import git

PROJECT = "own"
SOURCES = ("ringmaster", "sql", "bin", "requirements.lock", "pyproject.toml", "Makefile")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc")
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

    def write(self, files: Mapping[str, str | None]) -> None:
        """Write files of the repository, or remove those whose text is None; nothing is committed."""
        for name, text in files.items():
            path = self.repository / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)

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


@contextmanager
def open_own_source(
    root: Path,
    *,
    follow: str = "target",
    debounce_s: float = 0.05,
    probation_s: float = 0.5,
    guard_s: float = 10.0,
    files: Mapping[str, str] | None = None,
    **config: Any,
) -> Iterator[OwnSource]:
    """A daemon with a project of its own source, gate `true` unless `config` says otherwise; gone at the end.

    files: more files of the first commit, such as tests.
    """
    repository = root / "source"
    repository.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, repository / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(ROOT / name, repository / name)
    git("init", "--quiet", "-b", "main", cwd=repository)
    with open_daemon(root / "state", is_started=False) as daemon:
        settings = CONFIG.format(follow=follow, debounce_s=debounce_s, probation_s=probation_s, guard_s=guard_s)
        (daemon.state / "config.toml").write_text(settings)
        daemon.start()
        own = OwnSource(daemon, repository)
        own.commit(files or {}, "The source")
        daemon.call("project.add", path=str(repository), id=PROJECT, config={"gate": "true", **config, "is_self": True})
        yield own
