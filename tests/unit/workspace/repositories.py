"""What tests of git need: a user's repository, the daemon's beside it, and a look at every byte."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from ringmaster.workspace.repository import ensure_repository
from ringmaster.workspace.user_repository import UserRepository, inspect_user_repository
from ringmaster.workspace.workspaces import create_workspace

FIRST_FILES = {"README": "hello\n", "src/app.py": "print(1)\n", ".gitignore": "*.log\n.venv/\n"}


class Repository:
    """A repository worked on with plain git, as a user or an agent would."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *args: str, is_checked: bool = True) -> str:
        done = subprocess.run(["git", *args], cwd=self.path, capture_output=True, text=True, errors="surrogateescape")
        if is_checked and done.returncode:
            raise AssertionError(f"git {args}: {done.stderr}")
        return done.stdout.rstrip("\n")

    def write(self, files: Mapping[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, files: Mapping[str, str | bytes], message: str = "change") -> str:
        self.write(files)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.at("HEAD")

    def at(self, name: str) -> str:
        return self.git("rev-parse", "--verify", f"{name}^{{commit}}")

    def has(self, name: str) -> bool:
        return bool(self.git("rev-parse", "--verify", "--quiet", f"{name}^{{object}}", is_checked=False))

    def files(self, name: str) -> list[str]:
        return self.git("ls-tree", "-r", "--name-only", name).splitlines()

    def show(self, name: str, path: str) -> str:
        return self.git("show", f"{name}:{path}")


def make_repository(path: Path) -> Repository:
    path.mkdir(parents=True)
    repository = Repository(path)
    repository.git("init", "-q", "-b", "main")
    repository.commit(FIRST_FILES, "first")
    return repository


class Setting:
    """A user's repository, the daemon's own, and where workspaces and the gate's checkout would be."""

    def __init__(self, user: Repository, inspected: UserRepository, root: Path) -> None:
        self.user = user
        self.inspected = inspected
        self.bare = root / "state" / "repositories" / "p.git"
        self.workspace = Repository(root / "state" / "workspaces" / "p" / "t")
        self.checkout = Repository(root / "state" / "gates" / "p" / "checkout")
        self.own = Repository(self.bare)
        self.base = inspected.target_commit

    async def start_attempt(self, number: int = 1) -> Repository:
        attempt_id, branch = f"t/{number}", f"ringmaster/t/{number}"
        await create_workspace(self.bare, self.workspace.path, attempt_id, self.base, branch)
        return self.workspace


async def make_setting(root: Path) -> Setting:
    user = make_repository(root / "user")
    inspected = await inspect_user_repository(user.path)
    setting = Setting(user, inspected, root)
    await ensure_repository(setting.bare, inspected)
    return setting


def bytes_of(path: Path, *, is_with_refs: bool = True) -> dict[str, bytes]:
    """Every file, link and directory of a repository but its objects, to compare byte for byte."""
    found = {}
    for folder, names, files in os.walk(path):
        if folder.endswith("/.git") and "objects" in names:
            names.remove("objects")
        for name in [*files, *names]:
            place = os.path.join(folder, name)
            relative = os.path.relpath(place, path)
            if not is_with_refs and "ringmaster" in relative:
                continue
            if os.path.islink(place):
                found[relative] = os.fsencode(os.readlink(place))
            elif os.path.isfile(place):
                found[relative] = Path(place).read_bytes()
            else:
                found[relative] = b"(directory)"
    return found
