"""An agent that reaches into the user's repository is noticed and what it did is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.workspace.guard import describe_changes, take_fingerprint
from ringmaster.workspace.user_repository import UserRepository, inspect_user_repository
from tests.unit.workspace.repositories import Repository, bytes_of, make_repository


@pytest.fixture
async def pair(tmp_path: Path) -> tuple[Repository, UserRepository]:
    user = make_repository(tmp_path / "user")
    user.write({"README": "dirty\n", "untracked": "u"})
    return user, await inspect_user_repository(user.path)


async def changes(pair: tuple[Repository, UserRepository], do: object) -> list[str]:
    user, inspected = pair
    before = await take_fingerprint(inspected)
    do(user)  # type: ignore[operator]
    return describe_changes(before, await take_fingerprint(inspected))


async def test_looking_changes_nothing_and_sees_nothing(pair: tuple[Repository, UserRepository]) -> None:
    user, inspected = pair
    # An index older than its files is what `git status` would refresh and write back.
    (user.path / "src" / "app.py").touch()
    before = bytes_of(user.path)
    await take_fingerprint(inspected)
    assert bytes_of(user.path) == before
    assert await changes(pair, lambda user: user.git("branch", "ringmaster/landed/main")) == []


async def test_each_kind_of_change_is_named(pair: tuple[Repository, UserRepository]) -> None:
    user, _ = pair
    assert (await changes(pair, lambda user: user.git("branch", "new")))[0].startswith("refs/heads/new: absent ->")
    assert "HEAD of" in (await changes(pair, lambda user: user.git("symbolic-ref", "HEAD", "refs/heads/new")))[0]
    dirtier = await changes(pair, lambda user: user.write({"README": "dirtier\n"}))
    assert dirtier == [f"README in {user.path} changed"]
    assert await changes(pair, lambda user: user.write({"src/x": "x"})) == [f"src/x in {user.path} changed"]
    assert f"the index of {user.path} changed" in await changes(pair, lambda user: user.git("add", "README"))
    assert await changes(pair, lambda user: user.git("config", "alias.x", "!evil")) == [
        "the repository's configuration or hooks changed"
    ]
    many = await changes(pair, lambda user: user.write({f"many/{number}": "x" for number in range(30)}))
    assert many[-1] == f"and 10 more files in {user.path}"
