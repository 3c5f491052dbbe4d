"""docs/uninstalling.md, followed word for word on a machine where everything was used."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.e2e.operator import Operator, git, make_repository, write_step
from tests.fakes.daemon import ROOT, LiveDaemon, processes_of
from tests.fakes.rmctl import Rmctl

PAGE = ROOT / "docs" / "uninstalling.md"


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def tree_of(directory: Path) -> dict[str, str]:
    """Every file and directory below, with what a file holds, but for git's objects: what has landed is the user's."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if not name.startswith("objects/") and name != "index":
            found[name] = path.read_text(errors="replace") if path.is_file() else ""
    # git leaves it behind, with this line alone, when it deletes a branch.
    if found.get("packed-refs", "").count("\n") == 1:
        del found["packed-refs"]
    return found


def test_after_following_the_page_nothing_is_left(tmp_path_factory):
    root = tmp_path_factory.mktemp("u")
    home, runtime = root / "h", root / "r"
    repository = make_repository(home / "src" / "shop")
    before = tree_of(repository / ".git")
    runtime.mkdir(mode=0o700)
    (home / ".config" / "ringmaster").mkdir(parents=True)
    (home / ".config" / "ringmaster" / "config.toml").write_text("[limits]\ncancel_grace_s = 0.2\n")
    environ = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}
    environ["PATH"] = f"{ROOT / 'bin'}:{environ['PATH']}"
    rmctl = Rmctl(None, environ)
    state = home / ".local" / "state" / "ringmaster" / "default"
    try:
        use_everything(rmctl, root, state, repository)
        for block in blocks():
            done = subprocess.run(
                ["sh", "-c", block], cwd=root, env=environ, capture_output=True, text=True, timeout=50, check=False
            )
            assert done.returncode == 0, (block, done.stdout, done.stderr)
    finally:
        end_everything(state)
    assert processes_of(state) == []
    assert sorted(path.name for path in home.rglob("*") if path.name.startswith("ringmaster")) == []
    assert [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file() and "src" not in path.parts] == []
    assert list(runtime.iterdir()) == []
    assert tree_of(repository / ".git") == before
    assert git("status", "--porcelain", cwd=repository) == ""


def use_everything(rmctl: Rmctl, root: Path, state: Path, repository: Path) -> None:
    """A landing that is parked, an agent at work, a task that waits, a decision, the keeper."""
    ended = rmctl("daemon", "start")
    assert ended.code == 0, ended
    daemon = LiveDaemon(state)
    daemon.socket = root / "r" / "ringmaster" / "default.sock"
    operator = Operator(daemon, root)
    project = operator.project(repository, update_checkout="never")
    operator.landed(project.add("Park", write_step("one.txt", "1\n")))
    assert git("branch", "--list", "ringmaster/landed/main", cwd=repository)
    operator.settled(project.add("Ask", {"do": "ask", "question": "Which?"}))
    running = project.add("Hang", {"do": "say", "text": "here"}, {"do": "hang"})
    operator.event("attempt.job_started", running, kind="agent")
    project.add("Wait", write_step("two.txt", "2\n"), after=[running])


def end_everything(state: Path) -> None:
    if state.exists():
        LiveDaemon(state).end_everything()
