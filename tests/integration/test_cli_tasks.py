"""rmctl as a program against a scripted daemon: tasks, from adding one to rejecting its work."""

from __future__ import annotations

import json

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.task import Limits
from ringmaster.protocol.attempt import AttemptPrompt, AttemptPromptSent
from ringmaster.protocol.task import BlockerView, TaskChanged, TaskDiff, TaskList, TaskWaited
from tests.fakes.rpc_results import make_attempt, make_decision, make_detail, make_task, make_view
from tests.fakes.rpc_server import HangUp


def changed(**changes):
    return TaskChanged(view=make_view(**changes))


def test_add_sends_every_field(daemon, rmctl):
    daemon.answers["task.add"] = changed()
    ended = rmctl(
        *("task", "add", "Mend it", "-", "-P", "toy", "-p", "0", "-l", "a,b", "--label", "c"),
        *("--accept", "it parses, at last", "--accept", "fast", "--after", "rm-1,rm-2", "--after", "rm-3"),
        *("--cap", "gpu", "--agent", "scripted", "--model", "m", "--max-attempts", "5", "--wall", "10m"),
        *("--no-diff", "--draft"),
        stdin=b"from stdin\n",
    )
    assert ended == (0, "rm-abc12\tready\tMend the parser\n", "")
    [params] = daemon.called("task.add")
    assert (params.title, params.description, params.project_id) == ("Mend it", "from stdin\n", "toy")
    assert (params.priority, params.labels, params.acceptance) == (0, ("a", "b", "c"), ("it parses, at last", "fast"))
    assert (params.after, params.capabilities) == (("rm-1", "rm-2", "rm-3"), ("gpu",))
    assert (params.agent, params.model, params.max_attempts) == ("scripted", "m", 5)
    assert params.limits == Limits(wall_s=600)
    assert params.is_draft
    assert not params.is_diff_needed
    assert len(params.idempotency_key) == 32


def test_add_reads_a_file_and_quiet_prints_the_id_alone(daemon, rmctl, tmp_path):
    daemon.answers["task.add"] = changed()
    (tmp_path / "d.md").write_text("all of it")
    assert rmctl("-q", "add", "T", "-F", str(tmp_path / "d.md")) == (0, "rm-abc12\n", "")
    assert daemon.called("task.add")[0].description == "all of it"


def test_a_mutation_is_repeated_under_its_key_when_the_connection_closes(daemon, rmctl):
    daemon.answers["task.add"] = [HangUp(), changed()]
    assert rmctl("add", "T").code == 0
    first, second = daemon.called("task.add")
    assert first == second


def test_global_options_before_and_after_the_verb(daemon, rmctl):
    daemon.answers["task.list"] = TaskList(tasks=(make_view(),))
    before = rmctl("-o", "json", "--fields", "id,title", "task", "list")
    between = rmctl("task", "-o", "json", "list", "--fields", "id,title")
    after = rmctl("ls", "-ojson", "--fields=id,title")
    assert before == between == after
    assert json.loads(after.out) == [{"id": "rm-abc12", "title": "Mend the parser"}]


def test_list_reads_all_pages_and_says_where_it_stopped(daemon, rmctl):
    pages = [
        TaskList(tasks=(make_view(id="rm-1"), make_view(id="rm-2")), next_cursor=7),
        TaskList(tasks=(make_view(id="rm-3"),), next_cursor=9),
    ]
    daemon.answers["task.list"] = list(pages)
    assert rmctl("-q", "ls", "-n", "3").out == "rm-1\nrm-2\nrm-3\n"
    assert [(call.cursor, call.limit) for call in daemon.called("task.list")] == [(0, 3), (7, 1)]
    daemon.answers["task.list"] = list(pages)
    assert "-n 0" in rmctl("ls", "-n", "2").err


def test_list_passes_its_filters_on(daemon, rmctl):
    daemon.answers["task.list"] = TaskList(tasks=())
    assert rmctl("ls", "-P", "toy", "--state", "ready,blocked", "-l", "x", "-a").out == ""
    [params] = daemon.called("task.list")
    assert (params.project_id, params.state, params.label, params.is_all) == ("toy", ("ready", "blocked"), "x", True)


def test_show_is_a_page_with_what_comes_next(daemon, rmctl):
    daemon.answers["task.show"] = make_detail(
        view=make_view(
            "blocked",
            description="Line one\nline two",
            acceptance=("it works",),
            limits=Limits(wall_s=90, budget_usd=3),
        ),
        blockers=(BlockerView(kind="task", id="rm-9", state="open", words="rm-9 is not done"),),
        attempts=(make_attempt(state="ended", outcome="gate_failed", reason="1 failed"),),
        decisions=(make_decision(),),
        next_step="wait for rm-9: rmctl show rm-9",
    )
    ended = rmctl("show", "rm-abc")
    assert daemon.called("task.show")[0].id == "rm-abc"
    assert ended.out.startswith("rm-abc12  blocked  Mend the parser\n")
    for part in ("  Line one\n  line two", "  - it works", "rm-9 is not done", "gate_failed", "wall 1m 30s", "d-q1w2e"):
        assert part in ended.out
    assert "next          wait for rm-9: rmctl show rm-9" in ended.out
    assert "wall 1m 30s, budget $3.00" in ended.out
    assert "gate output   rmctl logs rm-abc12 -S gate" in ended.out


