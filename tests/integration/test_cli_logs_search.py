"""rmctl as a program against a scripted daemon: words looked for in what agents did."""

from __future__ import annotations

import json

import pytest

from ringmaster.protocol.logs import LogMatch, LogsFound
from tests.fakes.rpc_results import AT


def match(number=1, snippet="Migrating the users table", **changes):
    plain = {
        "attempt_id": f"rm-abc12/{number}",
        "task_id": "rm-abc12",
        "project_id": "toy",
        "job": "agent",
        "offset": 7,
        "kind": "text",
        "snippet": snippet,
        "at": AT,
    }
    return LogMatch(**(plain | changes))


def test_each_match_is_a_line_with_its_attempt_time_and_kind(daemon, rmctl):
    daemon.answers["logs.search"] = LogsFound(matches=(match(), match(2, "a\tb\nc", kind="tool", at=None)))
    ended = rmctl("logs", "-g", "migrat* table", "-P", "toy")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "rm-abc12/1\t2027-01-15T08:00:00.000Z\ttext\tMigrating the users table",
        "rm-abc12/2\t\ttool\ta b c",
    ]
    [params] = daemon.called("logs.search")
    assert (params.pattern, params.project_id, params.limit) == ("migrat* table", "toy", 50)


@pytest.mark.parametrize(
    ("words", "task_id", "attempt_id"),
    [(["rm-abc12"], "rm-abc12", ""), (["rm-abc12/2"], "", "rm-abc12/2"), (["rm-abc12", "-a", "3"], "", "rm-abc12/3")],
)
def test_it_is_narrowed_to_a_task_or_an_attempt(daemon, rmctl, words, task_id, attempt_id):
    daemon.answers["logs.search"] = LogsFound(matches=(match(),))
    assert rmctl("logs", "-g", "users", *words).code == 0
    [params] = daemon.called("logs.search")
    assert (params.task_id, params.attempt_id) == (task_id, attempt_id)


def test_as_many_as_are_asked_for_come_page_by_page(daemon, rmctl):
    daemon.answers["logs.search"] = [
        LogsFound(matches=(match(1),) * 1000, cursor="p2"),
        LogsFound(matches=(match(2),) * 500, cursor="p3", note="attempts of before are not looked through"),
    ]
    ended = rmctl("logs", "-g", "users", "-n", "1500", "-q")
    assert ended.out.splitlines() == ["rm-abc12/1"] * 1000 + ["rm-abc12/2"] * 500
    assert [(call.limit, call.cursor) for call in daemon.called("logs.search")] == [(1000, ""), (500, "p2")]
    daemon.answers["logs.search"] = LogsFound(matches=(match(),) * 2, cursor="p2", note="one is still being read")
    ended = rmctl("logs", "-g", "users", "-n", "2")
    assert ended.err.splitlines() == ["one is still being read", "there are more than these 2: -n 4"]


def test_nothing_found_is_exit_code_1_as_with_grep(daemon, rmctl):
    daemon.answers["logs.search"] = LogsFound(matches=())
    assert rmctl("logs", "-g", "nowhere") == (1, "", "no step of any attempt has 'nowhere' in it\n")
    assert rmctl("logs", "-g", "nowhere", "-o", "json").out == "[]\n"


def test_the_words_are_marked_on_a_terminal_and_what_was_written_cannot_steer_it(daemon, rmctl):
    daemon.answers["logs.search"] = lambda params: LogsFound(
        matches=(match(1, "\x1b[2J migrating USERS, not superusers"),)
    )
    shown = rmctl.on_terminal("logs", "-g", "migrat* users").out
    assert "\\x1b[2J \x1b[1mmigrating\x1b[0m \x1b[1mUSERS\x1b[0m, not superusers\n" in shown
    plain = rmctl.on_terminal("logs", "-g", "migrat* users", columns=50, NO_COLOR="1").out
    assert plain.startswith("rm-abc12/1  2027-01-15 08:00  text  \\x1b[2J migr")
    assert len(plain.rstrip("\n")) == 50
    daemon.answers["logs.search"] = LogsFound(matches=(match(snippet="实现了搜索功能 in v2"),))
    shown = rmctl.on_terminal("logs", "-g", "搜索 v").out
    assert "实现了\x1b[1m搜索\x1b[0m功能 in v2" in shown


def test_how_a_command_ended_is_said_beside_its_words(daemon, rmctl):
    daemon.answers["logs.search"] = lambda params: LogsFound(
        matches=(
            match(1, "pytest -x", kind="command", exit_code=3, is_failed=True),
            match(2, "Edit a", kind="file", is_failed=True),
            match(3, "exit 0: pytest", kind="command", exit_code=0),
        )
    )
    shown = rmctl.on_terminal("logs", "-g", "pytest", "--failed", NO_COLOR="1").out
    assert [line.split("  ")[2] for line in shown.splitlines()] == [
        "command, exit 3",
        "file, failed",
        "command, exit 0",
    ]
    red, _, dim = rmctl.on_terminal("logs", "-g", "pytest").out.splitlines()
    assert red.startswith("\x1b[31mrm-abc12/1")
    assert not dim.startswith("\x1b[31m")
    wide = [line.split("\t")[-2:] for line in rmctl("logs", "-g", "pytest", "-o", "wide").out.splitlines()]
    assert wide == [["3", "yes"], ["", "yes"], ["0", "no"]]
    assert [params.is_failed for params in daemon.called("logs.search")] == [True, False, False]
    daemon.answers["logs.search"] = LogsFound(matches=())
    assert rmctl("logs", "-g", "x", "--failed") == (1, "", "no failed step of any attempt has 'x' in it\n")


def test_matches_as_json(daemon, rmctl):
    daemon.answers["logs.search"] = LogsFound(matches=(match(),))
    [row] = json.loads(rmctl("logs", "-g", "users", "-o", "json").out)
    assert (row["attempt_id"], row["offset"], row["at"]) == ("rm-abc12/1", 7, "2027-01-15T08:00:00.000Z")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-g", "x", "-f"], "-g goes with ID, -a, -P, -n and --failed alone"),
        (["-g", "x", "--raw"], "-g goes with ID, -a, -P, -n and --failed alone"),
        (["-g", "x", "--since", "2h"], "-g goes with ID, -a, -P, -n and --failed alone"),
        ([], "missing the ID of a task or attempt"),
        (["rm-1", "-P", "toy"], "-P goes with -g alone"),
        (["rm-1", "--failed"], "--failed goes with -g alone"),
        (["rm-1", "-g", " "], "-g takes words to look for"),
        (["rm-1", "--raw", "-S", "steps"], "there are no raw steps: they are words, made of stdout"),
    ],
)
def test_what_does_not_go_together_is_refused(daemon, rmctl, options, words):
    ended = rmctl("logs", *options)
    assert ended.code == 2
    assert words in ended.err
    assert daemon.calls == []
