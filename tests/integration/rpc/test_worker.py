"""`worker.*` over the socket."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.model.errors import ErrorKind
from ringmaster.model.outcomes import Outcome
from ringmaster.queue import report as reporting
from tests.integration.rpc.harness import Table, attempt_caller


def shown(answer: dict[str, list[dict[str, object]]]) -> dict[str, object]:
    return {view["worker"]["id"]: view["shown"] for view in answer["workers"]}  # type: ignore[index]


async def test_spawning_makes_up_names_or_counts_on_from_one(table: Table):
    assert shown(await table.call("worker.spawn", agent="scripted", count=2)) == {"w1": "idle", "w2": "idle"}
    assert shown(await table.call("worker.spawn", agent="scripted", id="big")) == {"big": "idle"}
    assert list(shown(await table.call("worker.spawn", agent="scripted", id="n", count=2))) == ["n-1", "n-2"]
    assert sorted(shown(await table.call("worker.list"))) == ["big", "n-1", "n-2", "w1", "w2"]


async def test_a_seat_that_could_never_start_is_refused(table: Table):
    assert (await table.refusal("worker.spawn", agent="nobody")).kind is ErrorKind.NOT_FOUND
    assert "has no command" in (await table.refusal("worker.spawn", agent="command")).message
    assert "unknown placeholder" in (await table.refusal("worker.spawn", agent="command", command=["a", "{b}"])).message
    assert "takes no command" in (await table.refusal("worker.spawn", agent="scripted", command=["a"])).message
    assert (await table.refusal("worker.spawn", agent="scripted", id="No Name")).kind is ErrorKind.USAGE
    assert (await table.refusal("worker.spawn", agent="scripted", project_id="x")).kind is ErrorKind.NOT_FOUND
    await table.call("worker.spawn", agent="scripted", id="a-2")
    # One of several that is taken: none is made.
    assert (await table.refusal("worker.spawn", agent="scripted", id="a", count=3)).kind is ErrorKind.CONFLICT
    assert list(shown(await table.call("worker.list"))) == ["a-2"]


async def test_a_program_that_is_not_there_is_refused(table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    error = await table.refusal("worker.spawn", agent="command", command=["no-such-program", "{prompt_file}"])
    assert (error.kind, "no-such-program" in error.message, "agent list" in error.hint) == (
        ErrorKind.NOT_FOUND,
        True,
        True,
    )
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    assert "is no program" in (await table.refusal("worker.spawn", agent="command", command=[str(plain)])).message
    plain.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    error = await table.refusal("worker.spawn", agent="codex")
    assert ("'codex'" in error.message, "[agents.codex] bin" in error.hint) == (True, True)
    assert shown(await table.call("worker.list")) == {}
    # What lies in the workspace or is filled in cannot be looked at before there is a task.
    for number, program in enumerate((str(plain), "bin/agent", "{workspace}/bin/agent")):
        await table.call("worker.spawn", agent="command", command=[program], id=f"w{number}")
    assert list(shown(await table.call("worker.list"))) == ["w0", "w1", "w2"]


async def test_a_worker_whose_row_is_damaged_says_so_and_can_be_removed(table: Table):
    await table.call("worker.spawn", agent="scripted")
    await table.sql("UPDATE workers SET command = '{'")
    (view,) = (await table.call("worker.list"))["workers"]
    assert (view["shown"], "its row cannot be read (command)" in view["problem"]) == ("damaged", True)
    assert (await table.call("worker.show", id="w1"))["problem"] == view["problem"]
    await table.call("worker.stop", id="w1")
    await table.call("worker.remove", id="w1")
    assert shown(await table.call("worker.list")) == {}


async def test_a_worker_shows_what_it_does_and_its_states(table: Table):
    await table.add_project()
    id = await table.add_task("Paint it")
    await table.call("worker.spawn", agent="scripted", id="w1")
    claim = await table.claim("w1")
    view = await table.call("worker.show", id="w")
    assert (view["shown"], view["task_id"], view["task_title"]) == ("working", id, "Paint it")
    assert view["since_at"] == claim.attempt.started_at
    assert shown(await table.call("worker.pause", id="w1")) == {"w1": "paused"}
    assert shown(await table.call("worker.stop", is_all=True)) == {"w1": "stopping"}
    error = await table.refusal("worker.remove", id="w1")
    assert error.kind is ErrorKind.WRONG_STATE
    assert "works on" in error.message
    await table.store.write(
        reporting.end_attempt, claim.attempt.id, claim.attempt.token, Outcome.INTERRUPTED, "stopped", rng=table.sur.rng
    )
    assert shown(await table.call("worker.list")) == {"w1": "stopped"}
    assert shown(await table.call("worker.start", id="w1")) == {"w1": "idle"}
    assert (await table.refusal("worker.remove", id="w1")).kind is ErrorKind.WRONG_STATE
    await table.call("worker.stop", id="w1")
    assert shown(await table.call("worker.remove", id="w1")) == {"w1": "removed"}
    assert (await table.call("worker.list"))["workers"] == []


async def test_one_or_all_and_nothing_when_one_refuses(table: Table):
    await table.call("worker.spawn", agent="scripted", count=2)
    await table.call("worker.stop", id="w1")
    assert (await table.refusal("worker.stop")).kind is ErrorKind.USAGE
    assert (await table.refusal("worker.stop", id="w1", is_all=True)).kind is ErrorKind.USAGE
    assert (await table.refusal("worker.remove", is_all=True)).kind is ErrorKind.WRONG_STATE
    assert shown(await table.call("worker.list")) == {"w1": "stopped", "w2": "idle"}
    assert "several workers: w1, w2" in (await table.refusal("worker.show", id="w")).message


async def test_an_attempt_has_no_business_with_workers(table: Table):
    await table.add_project()
    await table.add_task()
    caller = attempt_caller((await table.claim()).attempt.id)
    assert (await table.refusal("worker.list", caller=caller)).kind is ErrorKind.PERMISSION
    assert (await table.refusal("worker.stop", caller=caller, is_all=True)).kind is ErrorKind.PERMISSION