def test_show_finds_the_noun_by_the_form_of_the_id(daemon, rmctl):
    daemon.answers |= {"attempt.show": make_attempt(), "decision.show": make_decision()}
    assert "rmctl logs rm-abc12/1 -f" in rmctl("show", "rm-abc12/1").out
    assert "rmctl decision answer d-q1w2e accept|reject" in rmctl("show", "d-q1w2e").out


def test_what_others_wrote_cannot_steer_the_terminal(daemon, rmctl):
    daemon.answers["task.show"] = make_detail(view=make_view(title="\x1b[2Jx", description="a\x9b31mb\r\x07"))
    ended = rmctl.on_terminal("show", "rm-abc12", "--no-color")
    assert "\x1b" not in ended.out
    assert "\x9b" not in ended.out
    assert "\\x1b[2Jx" in ended.out


def test_edit_sends_only_what_was_named(daemon, rmctl):
    daemon.answers["task.edit"] = changed()
    assert rmctl("task", "edit", "rm-abc12", "--title", "New", "-l", "", "--open").code == 0
    [params] = daemon.called("task.edit")
    assert (params.title, params.labels, params.is_draft) == ("New", (), False)
    assert (params.description, params.limits, params.acceptance) == (None, None, None)


def test_editing_one_limit_keeps_the_others(daemon, rmctl):
    daemon.answers |= {"task.show": make_detail(view=make_view(limits=Limits(idle_s=5))), "task.edit": changed()}
    assert rmctl("task", "edit", "rm-abc12", "--wall", "1h").code == 0
    assert daemon.called("task.edit")[0].limits == Limits(wall_s=3600, idle_s=5)


def test_an_edit_of_nothing_says_so(rmctl):
    assert rmctl("task", "edit", "rm-abc12") == (2, "", "rmctl: nothing to change (rmctl task edit --help)\n")


def test_dependencies(daemon, rmctl):
    daemon.answers["task.dep"] = changed()
    assert rmctl("task", "dep", "rm-a", "rm-b", "--add", "rm-c", "--remove", "rm-d").code == 0
    [params] = daemon.called("task.dep")
    assert (params.id, params.add, params.remove) == ("rm-a", ("rm-b", "rm-c"), ("rm-d",))


def test_words_that_only_repeat_the_row_are_left_out(daemon, rmctl):
    for note, told in (("rm-abc12 is cancelled", ""), ("attempt rm-abc12/1 is being ended", "being ended")):
        daemon.answers["task.cancel"] = TaskChanged(view=make_view("cancelled"), note=note)
        ended = rmctl("cancel", "rm-abc12")
        assert ended.out == "rm-abc12\tcancelled\tMend the parser\n"
        assert told in ended.err
        assert bool(ended.err) == bool(told)


def test_cancel_and_retry_take_several(daemon, rmctl):
    daemon.answers |= {"task.cancel": changed(shown="cancelled"), "task.retry": changed()}
    assert rmctl("cancel", "rm-1", "rm-2", "-m", "why").code == 0
    assert [(call.id, call.message) for call in daemon.called("task.cancel")] == [("rm-1", "why"), ("rm-2", "why")]
    assert rmctl("retry", "rm-1").code == 0
    keys = {call.idempotency_key for call in daemon.called("task.cancel") + daemon.called("task.retry")}
    assert len(keys) == 3


def waited(shown, *, is_over=True, needs=""):
    return TaskWaited(view=make_view(shown), is_over=is_over, needs=needs)


@pytest.mark.parametrize(("shown", "code"), [("done", 0), ("failed", 1), ("cancelled", 1)])
def test_wait_ends_as_the_task_did(daemon, rmctl, shown, code):
    daemon.answers["task.wait"] = waited(shown)
    assert rmctl("wait", "rm-abc12") == (code, f"rm-abc12\t{shown}\tMend the parser\n", "")
    assert daemon.called("task.wait")[0].timeout_s is None


def test_wait_names_the_decision_that_is_needed(daemon, rmctl):
    daemon.answers["task.wait"] = waited("validating", needs="d-q1w2e")
    ended = rmctl("wait", "rm-abc12")
    assert ended.code == 1
    assert "rmctl decision show d-q1w2e" in ended.err


