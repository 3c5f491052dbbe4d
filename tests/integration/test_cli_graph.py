"""rmctl as a program against a scripted daemon: tasks as a graph, guards, and what the page of a task shows of them."""

from __future__ import annotations

import time

from ringmaster.model.dependency import DependencyKind
from ringmaster.model.states import TaskState
from ringmaster.model.task import TaskType
from ringmaster.protocol.task import DependencyView, DependencyWish, TaskChanged, TaskList
from tests.fakes.rpc_results import AT, make_detail, make_view


def changed(**changes):
    return TaskChanged(view=make_view(**changes))


def test_add_sends_the_place_in_the_graph(daemon, rmctl):
    daemon.answers["task.add"] = changed()
    before = time.time()
    ended = rmctl(
        *("add", "Mend it", "-t", "bug", "--parent", "rm-1", "--depends", "rm-2,conditional-blocks:rm-3"),
        *("--depends", "waits-for:rm-4:any", "--deadline", "2d", "--not-before", "2027-01-15T08:00:00Z", "--hold"),
    )
    assert ended.code == 0, ended.err
    [params] = daemon.called("task.add")
    assert (params.type, params.parent_id, params.is_held) == (TaskType.BUG, "rm-1", True)
    assert params.depends == (
        DependencyWish(id="rm-2"),
        DependencyWish(id="rm-3", kind=DependencyKind.CONDITIONAL_BLOCKS),
        DependencyWish(id="rm-4", kind=DependencyKind.WAITS_FOR, mode="any"),
    )
    assert 0 <= params.deadline_at - before - 172_800 < 60
    assert params.not_before_at == AT
    assert params.is_diff_needed is None, "its type is asked"


def test_what_is_no_type_kind_mode_or_state_is_refused_by_name(rmctl):
    for args, words in (
        (("add", "T", "-t", "story"), "'story' is no type of task"),
        (("add", "T", "--depends", "after:rm-1"), "'after' is no kind of dependency"),
        (("add", "T", "--depends", "blocks:rm-1:any"), "is no dependency"),
        (("task", "dep", "rm-1", "rm-2", "--mode", "any"), "--mode is for --kind waits-for"),
        (("task", "edit", "rm-1", "--title", "x", "--if-state", "ready"), "'ready' is no stored state"),
    ):
        ended = rmctl(*args)
        assert ended.code == 2
        assert words in ended.err


def test_edit_takes_type_and_deadline_and_takes_the_deadline_away(daemon, rmctl):
    daemon.answers["task.edit"] = changed()
    assert rmctl("task", "edit", "rm-1", "-t", "epic", "--deadline", "2027-01-15T08:00:00Z").code == 0
    assert rmctl("task", "edit", "rm-1", "--deadline", "").code == 0
    first, second = daemon.called("task.edit")
    assert (first.type, first.deadline_at) == (TaskType.EPIC, AT)
    assert (second.type, second.deadline_at) == (None, 0)


def test_a_guard_goes_with_every_change(daemon, rmctl):
    guard = ("--if-state", "open,failed", "--if-version", "4")
    for verb, more in (
        ("edit", ("--title", "x")),
        ("dep", ("rm-2", "-k", "waits-for", "--mode", "any")),
        ("cancel", ()),
        ("retry", ()),
        ("accept", ()),
        ("reject", ("-m", "no")),
    ):
        daemon.answers[f"task.{verb}"] = changed()
        ended = rmctl("task", verb, "rm-1", *more, *guard)
        assert ended.code == 0, ended.err
        [params] = daemon.called(f"task.{verb}")
        assert (params.if_state, params.if_version) == ((TaskState.OPEN, TaskState.FAILED), 4)
    assert daemon.called("task.dep")[0].mode == "any"


def test_show_names_type_children_deadline_hold_and_each_dependency_in_words(daemon, rmctl):
    view = make_view(
        "blocked",
        type="epic",
        children=5,
        open_children=2,
        done_children=2,
        deadline_at=AT,
        held_at=AT,
    )
    depends = (
        DependencyView(
            id="rm-9",
            kind="conditional-blocks",
            mode="",
            state="running",
            title="First",
            is_open=True,
            words="runs only if rm-9 fails",
        ),
    )
    daemon.answers["task.show"] = make_detail(view=view, depends=depends)
    out = rmctl("show", "rm-abc12").out
    for part in ("epic", "5: 2 done, 2 not ended, 1 cancelled", "2027-01-15", "held since", "runs only if rm-9 fails"):
        assert part in out
    daemon.answers["task.list"] = TaskList(tasks=(view,))
    wide = rmctl("ls", "-o", "wide").out
    assert "2/5 done" in wide
    assert "held" in wide
