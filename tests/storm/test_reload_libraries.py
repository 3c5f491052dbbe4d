"""A change of libraries while no index is in reach: the old code serves, and it is taken once there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.loopback_index import EXTRA, lock_of, open_index, pack_all, pack_extra
from tests.fakes.own_source import OwnSource, open_own_source
from tests.fakes.rmctl import Rmctl
from tests.fakes.unharmed import Unharmed, open_unharmed

pytestmark = [pytest.mark.storm, pytest.mark.timeout(240)]

INIT, LOCK = "ringmaster/__init__.py", "requirements.lock"
# It can be imported only where the new libraries are.
NEWER = f'"""Newer."""\n\nfrom {EXTRA} import VERSION\n\n__version__ = VERSION\n'


@contextmanager
def open_asking(root: Path, environ: Mapping[str, str]) -> Iterator[tuple[OwnSource, Unharmed]]:
    """A daemon whose pip knows this alone."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("PIP_")]:
            patch.delenv(name)
        for name, value in {"PIP_CONFIG_FILE": os.devnull, **environ}.items():
            patch.setenv(name, value)
        with open_own_source(root) as own, open_unharmed(own) as unharmed:
            unharmed.find_first()
            yield own, unharmed


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheels")
    pack_all(directory)
    return directory


def check_waits(own: OwnSource, unharmed: Unharmed, event: Any, words: str) -> int:
    """It waits, and says for what; its number."""
    assert event["type"] == "generation.put_off", event
    assert words in event["data"]["reason"]
    row = unharmed.row(event["data"]["generation"])
    assert (row["state"], row["reason"]) == ("candidate", event["data"]["reason"])
    step = own.daemon.call("rollout.status")["step"]
    assert step == f"generation {row['id']} waits: {row['reason']}"
    assert words in Rmctl(own.daemon.socket)("rollout", "status").out
    unharmed.assert_serves(1)
    return int(row["id"])


def check_live(own: OwnSource, unharmed: Unharmed, generation: int, version: str) -> None:
    """It serves with the new libraries, in an environment of its own, and nobody was hung up on."""
    unharmed.assert_serves(generation)
    assert own.daemon.call("daemon.version")["version"] == version
    environments = [one for one in (own.daemon.state / "envs").iterdir() if one.is_dir()]
    assert len(environments) == 2, environments
    assert own.daemon.call("rollout.status")["step"] == ""


def test_asked_for_it_is_taken_as_soon_as_the_index_is_in_reach(wheels: Path, tmp_path: Path) -> None:
    extra = pack_extra(wheels, "1.1")
    with open_index(wheels) as index, open_asking(tmp_path, {"PIP_INDEX_URL": index.url}) as (own, unharmed):
        event = unharmed.take({LOCK: lock_of(wheels), INIT: NEWER})
        made = check_waits(own, unharmed, event, "no package index is in reach to install them from")
        index.come_in_reach()
        asked = Rmctl(own.daemon.socket)("--timeout", "100", "reload", "--wait")
        assert (asked.code, asked.out.strip()) == (0, f"generation {made + 1} is live"), asked
        check_live(own, unharmed, made + 1, "1.1")
        assert f"/files/{extra.name}" in index.asked
        assert unharmed.row(made)["state"] == "superseded"
        # It boots from there too.
        unharmed.steady.close()
        own.daemon.stop()
        own.daemon.start()
        assert own.daemon.call("daemon.version")["version"] == "1.1"
    extra.unlink()


def test_unasked_it_is_taken_within_minutes(wheels: Path, tmp_path: Path) -> None:
    extra = pack_extra(wheels, "1.2")
    with open_index(wheels) as index, open_asking(tmp_path, {"PIP_INDEX_URL": index.url}) as (own, unharmed):
        event = unharmed.take({LOCK: lock_of(wheels), INIT: NEWER})
        made = check_waits(own, unharmed, event, "no package index is in reach to install them from")
        index.come_in_reach()
        with unharmed.open_repository_kept():
            good = own.wait_settled(event["seq"])
        assert (good["type"], good["data"]["generation"]) == ("generation.good", made), good
        assert good["at"] - event["at"] < 90
        check_live(own, unharmed, made, "1.2")
    extra.unlink()


def test_a_directory_of_wheels_that_lacks_one_is_named_and_taken_when_it_is_there(wheels: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    extra = pack_extra(scratch, "1.3")
    environ = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels)}
    with open_asking(tmp_path / "own", environ) as (own, unharmed):
        event = unharmed.take({LOCK: lock_of(wheels, extra), INIT: NEWER})
        made = check_waits(own, unharmed, event, "the libraries cannot be installed: ")
        assert f"{EXTRA}==1.3" in event["data"]["reason"]
        there = extra.rename(wheels / extra.name)
        asked = Rmctl(own.daemon.socket)("--timeout", "100", "reload", "--wait")
        assert (asked.code, asked.out.strip()) == (0, f"generation {made + 1} is live"), asked
        check_live(own, unharmed, made + 1, "1.3")
    there.unlink()
