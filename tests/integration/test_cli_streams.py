"""rmctl as a program against a scripted daemon: events and logs, read, followed, and taken up again."""

from __future__ import annotations

import json

import pytest

from ringmaster.protocol.event import EventPage
from tests.fakes.rpc_results import AT, make_chunk, make_event
from tests.fakes.rpc_server import Stream


def page(*seqs, cursor=None):
    return EventPage(events=tuple(map(make_event, seqs)), cursor=max(seqs) if cursor is None else cursor)


def seqs(ended):
    return [int(line.partition("\t")[0]) for line in ended.out.splitlines()]


def test_events_without_a_cursor_are_the_newest(daemon, rmctl):
    daemon.answers["events.read"] = page(8, 9)
    ended = rmctl("events", "-t", "task.,worker.spawned", "--task", "rm-a")
    assert ended.out.splitlines()[0] == "8\t2027-01-15T08:00:00.000Z\ttask.created\trm-abc12\ttitle=Mend the parser"
    [params] = daemon.called("events.read")
    assert (params.after, params.limit, params.type, params.task_id) == (None, 20, ("task.", "worker.spawned"), "rm-a")


def test_events_after_a_cursor_are_all_of_them(daemon, rmctl):
    """A filter can leave a page empty while there is more to come."""
    daemon.answers["events.read"] = [page(1, 2), page(cursor=500), page(501), page(cursor=501)]
    assert seqs(rmctl("events", "--after-cursor", "0")) == [1, 2, 501]
    assert [call.after for call in daemon.called("events.read")] == [0, 2, 500, 501]


@pytest.mark.parametrize("options", [[], ["-f"]])
def test_a_cursor_that_no_event_has_reached_is_refused(daemon, rmctl, options):
    daemon.answers["events.read"] = lambda params: page(cursor=4 if params.after is None else params.after)
    ended = rmctl("events", "--after-cursor", "9", *options)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "rmctl: there is no event 9 yet: the newest is 4 (rmctl events --after-cursor 4)\n"
    assert daemon.called("feed.subscribe") == []


def test_the_newest_cursor_is_one_that_was_reached(daemon, rmctl):
    daemon.answers["events.read"] = lambda params: page(cursor=4)
    ended = rmctl("events", "--after-cursor", "4")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_events_since_a_time(daemon, rmctl):
    daemon.answers["events.read"] = [
        EventPage(events=(make_event(1, at=AT - 100), make_event(2, at=AT)), cursor=2),
        page(cursor=2),
    ]
    assert seqs(rmctl("events", "--since", "2027-01-15T07:59:00Z")) == [2]


def test_raw_logs_are_the_very_bytes(daemon, rmctl):
    """Also where a chunk ends within a character, and where bytes are no text."""
    daemon.answers["logs.read"] = [make_chunk(0, b"a\x1b[1m\xff\xc3"), make_chunk(7, b"\xa4\r\n", is_end=True)]
    process = rmctl.start("logs", "rm-abc12", "--raw", "-a", "3", "-n", "5", "-S", "stderr")
    out, _ = process.communicate(timeout=30)
    assert out == b"a\x1b[1m\xff\xc3\xa4\r\n"
    first, second = daemon.called("logs.read")
    assert (first.id, first.stream, first.tail_lines, first.offset) == ("rm-abc12/3", "stderr", 5, 0)
    assert first.is_raw
    assert second.is_raw
    # A newer attempt may have begun in between: the second page is the first one's attempt.
    assert (second.id, second.job, second.tail_lines, second.offset) == ("rm-abc12/1", "agent", None, 7)


def test_logs_on_a_terminal_are_harmless_and_raw_ones_are_not(daemon, rmctl):
    daemon.answers["logs.read"] = lambda _: make_chunk(0, "ä\x1b[31mred\n".encode(), is_end=True)
    assert rmctl.on_terminal("logs", "rm-abc12").out == "ä\\x1b[31mred\n"
    assert rmctl.on_terminal("logs", "rm-abc12", "--raw").out == "ä\x1b[31mred\n"


def test_logs_in_a_pipe_are_the_text_that_the_daemon_shows(daemon, rmctl):
    daemon.answers["logs.read"] = make_chunk(0, "ä red\n".encode(), is_end=True)
    assert rmctl("logs", "rm-abc12").out == "ä red\n"
    assert not daemon.called("logs.read")[0].is_raw


def test_logs_that_hold_nothing_say_so_to_a_person_alone(daemon, rmctl):
    daemon.answers["logs.read"] = lambda _: make_chunk(0, b"", is_end=True)
    assert rmctl.on_terminal("logs", "rm-abc12", "-S", "gate").out == "rm-abc12/1: nothing on gate\n"
    assert rmctl("logs", "rm-abc12", "-S", "gate") == (0, "", "")


def test_raw_logs_are_followed_over_a_restart_from_the_cursor(daemon, rmctl):
    daemon.answers["logs.follow"] = [
        Stream("logs.chunk", [make_chunk(100, b"one\n")], is_hung_up=True),
        Stream("logs.chunk", [make_chunk(104, b"two\n"), make_chunk(108, b"", is_end=True)]),
    ]
    ended = rmctl("logs", "-f", "rm-abc12", "--raw", "-n", "1", "--show-cursor")
    assert (ended.code, ended.out, ended.err) == (0, "one\ntwo\n", "cursor: 108\n")
    first, second = daemon.called("logs.follow")
    assert (first.id, first.tail_lines, first.offset) == ("rm-abc12", 1, 0)
    assert (second.id, second.job, second.tail_lines, second.offset) == ("rm-abc12/1", "agent", None, 104)


def test_logs_as_json_carry_the_bytes(daemon, rmctl):
    daemon.answers["logs.read"] = make_chunk(0, b"\xff", is_end=True)
    [line] = rmctl("logs", "rm-abc12", "--raw", "-o", "jsonl").out.splitlines()
    assert json.loads(line)["data_base64"] == "/w=="


def test_since_is_passed_on_as_a_time(daemon, rmctl):
    daemon.answers["logs.read"] = make_chunk(0, b"", is_end=True)
    assert rmctl("logs", "rm-abc12", "--since", "2027-01-15T08:00:00Z").code == 0
    assert daemon.called("logs.read")[0].since_at == AT
