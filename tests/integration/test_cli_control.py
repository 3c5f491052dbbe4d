"""rmctl as a program against a scripted daemon: hold, release, defer, close, reopen, undo, history, pause, cordon."""

from __future__ import annotations

import json
import time

from ringmaster.protocol.queue import QueueChanged, QueuePauseView
from ringmaster.protocol.task import TaskChanged
from ringmaster.protocol.task_control import HistoryLine, TaskHistory, TaskUndone
from ringmaster.protocol.worker import WorkerList
from tests.fakes.rpc_results import AT, make_status, make_view, make_worker


def test_each_verb_takes_several_tasks_and_a_guard(daemon, rmctl):
    for verb, more in (
        ("hold", ("-m", "why")),
        ("release", ()),
        ("defer", ("--until", "2027-01-15T08:00:00Z")),
        ("reopen", ()),
        ("close", ("--children", "cancel")),
        ("cancel", ("--dependents", "free")),
    ):
        daemon.answers[f"task.{verb}"] = TaskChanged(view=make_view(), note="said")
        ended = rmctl("task", verb, "rm-1", "rm-2", *more, "--if-version", "3")
        assert (ended.code, ended.err) == (0, "said\nsaid\n")
        assert [(call.id, call.if_version) for call in daemon.called(f"task.{verb}")] == [("rm-1", 3), ("rm-2", 3)]
    assert daemon.called("task.hold")[0].message == "why"
    assert daemon.called("task.defer")[0].until_at == AT
    assert daemon.called("task.close")[0].children == "cancel"
    assert daemon.called("task.cancel")[0].dependents == "free"


def test_defer_takes_one_of_a_time_and_a_duration(daemon, rmctl):
    daemon.answers["task.defer"] = TaskChanged(view=make_view())
    before = time.time()
    assert rmctl("task", "defer", "rm-1", "--for", "2h").code == 0
    assert 0 <= daemon.called("task.defer")[0].until_at - before - 7200 < 60
    for args in ((), ("--for", "2h", "--until", "2h")):
        ended = rmctl("task", "defer", "rm-1", *args)
        assert (ended.code, ended.err) == (
            2,
            "rmctl: until when? (rmctl task defer rm-1 --for 2h, or --until WHEN)\n",
        )


def test_undo_takes_an_event_a_task_or_nothing(daemon, rmctl):
    daemon.answers["task.undo"] = TaskUndone(
        view=make_view(), seq=41, by_seq=45, note="taken back: priority 2 -> 1; again: rmctl undo 45"
    )
    ended = rmctl("undo")
    assert ended == (0, "rm-abc12\tready\tMend the parser\n", "taken back: priority 2 -> 1; again: rmctl undo 45\n")
    told = json.loads(rmctl("-o", "json", "undo", "41").out)
    assert (told["undid"], told["by_seq"], told["id"]) == (41, 45, "rm-abc12")
    assert rmctl("undo", "rm-abc12").code == 0
    assert [call.target for call in daemon.called("task.undo")] == ["", "41", "rm-abc12"]


def test_history_is_a_line_for_each_event(daemon, rmctl):
    lines = (
        HistoryLine(seq=3, at=AT, type="task.created", actor="operator", words="created: x"),
        HistoryLine(seq=5, at=AT, type="task.edited", actor="operator", words="priority 2 -> 1", can_undo=True),
        HistoryLine(seq=6, at=AT, type="task.held", actor="operator", words="held", undone_by=7),
    )
    daemon.answers["task.history"] = TaskHistory(id="rm-1", lines=lines, is_whole=False)
    ended = rmctl("task", "history", "rm-1", "-n", "3")
    when = "2027-01-15T08:00:00.000Z"
    assert ended.out == (
        f"3\t{when}\toperator\tcreated: x\t\n"
        f"5\t{when}\toperator\tpriority 2 -> 1\tcan\n"
        f"6\t{when}\toperator\theld\tundone by 7\n"
    )
    assert "the newest 3" in ended.err
    assert daemon.called("task.history")[0].limit == 3


def test_pause_and_resume_name_what_they_are_about(daemon, rmctl):
    pause = QueuePauseView(reason="lunch", actor="operator", paused_at=AT)
    daemon.answers["queue.pause"] = QueueChanged(note="the queue is paused", pause=pause)
    daemon.answers["queue.resume"] = QueueChanged(note="project toy is active")
    assert rmctl("pause", "-m", "lunch") == (0, "queue\tpaused\n", "the queue is paused\n")
    assert rmctl("resume", "-P", "toy").out == "toy\tactive\n"
    assert daemon.called("queue.pause")[0].message == "lunch"
    assert daemon.called("queue.resume")[0].project_id == "toy"


def test_status_says_that_the_queue_is_paused_and_how_to_go_on(daemon, rmctl):
    pause = QueuePauseView(reason="lunch", actor="operator", paused_at=AT)
    daemon.answers["daemon.status"] = make_status(queue_pause=pause)
    assert "needs\tpaused\tqueue\tlunch\trmctl resume\n" in rmctl("status").out


def test_cordon_is_pause_and_uncordon_is_start(daemon, rmctl):
    daemon.answers |= {name: WorkerList(workers=(make_worker(),)) for name in ("worker.pause", "worker.start")}
    assert rmctl("worker", "cordon", "w1").code == 0
    assert rmctl("worker", "uncordon", "w1").code == 0
    assert (daemon.called("worker.pause")[0].id, daemon.called("worker.start")[0].id) == ("w1", "w1")
