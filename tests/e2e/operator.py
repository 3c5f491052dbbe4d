"""A person at a real daemon: rmctl for what they would type, calls for what the test only needs done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.fakes.daemon import LiveDaemon, open_daemon
from tests.fakes.house import git, make_repository, steps, write_step
from tests.fakes.rmctl import Ended, Rmctl

WAIT_S = 40.0
# Waiting for an agent that ignores TERM is not what these tests are about.
CONFIG = "[limits]\ncancel_grace_s = 0.2\n[daemon]\n"


class Operator:
    """Drives one instance. root: where its repositories and whatever else a test needs are made."""

    def __init__(self, daemon: LiveDaemon, root: Path) -> None:
        self.daemon = daemon
        self.root = root
        self.rmctl = Rmctl(None, {"RMCTL_SOCKET": "", "RINGMASTER_STATE": str(daemon.state)})
        self._projects = 0

    def __call__(self, *args: str, stdin: str = "") -> Ended:
        """Run rmctl."""
        return self.rmctl(*args, stdin=stdin.encode())

    def ok(self, *args: str, stdin: str = "") -> str:
        """Stdout of a call that must succeed."""
        ended = self(*args, stdin=stdin)
        assert ended.code == 0, (args, ended)
        return ended.out

    def json(self, *args: str) -> Any:
        """What a call that must succeed says to programs."""
        return json.loads(self.ok(*args, "-o", "json"))

    def refused(self, code: int, *args: str, stdin: str = "") -> str:
        """The one line with which a call fails, and nothing else on either stream."""
        ended = self(*args, stdin=stdin)
        assert (ended.code, ended.out) == (code, ""), (args, ended)
        assert ended.err.startswith("rmctl: "), ended.err
        assert ended.err.count("\n") == 1, ended.err
        return ended.err.removeprefix("rmctl: ").rstrip("\n")

    def cursor(self) -> int:
        """The number of the newest event: what changed nothing has left it as it was."""
        return int(self.daemon.call("daemon.status")["cursor"])

    @contextmanager
    def nothing_changes(self) -> Iterator[None]:
        """What happens inside must leave no event, and so no state change, behind."""
        before = self.cursor()
        yield
        assert self.cursor() == before, self.daemon.call("events.read", after=before)["events"]

    def project(
        self,
        path: Path | None = None,
        *,
        files: dict[str, str] | None = None,
        agent: str = "scripted",
        command: tuple[str, ...] = (),
        **config: Any,
    ) -> Project:
        """A project with a worker of its own, so that no other test's agent is in its way."""
        self._projects += 1
        name = f"p{self._projects}"
        repository = path or make_repository(self.root / name, files)
        settings = {"gate": "test -f README", "update_checkout": "clean", **config}
        self.daemon.call("project.add", path=str(repository), id=name, config=settings)
        self.daemon.call("worker.spawn", id=f"w-{name}", agent=agent, command=command, project_id=name)
        return Project(self, name, repository)

    def detail(self, task_id: str) -> Any:
        """All about a task."""
        return self.daemon.call("task.show", id=task_id)

    def settled(self, task_id: str) -> Any:
        """All about a task, once it has ended or needs a person."""
        with self.daemon.client(timeout_s=WAIT_S + 5) as client:
            waited = client.call("task.wait", {"id": task_id, "timeout_s": WAIT_S})
        assert waited["is_over"], waited
        return self.detail(task_id)

    def landed(self, task_id: str) -> Any:
        """All about a task that must land, once it has."""
        detail = self.settled(task_id)
        assert detail["view"]["task"]["done_by"] == "landed", (detail, self.daemon.log[-20:])
        return detail

    def event(self, type: str, task_id: str, nth: int = 1, **data: Any) -> Any:
        """The nth event of a type about a task, whose data holds `data`."""
        for event in self.daemon.events(0, task_id=task_id, type=[type]):
            if data.items() <= event["data"].items():
                nth -= 1
            if nth == 0:
                return event
        raise AssertionError("the stream ended")

    def ended(self, task_id: str, nth: int = 1) -> Any:
        """The task's nth attempt, once it has ended."""
        event = self.event("attempt.ended", task_id, nth)
        return self.daemon.call("attempt.show", id=event["attempt_id"])


class Project:
    """One repository of the operator's, and the daemon's work on it."""

    def __init__(self, operator: Operator, name: str, repository: Path) -> None:
        self.operator = operator
        self.name = name
        self.path = repository

    def add(self, title: str, *recorded: dict[str, Any], **fields: Any) -> str:
        """The id of a new task that the scripted agent obeys."""
        done = self.operator.daemon.call(
            "task.add", title=title, description=steps(*recorded), project_id=self.name, **fields
        )
        return str(done["view"]["task"]["id"])

    def git(self, *args: str) -> str:
        """Git as the user runs it."""
        return git(*args, cwd=self.path)

    def commit(self, message: str, **files: str) -> str:
        """A commit by the user's own hand; its id."""
        for name, text in files.items():
            (self.path / name).write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")


@contextmanager
def open_operator(root: Path, *, is_started: bool = True) -> Iterator[Operator]:
    """An operator with a daemon of their own; at the end every attempt is ended before the daemon goes."""
    state = root / "s"
    state.mkdir(parents=True)
    (state / "config.toml").write_text(CONFIG)
    with open_daemon(state, is_started=is_started) as daemon:
        yield Operator(daemon, root)
        if daemon.process is not None:
            daemon.call("daemon.stop", mode="abort")
            daemon.stop()


__all__ = ["WAIT_S", "Ended", "Operator", "Project", "git", "make_repository", "open_operator", "write_step"]
