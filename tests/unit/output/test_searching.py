"""The index of steps: filled, searched, thrown away and made again."""

from __future__ import annotations

import json
import random
from pathlib import Path

import apsw
import msgspec
import pytest

from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.output import indexing
from ringmaster.output.indexing import INDEX_FILE, SLICE_BYTES, iter_steps
from ringmaster.output.matching import parse_pattern, snippet_of
from ringmaster.output.searching import search_logs
from ringmaster.protocol.logs import LogsSearchParams
from ringmaster.settings import Paths, Settings
from ringmaster.store import log_index
from ringmaster.store.log_index import LogIndex, open_log_index

KEY = "gh" + "p_" + "A1b2" * 9
SETTINGS = Settings()


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(name="x", state=tmp_path, socket=tmp_path / "s", config=tmp_path / "c")


def make_attempt(paths: Paths, id: str, *texts: str) -> Attempt:
    place = paths.attempt(id) / "agent"
    place.mkdir(parents=True)
    (place / "stdout").write_text("".join(f"{text}\n" for text in texts))
    task_id, _, number = id.partition("/")
    facts: dict[str, object] = {
        "id": id,
        "task_id": task_id,
        "number": int(number),
        "project_id": "p",
        "worker_id": "w",
    }
    facts |= {"agent": "command", "token": "t", "started_at": 0.0, "state": "ended", "branch": "b"}
    facts |= {"base_commit": "c", "head_commit": "", "reason": "", "outcome": "failed"}
    facts |= {"is_accepted": False, "is_cancel_requested": False, "landing": None, "lane_at": None, "report": {}}
    return msgspec.convert({**facts, "ended_at": 1.0}, Attempt)


def index(paths: Paths, *found: Attempt) -> None:
    opened = open_log_index(paths.state / INDEX_FILE)
    for attempt in found:
        for steps in iter_steps(attempt, paths, SETTINGS):
            opened.add(attempt.id, steps, is_last=False)
        opened.add(attempt.id, (), is_last=True)
    opened.note_place(7, is_complete=True)
    opened.close()


def checkpoint(paths: Paths) -> None:
    """Bring all of the index into its file."""
    db = apsw.Connection(str(paths.state / INDEX_FILE))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()


def search(paths: Paths, pattern: str, live: tuple[Attempt, ...] = (), **params: object) -> list[tuple[str, str]]:
    wanted = msgspec.convert({"pattern": pattern, **params}, LogsSearchParams)
    return [(m.attempt_id, m.snippet) for m in search_logs(wanted, live, paths, SETTINGS).matches]


@pytest.mark.parametrize(
    ("pattern", "is_found"),
    [
        ("parser", True),
        ("PARSER mended", True),
        ('"mended the parser"', True),
        ('"parser mended"', False),
        ("pars", False),
        ("pars*", True),
        ('"the pars"*', True),
        ("snake_case", True),
        ("snake", False),
        ('weird"" OR (NEAR mended', False),
        ("src/a.py", True),
        ("a.py: parser", True),
    ],
)
def test_words_phrases_and_beginnings_alike_in_the_index_and_in_files(paths: Paths, pattern: str, is_found: bool):
    attempt = make_attempt(paths, "t/1", "I mended the parser in src/a.py, see snake_case", "another line")
    assert bool(search(paths, pattern, live=(attempt,))) is is_found
    index(paths, attempt)
    assert bool(search(paths, pattern)) is is_found


FOREIGN = "实现了搜索功能v2 カタカナと平仮名 ทดสอบระบบ das Café ist zu 🎉"


@pytest.mark.parametrize(
    ("pattern", "is_found"),
    [
        ("搜索", True),
        ("索搜", False),
        ('"搜索 功能"', True),
        ("搜索* 实", True),
        ("功能v2", True),
        ("功能v", False),
        ("v2", True),
        ("平仮名", True),
        ("ทดสอบ", True),
        ("cafe", True),
        ("CAFÉ", True),
        ("cafe\u0301", True),
        ("caf", False),
    ],
)
def test_words_of_scripts_without_spaces_and_with_accents_are_found(paths: Paths, pattern: str, is_found: bool):
    attempt = make_attempt(paths, "t/1", FOREIGN)
    expected = [("t/1", FOREIGN)] if is_found else []
    assert search(paths, pattern, live=(attempt,)) == expected
    index(paths, attempt)
    assert search(paths, pattern) == expected


