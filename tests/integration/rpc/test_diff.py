"""`task.diff` over the socket."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind
from ringmaster.model.receipt import GateResult, Receipt
from ringmaster.proc.job_files import JobSpec, write_spec
from ringmaster.queue import report as reporting
from ringmaster.queue.view import receipt_view
from ringmaster.redaction.redactor import REDACTED
from tests.fakes.house import git
from tests.integration.rpc.harness import Table


async def test_the_diff_is_the_newest_work_and_bounded(table: Table):
    await table.take_on()
    id = await table.add_task("a")
    error = await table.refusal("task.diff", id=id)
    assert error.kind is ErrorKind.WRONG_STATE
    claim = await table.claim()
    repository = table.tmp_path / "toy"
    bare = table.paths.repository("toy")
    base = git("rev-parse", "main", cwd=repository)
    (repository / "new.txt").write_text("line\n" * 300_000)
    git("add", "-A", cwd=repository)
    git("commit", "-qm", "work", cwd=repository)
    head = git("rev-parse", "HEAD", cwd=repository)
    git("fetch", "-q", str(repository), "main:refs/ringmaster/keep/x", cwd=bare)

    def hand_over(conn: object) -> None:
        attempt = claim.attempt
        reporting.begin_work(conn, attempt.id, attempt.token, branch="b", base_commit=base)  # type: ignore[arg-type]
        reporting.hand_over(conn, attempt.id, attempt.token, head_commit=head, report={})  # type: ignore[arg-type]

    await table.store.write(hand_over)
    found = await table.call("task.diff", id=id)
    assert found["attempt_id"] == f"{id}/1"
    assert found["stat"] == "A new.txt +300000 -0\n1 file, +300000 -0\n"
    assert found["is_truncated"]
    # A part ends with a line: half a key at its end would be shown.
    assert 1_000_000 - len("line\n") < len(found["diff"].encode()) <= 1_000_000
    assert found["diff"].endswith("\n+line\n")
    # Its parts one after another are the whole, and one attempt's work is had by its number.
    text = found["diff"]
    while found["next_offset"] is not None:
        assert found["next_offset"] == len(text)
        found = await table.call("task.diff", id=f"{id}/1", offset=found["next_offset"])
        text += found["diff"]
    assert text == git("diff", base, head, cwd=repository) + "\n"
    assert (await table.refusal("task.diff", id=f"{id}/7")).kind is ErrorKind.NOT_FOUND


async def test_a_diff_shows_no_key_and_nothing_that_its_attempt_was_handed(table: Table):
    await table.take_on()
    id = await table.add_task("a")
    claim = await table.claim()
    repository = table.tmp_path / "toy"
    bare = table.paths.repository("toy")
    base = git("rev-parse", "main", cwd=repository)
    job = table.paths.attempt(claim.attempt.id) / "agent"
    job.mkdir(parents=True)
    write_spec(
        job, JobSpec(argv=("x",), cwd="/", env={"KEY": "value-of-key"}, nonce="nonce-of-it", secret_names=("KEY",))
    )
    key = "-----BEGIN PRIVATE " + "KEY-----\n" + "QUJD\n" * 20 + "-----END PRIVATE " + "KEY-----\n"
    (repository / "new value-of-key").write_text(f"a value-of-key b\nx\x1b[1m\n{key}last\n")
    git("add", "-A", cwd=repository)
    git("commit", "-qm", "work", cwd=repository)
    head = git("rev-parse", "HEAD", cwd=repository)
    git("fetch", "-q", str(repository), "main:refs/ringmaster/keep/x", cwd=bare)

    def hand_over(conn: object) -> None:
        attempt = claim.attempt
        reporting.begin_work(conn, attempt.id, attempt.token, branch="b", base_commit=base)  # type: ignore[arg-type]
        reporting.hand_over(conn, attempt.id, attempt.token, head_commit=head, report={})  # type: ignore[arg-type]

    await table.store.write(hand_over)
    found = await table.call("task.diff", id=id)
    assert found["stat"] == f"A new {REDACTED} +25 -0\n1 file, +25 -0\n"
    assert "value-of-key" not in found["diff"]
    content = found["diff"].partition(" @@\n")[2].split("\n")
    # Each line keeps its sign: the hunk is as long as it says.
    assert content == [f"+a {REDACTED} b", "+x\x1b[1m", *[f"+{REDACTED}"] * 22, "+last", ""]
    # A part that begins within the key knows of it.
    offset = git("diff", base, head, cwd=repository).encode().index(b"+QUJD\n+QUJD\n") + len(b"+QUJD\n")
    part = await table.call("task.diff", id=id, offset=offset)
    assert part["diff"].split("\n") == [*[f"+{REDACTED}"] * 20, "+last", ""]


def test_a_receipt_says_whose_it_is_and_which_tests_failed():
    view = receipt_view(
        Receipt(
            id=1,
            project_id="toy",
            attempt_id="rm-abc12/2",
            gate="make test",
            commit="1" * 40,
            tree="2" * 40,
            result=GateResult.RED,
            tests_total=300,
            tests_failed=tuple(f"test_{number}" for number in range(200)),
            is_flaky=False,
            job="attempts/rm-abc12/2/gate-1",
            started_at=10.0,
            ended_at=12.5,
        )
    )
    assert (view.attempt_id, view.started_at, view.wall_s) == ("rm-abc12/2", 10.0, 2.5)
    assert (len(view.failed), view.failed[0], view.tests) == (100, "test_0", "300 tests, 200 failed")
