"""What judging left is given up when it is old: logs of candidates, snapshots; not what boots or is under way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ringmaster.model.generation import Origin
from ringmaster.queue import rollout
from ringmaster.reload.leftovers import KEPT, prune_leftovers
from ringmaster.reload.snapshot import KEPT_REFS, open_trees
from ringmaster.store.connection import Connection
from tests.fakes.empty_store import open_empty_store
from tests.fakes.house import git, make_repository


def make_bad(conn: Connection, count: int) -> None:
    for _ in range(count):
        origin = Origin(release="r", digest="d", python="/py", parent=1, source="target")
        made = rollout.make_generation(conn, origin)
        rollout.settle_bad(conn, made.id, "its gate is red")


async def test_old_logs_and_snapshots_go_and_what_boots_or_is_under_way_stays(tmp_path: Path):
    repository = make_repository(tmp_path / "repo", {"a": "1\n"})
    state = tmp_path / "state"
    state.mkdir()
    trees = await open_trees(state, repository / ".git")
    tree = git("rev-parse", "HEAD^{tree}", cwd=repository)
    async with open_empty_store(clock=lambda: 0.0) as store:
        plain: Any = {"release": "r", "digest": "d", "python": "/py"}
        await store.write(rollout.ensure_generation, 1, Origin(source="package", **plain))
        await store.write(rollout.make_generation, Origin(parent=1, source="target", tree=tree, **plain))
        await store.write(make_bad, KEPT + 2)
        last = KEPT + 4
        for number in range(1, last + 1):
            (state / "candidates" / str(number) / "scratch").mkdir(parents=True)
        await prune_leftovers(store, state, booting=(1,))
    left = {int(path.name) for path in (state / "candidates").glob("[0-9]*")}
    # 1 boots, 2 is not settled; of the others the newest.
    assert left == {1, 2, *range(last - KEPT + 1, last + 1)}
    assert (state / "candidates" / "trees.git" / "HEAD").is_file()
    assert git("for-each-ref", "--format=%(refname)", KEPT_REFS, cwd=trees) == f"{KEPT_REFS}/{tree}"