def test_wait_over_its_time_is_124(daemon, rmctl):
    daemon.answers["task.wait"] = waited("running", is_over=False)
    ended = rmctl("wait", "rm-abc12", "--timeout", "5")
    assert ended.code == 124
    assert "is still running" in ended.err
    assert 4 < daemon.called("task.wait")[0].timeout_s <= 5


def test_wait_goes_on_over_a_lost_connection(daemon, rmctl):
    daemon.answers["task.wait"] = [HangUp(), waited("done")]
    assert rmctl("wait", "rm-abc12").code == 0


def test_diff_in_a_pipe_is_as_it_is_but_for_what_acts_on_a_terminal(daemon, rmctl):
    text = "--- a\n+++ b\n@@ -1 +1 @@\n-\x1b[1m\x9b1m\u202e\n+ä\t\r\n"
    daemon.answers["task.diff"] = TaskDiff(
        id="rm-abc12", attempt_id="rm-abc12/1", base="a", head="b", stat=" f | 2 +-\n", diff=text, is_truncated=False
    )
    ended = rmctl("task", "diff", "rm-abc12")
    assert ended.out == "--- a\n+++ b\n@@ -1 +1 @@\n-\\x1b[1m\\x9b1m\\u202e\n+ä\t\r\n"
    assert rmctl("task", "diff", "rm-abc12", "--stat").out == " f | 2 +-\n"
    printed = rmctl("task", "diff", "rm-abc12", "-o", "json").out
    assert json.loads(printed)["diff"] == text
    assert all(letter == "\n" or letter.isprintable() for letter in printed)
    assert "\x1b[1m\n" not in rmctl.on_terminal("task", "diff", "rm-abc12", "--no-color").out


def test_accept_and_reject(daemon, rmctl):
    daemon.answers |= {"task.accept": changed(), "task.reject": changed()}
    assert rmctl("task", "accept", "rm-1").code == 0
    assert rmctl("task", "reject", "rm-1", "-m", "-", stdin=b"the test is gone").code == 0
    assert daemon.called("task.reject")[0].message == "the test is gone"
    ended = rmctl("task", "reject", "rm-1")
    assert (ended.code, ended.out) == (2, "")
    assert "'-m'" in ended.err


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ErrorKind.NOT_FOUND, 4),
        (ErrorKind.WRONG_STATE, 5),
        (ErrorKind.REFUSED, 6),
        (ErrorKind.PERMISSION, 7),
        (ErrorKind.INTERNAL, 1),
        (ErrorKind.DISK_FULL, 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code_and_its_line(daemon, rmctl, kind, code):
    daemon.answers["task.show"] = RingmasterError(kind, "it is so", "rmctl ls")
    assert rmctl("show", "rm-x") == (code, "", "rmctl: it is so (rmctl ls)\n")
    ended = rmctl("show", "rm-x", "-o", "json")
    told = {"code": code, "kind": str(kind), "message": "it is so", "hint": "rmctl ls"}
    assert json.loads(ended.err) == {"error": told}
    assert ended.out == ""


def test_parked_work_is_said_to_be(daemon, rmctl):
    view = make_view("done", is_parked=True, done_by="landed", landed_commit="c" * 40)
    daemon.answers["task.list"] = TaskList(tasks=(view,))
    assert "\tdone (parked)\t" in rmctl("ls").out


def test_work_that_waits_for_a_person_on_its_way_says_so(daemon, rmctl):
    views = make_view("validating", is_asking=True), make_view("waiting", is_asking=True)
    daemon.answers["task.list"] = TaskList(tasks=views)
    out = rmctl("ls").out
    assert "\tvalidating (asks you)\t" in out
    assert "\twaiting\t" in out


def test_a_narrow_terminal_cuts_the_title_alone(daemon, rmctl):
    daemon.answers["task.list"] = TaskList(tasks=(make_view(title="word " * 40),))
    lines = rmctl.on_terminal("ls", "--no-color", columns=60).out.splitlines()
    assert lines[0].startswith("ID")
    assert max(map(len, lines)) <= 60
    assert lines[1].endswith("…")
    assert make_task().id in lines[1]


def test_a_prompt_cannot_act_on_the_terminal_of_whoever_looks_at_it(daemon, rmctl):
    said = "go on\x1b[2J\x9b1m\u202e\n\tdone\n"
    spelt = "go on\\x1b[2J\\x9b1m\\u202e\n\tdone\n"
    daemon.answers |= {
        "attempt.prompt_sent": AttemptPromptSent(attempt_id="rm-a/1", prompt=said, file="/f"),
        "attempt.prompt": AttemptPrompt(attempt_id="rm-a/1", prompt=said, file="/f"),
    }
    assert rmctl("attempt", "prompt", "rm-a").out == spelt
    assert rmctl("prompt", "--attempt", "rm-a/1", "--token", "t").out == spelt
