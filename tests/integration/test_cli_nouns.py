"""rmctl as a program against a scripted daemon: projects, workers, attempts, decisions, and unknown words."""

from __future__ import annotations

import json
import time

import pytest

from ringmaster.model.project import ProjectConfig
from ringmaster.protocol.attempt import AttemptList
from ringmaster.protocol.decision import DecisionAnswered, DecisionList
from ringmaster.protocol.project import ProjectList, Removed
from ringmaster.protocol.worker import WorkerList
from tests.fakes.rpc_results import AT, make_attempt, make_decision, make_project, make_worker


def test_project_add_sends_an_absolute_path_and_only_what_was_given(daemon, rmctl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    daemon.answers["project.add"] = make_project()
    ended = rmctl(
        *("project", "add", "sub", "--name", "toy", "--gate", "make test", "--setup", "a", "--setup", "b c"),
        *("--approve", "ask", "--gate-limit", "5m", "--cache", ".venv", "--protect", "!x", "--max-running", "2"),
    )
    assert ended.out == "toy\tactive\tmain\t/src/toy\n"
    [params] = daemon.called("project.add")
    assert (params.path, params.id, params.target) == (str(tmp_path / "sub"), "toy", "")
    assert params.config == {
        "gate": "make test",
        "setup": ["a", "b c"],
        "approve": "ask",
        "gate_limit_s": 300,
        "cache": [".venv"],
        "protected": ["!x"],
        "max_running": 2,
    }


@pytest.mark.parametrize(("keys", "setting"), [(b"y\n", "clean"), (b"\n", "never"), (b"\x04", "never")])
def test_on_a_terminal_the_checkout_is_asked_about_once(daemon, rmctl, keys, setting, tmp_path):
    daemon.answers["project.add"] = make_project()
    ended = rmctl.on_terminal("project", "add", str(tmp_path), keys=keys)
    assert ended.code == 0
    assert ended.out.count("move it along?") == 1
    assert daemon.called("project.add")[0].config == {"update_checkout": setting}


def test_nobody_is_asked_where_nobody_is_or_the_answer_is_given(daemon, rmctl, tmp_path):
    daemon.answers["project.add"] = make_project()
    there, absent = str(tmp_path), str(tmp_path / "absent")
    rmctl("project", "add", there)
    assert "?" not in rmctl.on_terminal("project", "add", there, "--update-checkout", "clean").out
    assert "?" not in rmctl.on_terminal("project", "add", there, "-y").out
    assert "?" not in rmctl.on_terminal("project", "add", absent).out, "it is refused in any case"
    assert [call.config for call in daemon.called("project.add")] == [{}, {"update_checkout": "clean"}, {}, {}]


def test_project_edit_takes_pairs_and_options(daemon, rmctl):
    daemon.answers["project.edit"] = make_project()
    ended = rmctl(
        *("project", "edit", "toy", "gate=make check", "setup=a", "setup=b", "env=", "max-running=3"),
        *("gate_limit_s=60", "target=dev", "--approve", "auto", "--resume", "--self"),
    )
    assert ended.code == 0
    [params] = daemon.called("project.edit")
    assert (params.id, params.target, params.state) == ("toy", "dev", "active")
    assert params.config == {
        "gate": "make check",
        "setup": ["a", "b"],
        "env": [],
        "max_running": 3,
        "gate_limit_s": 60,
        "approve": "auto",
        "is_self": True,
    }
    rmctl("project", "edit", "toy", "is_self=false")
    assert daemon.called("project.edit")[1].config == {"is_self": False}


@pytest.mark.parametrize(
    ("pair", "words"),
    [("gat=x", "no project setting 'gat'"), ("max_running=many", "max_running='many'"), ("x", "no key=value")],
)
def test_a_setting_that_cannot_be_is_refused_in_words(rmctl, pair, words):
    ended = rmctl("project", "edit", "toy", pair)
    assert ended.code == 2
    assert words in ended.err


def test_projects_are_listed_and_shown(daemon, rmctl):
    daemon.answers |= {"project.list": ProjectList(projects=(make_project(),)), "project.show": make_project()}
    assert rmctl("project", "ls").out == "toy\tactive\tmain\tauto\tmake test\t/src/toy\n"
    shown = rmctl("project", "show", "toy").out
    assert 'next          rmctl task add -P toy "TITLE"' in shown
    assert "is_self" not in shown
    own = make_project(config=ProjectConfig(is_self=True))
    daemon.answers["project.show"] = own
    assert "is_self" in rmctl("project", "show", "toy").out


def test_removing_asks_on_a_terminal_unless_told_yes(daemon, rmctl):
    daemon.answers["project.remove"] = Removed(id="toy", note="3 tasks kept")
    assert rmctl.on_terminal("project", "remove", "toy", keys=b"\n").code == 6
    assert daemon.called("project.remove") == []
    assert rmctl.on_terminal("project", "remove", "toy", keys=b"y\n").code == 0
    assert rmctl.on_terminal("project", "remove", "toy", "-y").code == 0
    assert rmctl("project", "remove", "toy") == (0, "toy\n", "3 tasks kept\n")


def test_spawn_with_a_command_line_of_its_own(daemon, rmctl):
    daemon.answers["worker.spawn"] = WorkerList(workers=(make_worker(), make_worker(id="w2")))
    ended = rmctl(
        *("worker", "spawn", "w", "--agent", "command", "-n", "2", "-P", "toy", "--cap", "gpu,big"),
        *("--", "prog", "-o", "json", "--", "{prompt_file}"),
    )
    assert ended.out == "w1\tidle\tscripted\nw2\tidle\tscripted\n"
    [params] = daemon.called("worker.spawn")
    assert (params.id, params.agent, params.count, params.project_id) == ("w", "command", 2, "toy")
    assert params.capabilities == ("gpu", "big")
    assert params.command == ("prog", "-o", "json", "--", "{prompt_file}")


def test_a_command_agent_without_a_command_is_refused(rmctl):
    ended = rmctl("worker", "spawn", "--agent", "command")
    assert ended.code == 2
    assert "-- PROGRAM" in ended.err


def test_workers_are_set_by_name_or_all_at_once(daemon, rmctl):
    result = WorkerList(workers=(make_worker("paused"),))
    daemon.answers |= {f"worker.{verb}": result for verb in ("start", "pause", "stop", "remove")}
    assert rmctl("worker", "pause", "w1", "w2").out == "w1\tpaused\tscripted\n" * 2
    assert [(call.id, call.is_all) for call in daemon.called("worker.pause")] == [("w1", False), ("w2", False)]
    assert rmctl("worker", "stop", "--all").code == 0
    assert daemon.called("worker.stop")[0].is_all
    assert rmctl("worker", "start").err == "rmctl: name workers or --all (rmctl worker start ID…|--all)\n"
    assert rmctl("worker", "remove", "w1").code == 0


def test_workers_are_listed_and_shown(daemon, rmctl):
    view = make_worker("working", task_id="rm-abc12", task_title="Mend")
    daemon.answers |= {"worker.list": WorkerList(workers=(view,)), "worker.show": view}
    assert rmctl("worker", "list").out == "w1\tworking\tscripted\trm-abc12\t\tMend\n"
    assert rmctl("worker", "show", "w1").out.startswith("w1  working\n")


def test_attempts_are_listed_and_shown(daemon, rmctl):
    ended_attempt = make_attempt(state="ended", outcome="succeeded", ended_at=AT + 65, report={"turns": 3})
    daemon.answers |= {"attempt.list": AttemptList(attempts=(ended_attempt,)), "attempt.show": ended_attempt}
    assert rmctl("attempt", "list", "rm-abc12", "--live").out == "rm-abc12/1\tsucceeded\tscripted\tw1\t1m 5s\t\n"
    [params] = daemon.called("attempt.list")
    assert (params.task_id, params.is_live) == ("rm-abc12", True)
    shown = rmctl("attempt", "show", "rm-abc12/1").out
    assert "report\n  turns  3\n" in shown
    assert "next          rmctl logs rm-abc12/1\n" in shown


def test_decisions_are_listed_shown_and_answered(daemon, rmctl):
    answered = make_decision(state="answered", answer="accept", answered_at=AT)
    daemon.answers |= {
        "decision.list": DecisionList(decisions=(make_decision(),)),
        "decision.show": make_decision(detail="two\nlines"),
        "decision.answer": DecisionAnswered(decision=answered, note="it goes on to the gate"),
    }
    assert rmctl("decision", "list").out == "d-q1w2e\taccept\trm-abc12\taccept|reject\tLet it land?\t\t\t\n"
    assert "  two\n  lines\n" in rmctl("decision", "show", "d-q").out
    ended = rmctl("decision", "answer", "d-q", "use", "the", "old", "one", "-m", "please")
    assert ended == (0, "d-q1w2e\tanswered\taccept\n", "it goes on to the gate\n")
    [params] = daemon.called("decision.answer")
    assert (params.id, params.answer, params.message) == ("d-q", "use the old one", "please")


def test_what_comes_with_a_question_is_shown(daemon, rmctl):
    asked = make_decision(
        kind="question",
        options=("a", "b"),
        recommendation="a",
        urgency="high",
        default_answer="b",
        default_at=time.time() + 3 * 86400 + 7230,
    )
    daemon.answers |= {"decision.list": DecisionList(decisions=(asked,)), "decision.show": asked}
    line = rmctl("decision", "list").out
    assert line == "d-q1w2e\tquestion\trm-abc12\ta|b\tLet it land?\thigh\ta\tb in 3d 2h\n"
    shown = rmctl("decision", "show", "d-q1w2e").out
    for words in ("urgency       high\n", "recommended   a\n", "by default    b in 3d 2h, at "):
        assert words in shown, shown


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("stauts",), "did you mean: rmctl status"),
        (("task", "lst"), "did you mean: rmctl task list"),
        (("xyzzy",), "there are: status, add"),
        (("accept", "rm-abc12"), "did you mean: rmctl task accept\n"),
        (("remove",), "did you mean: rmctl project remove or rmctl worker remove\n"),
        (("add", " "), "the title is empty (rmctl add "),
        (("task", "add"), "missing argument 'TITLE' (rmctl task add --help)"),
        (("ls", "--stat", "x"), "--state"),
        (("ls", "-o", "yaml"), "'yaml'"),
        (("add", "T", "-p", "9"), "0<=x<=4"),
        (("add", "T", "-p", "high"), "'high' is not a whole number ("),
        (("add", "T", "--wall", "soon"), "'soon' is no duration"),
        (("add", "T", "d", "-F", "f"), "both a description and -F"),
        (("events", "--since", "x"), "'x' is no time"),
    ],
)
def test_bad_input_gets_one_line_that_says_what_to_do(rmctl, args, words):
    ended = rmctl(*args)
    assert (ended.code, ended.out) == (2, "")
    assert words in ended.err
    assert ended.err.count("\n") == 1


def test_bad_input_is_an_object_for_programs_also_where_it_could_not_be_parsed(rmctl):
    ended = rmctl("ls", "--nonsense", "-o", "json")
    assert json.loads(ended.err)["error"]["kind"] == "usage"