def test_nothing_of_the_language_of_the_index_comes_through(paths: Paths):
    index(paths, make_attempt(paths, "t/1", "a word", "w" * 40_000))
    rng = random.Random(7)
    pieces = [*"\"*(){}:^-+' a", "NEAR", "AND", "NOT", "text", "\0", "\ud800"]
    for _ in range(500):
        pattern = "".join(rng.choices(pieces, k=rng.randint(1, 12))) + " word"
        found = search_logs(LogsSearchParams(pattern=pattern), (), paths, SETTINGS)
        assert found.note == "", pattern
    assert search(paths, "-a +word") == [("t/1", "a word")]
    assert len(search(paths, "www*")) == 1
    assert search(paths, "w" * 1000) == []


@pytest.mark.parametrize("pattern", ["", '""', "🎉", "*", "-- ()"])
def test_a_pattern_without_a_word_is_refused_in_words(pattern: str):
    with pytest.raises(RingmasterError) as caught:
        parse_pattern(pattern)
    assert caught.value.kind is ErrorKind.USAGE


def test_more_words_than_can_be_looked_for_at_once_are_refused():
    with pytest.raises(RingmasterError) as caught:
        parse_pattern("a* " * 51)
    assert caught.value.kind is ErrorKind.USAGE
    assert "51 words, and 50 are the most" in caught.value.message


def test_a_search_that_takes_too_long_says_what_it_found_until_then(paths: Paths, monkeypatch: pytest.MonkeyPatch):
    index(paths, make_attempt(paths, "t/1", *["a word"] * 50), make_attempt(paths, "u/1", *["a word"] * 50))
    monkeypatch.setattr(log_index, "SEARCH_S", -1.0)
    monkeypatch.setattr(log_index, "_LOOK_STEPS", 700)
    found = search_logs(LogsSearchParams(pattern="word", limit=1000), (), paths, SETTINGS)
    assert 0 < len(found.matches) < 100
    assert "not all was looked at" in found.note
    assert found.cursor == ""
    # Of one task its own rows alone are looked at, however many others have the word.
    assert len(search(paths, "word", task_id="t", limit=10)) == 10


def test_offsets_lead_to_the_line_and_keys_are_not_in_the_index(paths: Paths):
    attempt = make_attempt(paths, "t/1", "first", f"deploy with {KEY} now", json.dumps({"type": "x", "deploy": KEY}))
    index(paths, attempt)
    found = search_logs(LogsSearchParams(pattern="deploy"), (), paths, SETTINGS).matches
    data = (paths.attempt("t/1") / "agent" / "stdout").read_bytes()
    assert [data[match.offset :].split(b"\n")[0][:6] for match in found] == [b'{"type', b"deploy"]
    assert search(paths, KEY) == []
    assert b"A1b2" not in (paths.state / INDEX_FILE).read_bytes() + (paths.state / f"{INDEX_FILE}-wal").read_bytes()


def test_filters_pages_and_the_live_first(paths: Paths):
    ended = [make_attempt(paths, f"t/{n}", *[f"word {n} {k}" for k in range(3)]) for n in (1, 2)]
    live = make_attempt(paths, "u/1", "word live a", "word live b")
    index(paths, *ended)
    assert search(paths, "word", task_id="t", attempt_id="t/1", limit=1) == [("t/1", "word 1 2")]
    assert search(paths, "word", project_id="q") == []
    texts, cursor = [], ""
    while True:
        page = search_logs(LogsSearchParams(pattern="word", limit=2, cursor=cursor), (live,), paths, SETTINGS)
        texts += [match.snippet for match in page.matches]
        cursor = page.cursor
        if not cursor:
            break
    assert texts == ["word live b", "word live a", *(f"word {n} {k}" for n in (2, 1) for k in (2, 1, 0))]
    with pytest.raises(RingmasterError) as caught:
        search(paths, "word", cursor="row-x")
    assert caught.value.kind is ErrorKind.USAGE


