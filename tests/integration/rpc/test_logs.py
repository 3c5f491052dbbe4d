"""`logs.*` over the socket: exact offsets, before, while and after the job writes."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ringmaster.model.errors import ErrorKind
from ringmaster.model.outcomes import Outcome
from ringmaster.proc.job_files import JobSpec, write_spec
from ringmaster.queue import report as reporting
from ringmaster.queue.claim import Claim
from ringmaster.redaction.redactor import REDACTED
from ringmaster.rpc.handlers import logs
from tests.integration.rpc.harness import Table, attempt_caller

KEY = "gh" + "p_" + "A1b2" * 9


async def begin(table: Table) -> tuple[Claim, Path]:
    """A running attempt and the directory its jobs will have."""
    await table.add_project()
    await table.add_task()
    claim = await table.claim()
    return claim, table.paths.attempt(claim.attempt.id)


def begin_job(directory: Path, job: str = "agent") -> Path:
    place = directory / job
    place.mkdir(parents=True)
    return place


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def end_job(place: Path) -> None:
    (place / "exit.json").write_text("{}")


async def end_attempt(table: Table, claim: Claim) -> None:
    attempt = claim.attempt
    await table.store.write(reporting.end_attempt, attempt.id, attempt.token, Outcome.FAILED, "over", rng=table.sur.rng)


def data_of(chunks: list[Any]) -> bytes:
    """The bytes of chunks that follow one another exactly."""
    offset = chunks[0]["offset"]
    for chunk in chunks:
        assert chunk["offset"] == offset
        offset = chunk["next_offset"]
    return b"".join(base64.b64decode(chunk["data_base64"]) for chunk in chunks)


async def test_reading_in_pieces_gives_every_byte_once(table: Table):
    claim, directory = await begin(table)
    place = begin_job(directory)
    wanted = "".join(f"zeile {n} äöü€\n" for n in range(500)).encode() + b"\xff\xfe binary"
    append(place / "stdout", wanted)
    chunks = []
    offset = 0
    while True:
        chunk = await table.call("logs.read", id=claim.task.id, offset=offset, max_bytes=1000, is_raw=True)
        chunks.append(chunk)
        offset = chunk["next_offset"]
        if not chunk["data_base64"]:
            break
    assert data_of(chunks) == wanted
    assert not chunks[-1]["is_end"]
    end_job(place)
    last = await table.call("logs.read", id=claim.task.id, stream="stdout", offset=offset)
    assert (last["is_end"], last["text"]) == (True, "")


async def test_reading_in_pieces_gives_every_line_once_as_it_is_shown(table: Table):
    claim, directory = await begin(table)
    place = begin_job(directory)
    lines = "".join(f"zeile {n} äöü€ \x1b[1m{n % 4 * 'sk-'}x\x1b[0m\n" for n in range(500)) + "y" * 3000 + "\n"
    append(place / "stdout", lines.encode() + b"\xff\xfe binary, key " + KEY.encode())
    text, offset, is_end = "", 0, False
    end_job(place)
    while not is_end:
        chunk = await table.call("logs.read", id=claim.task.id, stream="stdout", offset=offset, max_bytes=1000)
        assert (chunk["offset"], chunk["data_base64"]) == (offset, "")
        text, offset, is_end = text + chunk["text"], chunk["next_offset"], chunk["is_end"]
    assert text == lines.replace("\x1b[1m", "").replace("\x1b[0m", "") + f"\ufffd\ufffd binary, key {REDACTED}"


async def test_what_is_shown_has_no_keys_nor_what_was_handed_over(table: Table):
    claim, directory = await begin(table)
    place = begin_job(directory)
    spec = JobSpec(argv=("x",), cwd="/", env={"DB": "the-value-of-db"}, nonce="n" * 32, secret_names=("DB",))
    write_spec(place, spec)
    append(place / "stdout", f"{KEY} the-value-of-db\n{json.dumps({'a': KEY})}\n".encode())
    for stream in ("stdout", "steps"):
        chunk = await table.call("logs.read", id=claim.attempt.id, stream=stream)
        assert chunk["text"].count(REDACTED) == 3
        assert "A1b2" not in json.dumps(chunk)
        assert "value-of" not in json.dumps(chunk)
    async with table.open_line() as line:
        await line.request("logs.follow", id=claim.attempt.id, stream="stdout", offset=5)
        assert (await line.item())["text"].startswith(f" {REDACTED}\n")


async def test_what_an_attempt_says_over_the_socket_is_kept_without_keys(table: Table):
    claim, directory = await begin(table)
    spec = JobSpec(argv=("x",), cwd="/", env={"DB": "the-value-of-db"}, nonce="n" * 32, secret_names=("DB",))
    write_spec(begin_job(directory), spec)
    said: dict[str, Any] = {"attempt_id": claim.attempt.id, "token": claim.attempt.token}
    words = f"{KEY} or the-value-of-db?"
    asked = await table.call(
        "attempt.ask", **said, question=words, detail=words, options=[words, "no"], recommendation=words
    )
    await table.call("attempt.report", **said, status="failed", summary=words)
    shown = json.dumps(await table.call("decision.show", id=asked["decision_id"]))
    shown += json.dumps(await table.call("attempt.show", id=claim.attempt.id))
    shown += json.dumps(await table.call("events.read", after=0, limit=1000))
    assert f"{REDACTED} or {REDACTED}?" in shown
    assert "A1b2" not in shown
    assert "the-value-of-db" not in shown


async def test_untouched_bytes_are_for_people_alone(table: Table):
    claim, directory = await begin(table)
    append(begin_job(directory) / "stdout", KEY.encode())
    caller = attempt_caller(claim.attempt.id)
    for method in ("logs.read", "logs.follow"):
        error = await table.refusal(method, caller=caller, id=claim.attempt.id, is_raw=True)
        assert error.kind is ErrorKind.PERMISSION
        assert "people alone" in error.message
    assert KEY not in (await table.call("logs.read", caller=caller, id=claim.attempt.id, stream="stdout"))["text"]


async def test_lines_before_an_offset(table: Table):
    claim, directory = await begin(table)
    append(begin_job(directory) / "stdout", b"one\ntwo\nthree\nfour\n")
    chunk = await table.call("logs.read", id=claim.attempt.id, stream="stdout", before=14, tail_lines=2)
    assert (chunk["text"], chunk["offset"], chunk["next_offset"], chunk["is_end"]) == ("two\nthree\n", 4, 14, False)
    chunk = await table.call("logs.read", id=claim.attempt.id, before=8, offset=4, is_raw=True)
    assert data_of([chunk]) == b"two\n"
    assert (await table.call("logs.read", id=claim.attempt.id, stream="stdout", before=4, offset=8))["text"] == ""


async def test_a_line_that_does_not_end_is_sent_after_a_while(table: Table, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs, "DUE_S", 0.05)
    claim, directory = await begin(table)
    place = begin_job(directory)
    append(place / "stdout", b"Password? gh")
    async with table.open_line() as line:
        await line.request("logs.follow", id=claim.attempt.id, stream="stdout")
        first = await line.item()
        assert (first["text"], first["next_offset"]) == ("Password? ", 10)
        append(place / "stdout", KEY[2:].encode() + b" rest\n")
        assert (await line.item())["text"] == f"{REDACTED} rest\n"


@pytest.mark.parametrize(("count", "expected"), [(0, ""), (1, "tail"), (2, "b\ntail"), (3, "a\nb\ntail"), (9, None)])
async def test_only_the_last_lines(table: Table, count: int, expected: str | None):
    claim, directory = await begin(table)
    place = begin_job(directory)
    long = "x" * 200_000 + "\n"
    append(place / "stdout", (long + "a\nb\ntail").encode())
    chunk = await table.call("logs.read", id=claim.attempt.id, stream="stdout", tail_lines=count, max_bytes=1_000_000)
    assert chunk["text"] == (expected if expected is not None else long + "a\nb\ntail")
    assert chunk["next_offset"] == 200_001 + 8


async def test_since_starts_by_the_jobs_index(table: Table):
    claim, directory = await begin(table)
    place = begin_job(directory)
    append(place / "stdout", b"old\nnew\n")
    append(place / "stderr", b"OLD\nNEW\n")
    (place / "index").write_text("1000.0 4 4\n1001.0 8 8\n")
    for stream, text in (("stdout", "new\n"), ("stderr", "NEW\n")):
        chunk = await table.call("logs.read", id=claim.attempt.id, stream=stream, since_at=1000.5)
        assert (chunk["text"], chunk["offset"]) == (text, 4)


async def test_streams_name_their_jobs_and_the_gate_is_the_newest(table: Table):
    claim, directory = await begin(table)
    for job in ("setup", "gate-2", "gate-10", "gate-1"):
        append(begin_job(directory, job) / "stdout", job.encode())
    read = {
        stream: (await table.call("logs.read", id=claim.attempt.id, stream=stream))["text"]
        for stream in ("setup", "gate")
    }
    assert read == {"setup": "setup", "gate": "gate-10"}
    older = await table.call("logs.read", id=claim.attempt.id, stream="gate", job="gate-2")
    assert (older["text"], older["job"]) == ("gate-2", "gate-2")
    error = await table.refusal("logs.read", id=claim.attempt.id, job="../../ringmaster.db")
    assert error.kind is ErrorKind.USAGE


async def test_steps_are_whole_lines_in_the_agents_words(table: Table):
    claim, directory = await begin(table)
    place = begin_job(directory)
    step = json.dumps({"type": "step", "do": "edit", "text": "src/a.py"}).encode()
    append(place / "stdout", step + b"\nplain words\n" + step[:10])
    chunk = await table.call("logs.read", id=claim.attempt.id, stream="steps")
    assert chunk["steps"] == [
        {"kind": "file", "text": "edit src/a.py"},
        {"kind": "other", "text": "plain words"},
    ]
    assert chunk["next_offset"] == len(step) + 1 + 12
    assert chunk["text"] == "edit src/a.py\nplain words\n"
    append(place / "stdout", step[10:])
    end_job(place)
    chunk = await table.call("logs.read", id=claim.attempt.id, stream="steps", offset=chunk["next_offset"])
    assert (len(chunk["steps"]), chunk["is_end"]) == (1, True)


async def test_a_step_says_its_exit_and_changes_also_to_who_begins_behind_its_beginning(table: Table):
    claim, directory = await begin(table)
    place = begin_job(directory)
    began = json.dumps({"type": "step", "n": 1, "do": "run", "text": "make test"}).encode() + b"\n"
    change = {"type": "change", "n": 2, "path": "a.py", "change": "add"}
    append(place / "stdout", began + json.dumps({"type": "output", "n": 1, "text": "no\n", "code": 3}).encode() + b"\n")
    append(place / "stdout", json.dumps(change).encode() + b"\n")
    for offset in (0, len(began)):
        chunk = await table.call("logs.read", id=claim.attempt.id, stream="steps", offset=offset)
        assert chunk["steps"][-3:] == [
            {"kind": "other", "text": "no\n"},
            {
                "kind": "command",
                "text": "exit 3: make test",
                "call_id": "1",
                "command": "make test",
                "exit_code": 3,
                "is_failed": True,
            },
            {"kind": "file", "text": "add a.py", "call_id": "2", "files": [{"path": "a.py", "change": "add"}]},
        ]
        assert chunk["text"].endswith("exit 3: make test\nadd a.py\n")


async def test_following_from_before_the_job_to_its_end(table: Table):
    claim, directory = await begin(table)
    async with table.open_line() as line:
        answer = await line.request("logs.follow", id=claim.attempt.id, is_raw=True)
        assert answer["attempt_id"] == claim.attempt.id
        chunks = []
        place = begin_job(directory)
        append(place / "stdout", "halb \u20ac".encode()[:-1])
        chunks.append(await line.item())
        append(place / "stdout", "\u20ac\n".encode()[2:])
        chunks.append(await line.item())
        append(place / "stdout", b"last words without a newline")
        end_job(place)
        chunks += await line.items_to_end()
    assert data_of(chunks) == "halb \u20ac\nlast words without a newline".encode()
    assert [chunk["is_end"] for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_following_goes_on_from_an_offset_without_gap_or_double(table: Table):
    claim, directory = await begin(table)
    place = begin_job(directory)
    append(place / "stdout", b"one\ntwo\n")
    async with table.open_line() as line:
        await line.request("logs.follow", id=claim.attempt.id, stream="stdout")
        first = await line.item()
    append(place / "stdout", b"three\n")
    async with table.open_line() as line:
        await line.request(
            "logs.follow", id=claim.attempt.id, stream="stdout", job=first["job"], offset=first["next_offset"]
        )
        end_job(place)
        assert [chunk["text"] for chunk in await line.items_to_end()] == ["three\n", ""]


async def test_following_ends_when_the_attempt_ends_without_the_job(table: Table):
    claim, _ = await begin(table)
    async with table.open_line() as line:
        await line.request("logs.follow", id=claim.attempt.id, stream="setup")
        await end_attempt(table, claim)
        assert await line.items_to_end() == []


async def test_following_ends_when_the_attempt_ends_and_its_shim_left_no_word(table: Table):
    claim, directory = await begin(table)
    place = begin_job(directory)
    append(place / "stdout", b"cut sh")
    async with table.open_line() as line:
        await line.request("logs.follow", id=claim.attempt.id, stream="stdout")
        await end_attempt(table, claim)
        assert [(chunk["text"], chunk["is_end"]) for chunk in await line.items_to_end()] == [
            ("cut sh", False),
            ("", True),
        ]


async def test_the_gate_is_followed_from_one_run_to_the_next(table: Table):
    claim, directory = await begin(table)
    async with table.open_line() as line:
        await line.request("logs.follow", id=claim.attempt.id, stream="gate")
        first = begin_job(directory, "gate-1")
        append(first / "stdout", b"red\n")
        end_job(first)
        seen = [await line.item(), await line.item()]
        second = begin_job(directory, "gate-2")
        append(second / "stdout", b"green\n")
        end_job(second)
        seen += [await line.item(), await line.item()]
        await end_attempt(table, claim)
        assert await line.items_to_end() == []
    assert [(chunk["job"], chunk["text"], chunk["is_end"]) for chunk in seen] == [
        ("gate-1", "red\n", False),
        ("gate-1", "", True),
        ("gate-2", "green\n", False),
        ("gate-2", "", True),
    ]


async def test_steps_are_followed_line_by_line(table: Table):
    claim, directory = await begin(table)
    place = begin_job(directory)
    async with table.open_line() as line:
        await line.request("logs.follow", id=claim.attempt.id, stream="steps")
        append(place / "stdout", b'{"type": "step", "do": "run", "te')
        append(place / "stdout", b'xt": "make"}\n')
        item = await line.item()
        assert (item["steps"][0]["kind"], item["text"]) == ("command", "run make\n")
        assert item["next_offset"] == (place / "stdout").stat().st_size
        end_job(place)
        await line.items_to_end()


async def test_unfollowing_ends_the_stream(table: Table):
    claim, _ = await begin(table)
    async with table.open_line() as line:
        number = (await line.request("logs.follow", id=claim.attempt.id, stream="stdout"))["subscription"]
        assert (await line.request("logs.unfollow", subscription=number))["was_there"]
        assert await line.items_to_end() == []


async def test_an_attempt_reads_its_own_logs_alone(table: Table):
    claim, directory = await begin(table)
    append(begin_job(directory) / "stdout", b"mine")
    await table.add_task()
    other = await table.claim()
    caller = attempt_caller(claim.attempt.id)
    assert (await table.call("logs.read", caller=caller, id=claim.task.id, stream="stdout"))["text"] == "mine"
    error = await table.refusal("logs.read", caller=caller, id=other.attempt.id)
    assert error.kind is ErrorKind.PERMISSION
    assert (await table.refusal("logs.follow", caller=caller, id=other.attempt.id)).kind is ErrorKind.PERMISSION


async def test_without_a_stream_an_agent_that_writes_for_programs_is_read_as_steps(table: Table):
    claim, directory = await begin(table)
    place = begin_job(directory)
    append(place / "stdout", json.dumps({"type": "step", "do": "edit", "text": "src/a.py"}).encode() + b"\n")
    end_job(place)
    asked: Any = {"id": claim.attempt.id}
    chunk = await table.call("logs.read", **asked)
    assert (chunk["stream"], chunk["text"]) == ("steps", "edit src/a.py\n")
    async with table.open_line() as line:
        await line.request("logs.follow", **asked)
        assert (await line.item())["stream"] == "steps"
    assert (await table.call("logs.read", **asked, is_raw=True))["stream"] == "stdout"
    # An agent that writes for people is read as it writes.
    await table.sql("UPDATE attempts SET agent = 'command'")
    chunk = await table.call("logs.read", **asked)
    assert (chunk["stream"], chunk["text"][:8]) == ("stdout", '{"type":')
