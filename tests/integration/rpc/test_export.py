"""`task.export`, `task.import` of what it wrote, and `task.comment`, over the socket."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ringmaster.model.errors import ErrorKind
from tests.fakes.beads import make_bead, make_beads
from tests.integration.rpc.harness import Table

BEADS = (
    make_bead("bd-1", issue_type="epic", external_ref="gh-9"),
    make_bead("bd-1.1", ("bd-1", "parent-child"), ("bd-2", "blocks"), assignee="ann"),
    make_bead(
        "bd-2", status="in_progress", comments=[{"id": 1, "author": "ann", "text": "Look.", "created_at": "2026-01-01"}]
    ),
    make_bead("bd-3", status="closed", close_reason="Done"),
)


async def take(table: Table, path: Any, kind: str = "beads", **params: Any) -> Any:
    return await table.call("task.import", kind=kind, path=str(path), **params)


async def test_beads_come_in_and_go_out_as_they_came(table: Table):
    await table.add_project("shop")
    path = make_beads(table.tmp_path / "issues.jsonl", *BEADS)
    dry = await take(table, path, is_dry_run=True)
    assert (dry["new"], (await table.call("task.list", is_all=True))["tasks"]) == (4, [])
    told = await take(table, path)
    assert (told["new"], told["dependencies"], told["comments"]) == (4, 2, 1)
    assert told["states"] == {"done": 1, "open": 3}
    assert told["notes"] == ["open again: it was under way there, and nobody works on it here: bd-2"]
    detail = await table.call("task.show", id="bd-2")
    assert [(said["author"], said["text"]) for said in detail["comments"]] == [("ann", "Look.")]
    shown = (await table.call("task.show", id="bd-1"))["imported"]
    assert (shown["source"], shown["fields"]["external_ref"]) == ("beads", "gh-9")
    assert (await table.claim()).task.id == "bd-2"
    out = table.tmp_path / "out.jsonl"
    out.write_text("what was there")
    assert (await table.call("task.export", kind="beads", path=str(out)))["tasks"] == 4
    assert [msgspec.json.decode(line) for line in out.read_bytes().splitlines()][::3] == [BEADS[0], BEADS[3]]
    assert [path.name for path in table.tmp_path.iterdir() if path.name.startswith(".out")] == []


@pytest.mark.parametrize("kind", ["beads", "jsonl"])
async def test_one_project_goes_out_and_is_known_when_it_comes_back(table: Table, kind: str):
    await table.add_project("shop")
    await table.add_project("till")
    kept = await table.add_task("Here", project_id="shop")
    await table.add_task("Not here", project_id="till")
    await table.call("task.comment", id=kept, text=" Mind the gap.\n")
    out = table.tmp_path / "out.jsonl"
    assert (await table.call("task.export", kind=kind, path=str(out), project_id="shop"))["tasks"] == 1
    told = await take(table, out, kind, project_id="shop")
    assert (told["new"], told["there_already"], told["changed_there"], told["notes"]) == (0, 1, 0, [])


async def test_a_comment_is_kept_and_told(table: Table):
    await table.add_project("shop")
    task_id = await table.add_task("Here")
    answer = await table.call("task.comment", id=task_id, text="Mind the gap.")
    assert answer["view"]["task"]["version"] == 1
    [said] = (await table.call("task.show", id=task_id))["comments"]
    assert (said["author"], said["text"]) == ("operator", "Mind the gap.")
    events = (await table.call("events.read", task_id=task_id, type=["task.commented"]))["events"]
    assert [event["data"] for event in events] == [{"text": "Mind the gap."}]
    assert (await table.refusal("task.comment", id=task_id, text=" ")).kind is ErrorKind.USAGE
    assert (await table.refusal("task.comment", id="nothing", text="x")).kind is ErrorKind.NOT_FOUND


async def test_what_cannot_be_written_is_refused_and_leaves_what_was_there(table: Table):
    await table.add_project("shop")
    places = {"x.jsonl": "usage", str(table.tmp_path / "no" / "x"): "not_found", str(table.tmp_path): "usage"}
    for path, kind in places.items():
        assert (await table.refusal("task.export", kind="beads", path=path)).kind == kind


async def test_a_file_that_is_none_changes_nothing(table: Table):
    await table.add_project("shop")
    path = table.tmp_path / "issues.jsonl"
    path.write_bytes(msgspec.json.encode(BEADS[0]) + b"\n<<<<<<< HEAD\n")
    error = await table.refusal("task.import", kind="beads", path=str(path))
    assert (error.kind, "line 2" in error.message) == (ErrorKind.USAGE, True)
    assert (await table.refusal("task.import", kind="jsonl", path=str(path))).kind is ErrorKind.USAGE
    assert (await table.refusal("task.import", kind="beads", path="/no/file")).kind is ErrorKind.NOT_FOUND
    assert (await table.call("task.list", is_all=True))["tasks"] == []