def test_long_output_is_indexed_in_slices_with_lines_whole(paths: Paths):
    lines = [f"line {n} {'x' * 90_000}" for n in range(3 * SLICE_BYTES // 90_000)]
    attempt = make_attempt(paths, "t/1", *lines)
    slices = list(iter_steps(attempt, paths, SETTINGS))
    assert len(slices) >= 3
    assert [step.text.split()[1] for steps in slices for step in steps] == [str(n) for n in range(len(lines))]


def test_the_end_of_long_output_begins_with_a_line_and_within_no_key(paths: Paths):
    begin, end = (f"-----{word} RSA PRIVATE KEY-----" for word in ("BEGIN", "END"))
    attempt = make_attempt(paths, "t/1", begin, *["Zm9v" * 16] * 40, end, "x" * 3_000_000, "the last")
    size = (paths.attempt("t/1") / "agent" / "stdout").stat().st_size
    for from_end in (3_000_500, 3_001_000, 3_002_000):
        steps = [step for steps in iter_steps(attempt, paths, SETTINGS, from_end=from_end) for step in steps]
        assert not any("Zm9v" in step.text for step in steps)
        assert (steps[-1].text, steps[-1].offset) == ("the last", size - 9)
    found = [step for steps in iter_steps(attempt, paths, SETTINGS, from_end=2_900_000) for step in steps]
    assert [step.text for step in found] == ["the last"]


def test_of_attempts_that_run_it_says_what_was_left_out(paths: Paths):
    live = make_attempt(paths, "t/1", "word a", "word b", "word c")
    index(paths)
    found = search_logs(LogsSearchParams(pattern="word", limit=2), (live,), paths, SETTINGS)
    assert [match.snippet for match in found.matches] == ["word c", "word b"]
    assert "not all that attempts that run said" in found.note
    assert search_logs(LogsSearchParams(pattern="word", limit=3), (live,), paths, SETTINGS).note == ""


@pytest.mark.parametrize("damage", ["garbage", "format", "tables"])
def test_an_index_that_cannot_be_read_is_made_anew(paths: Paths, damage: str):
    attempt = make_attempt(paths, "t/1", "a word")
    index(paths, attempt)
    checkpoint(paths)
    path = paths.state / INDEX_FILE
    if damage == "garbage":
        path.write_bytes(b"no database" * 1000)
    else:
        db = apsw.Connection(str(path))
        db.execute("PRAGMA user_version = 99" if damage == "format" else "DROP TABLE place")
        db.close()
    opened = open_log_index(path)
    assert (opened.place(), opened.attempt_ids()) == ((0, False), [])
    opened.close()
    index(paths, attempt)
    assert search(paths, "word") == [("t/1", "a word")]


def test_what_is_removed_is_found_no_more(paths: Paths):
    index(paths, make_attempt(paths, "t/1", "a word"), make_attempt(paths, "t/2", "a word"))
    opened: LogIndex = open_log_index(paths.state / INDEX_FILE)
    assert [opened.remove_some("t/1") for _ in range(2)] == [1, 0]
    assert opened.is_indexed("t/2")
    assert not opened.is_indexed("t/1")
    opened.close()
    assert search(paths, "word") == [("t/2", "a word")]


def test_without_an_index_it_says_what_is_missing(paths: Paths):
    found = search_logs(LogsSearchParams(pattern="word"), (), paths, SETTINGS)
    assert (found.matches, found.cursor) == ((), "")
    assert "being made" in found.note


def test_a_snippet_is_a_piece_around_the_first_match():
    text = "a " * 500 + "needle " + "b " * 500
    piece = snippet_of(text, parse_pattern("needle"))
    assert piece is not None
    assert len(piece) == 242
    assert (piece[0], piece[-1]) == ("…", "…")
    assert "needle" in piece
    assert snippet_of(text, parse_pattern("needle thread")) is None


def test_it_is_closed_without_a_look_at_the_disk_and_a_log_of_another_file_does_no_harm(paths: Paths):
    index(paths, make_attempt(paths, "t/1", *["a word"] * 1_000))
    path, log = paths.state / INDEX_FILE, paths.state / f"{INDEX_FILE}-wal"
    assert log.stat().st_size > 10_000
    assert len(search(paths, "word")) == 50
    # Somebody removed the one and not the other.
    path.unlink()
    opened = open_log_index(path)
    assert (opened.place(), opened.attempt_ids()) == ((0, False), [])
    opened.close()
    index(paths, make_attempt(paths, "t/2", "a word"))
    assert search(paths, "word") == [("t/2", "a word")]


def test_what_is_removed_gives_its_room_back_a_piece_at_a_time(paths: Paths, monkeypatch: pytest.MonkeyPatch):
    for name in ("REMOVED_ROWS", "MERGED_PAGES", "FREED_PAGES"):
        monkeypatch.setattr(log_index, name, 50)
    kept = make_attempt(paths, "t/2", "a word that stays")
    index(paths, make_attempt(paths, "t/1", *[f"line {n} says word{n} and {n * n}" for n in range(5_000)]), kept)
    checkpoint(paths)
    path = paths.state / INDEX_FILE
    full = path.stat().st_size
    opened = open_log_index(path)
    assert opened.remove_some("t/1") == 50
    assert not opened.is_indexed("t/1"), "what is left of it is not all of it"
    while opened.remove_some("t/1"):
        pass
    assert opened.count() == 1
    assert len(list(opened.shrink(is_merged=True))) >= 5
    opened.close()
    assert path.stat().st_size < full / 10
    assert search(paths, "word*") == [("t/2", "a word that stays")]


def run_line(number: int, command: str, code: int | None = None) -> str:
    """The beginning of a command of a scripted agent, or its end."""
    if code is None:
        return json.dumps({"type": "step", "n": number, "do": "run", "text": command})
    return json.dumps({"type": "output", "n": number, "text": "", "code": code})


def test_a_command_is_found_once_with_its_exit_and_by_its_failure(paths: Paths):
    long = "make two\nlines"
    lines = [
        run_line(1, "make one"),
        run_line(1, "", 0),
        run_line(2, long),
        run_line(2, "", 3),
        run_line(3, "make hang"),
    ]
    attempt = msgspec.structs.replace(make_attempt(paths, "t/1", *lines), agent="scripted")

    def found(**params: object) -> list[tuple[str, int | None, bool]]:
        wanted = msgspec.convert({"pattern": "make", **params}, LogsSearchParams)
        live = () if is_indexed else (attempt,)
        matches = search_logs(wanted, live, paths, SETTINGS).matches
        return sorted((match.snippet, match.exit_code, match.is_failed) for match in matches)

    for is_indexed in (False, True):
        if is_indexed:
            index(paths, attempt)
        assert found() == [
            ("exit 0: make one", 0, False),
            ("exit 3: make two …", 3, True),
            ("run make hang", None, False),
            ("run make two\nlines", None, False),
        ]
        assert found(is_failed=True) == [("exit 3: make two …", 3, True)]


def test_beginnings_without_an_end_are_kept_however_many_and_where_the_output_is_cut(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
):
    count = 2 * indexing.BEGUN_ROWS
    lines = [run_line(n % (count - 5), f"make {n}") for n in range(count)]
    attempt = msgspec.structs.replace(make_attempt(paths, "t/1", *lines), agent="scripted")
    rows = [step for steps in iter_steps(attempt, paths, SETTINGS) for step in steps]
    assert sorted(int(row.text.split()[-1]) for row in rows) == list(range(count))
    monkeypatch.setattr(indexing, "INDEXED_BYTES", len("\n".join(lines[:10])) + 1)
    kept = [step for steps in iter_steps(attempt, paths, SETTINGS, from_end=10**9) for step in steps]
    assert [row.text for row in kept] == [f"run make {n}" for n in range(10)]
