"""From what the machine says to findings: each check well, and each way in which it is not."""

from __future__ import annotations

import pytest

from ringmaster.doctor import machine_rules as rules
from ringmaster.doctor.facts import GitFacts, OutsideFacts, RightsFacts, SettingsFacts, Stray
from tests.unit.doctor.making import GIB, NOW, make_clock, make_disk, make_file, make_inotify, make_limits


@pytest.mark.parametrize(
    ("program", "said", "level"),
    [
        ("/usr/bin/git", "git version 2.39.5", "ok"),
        ("/usr/bin/git", "git version 2.50.1 (Apple Git-155)", "ok"),
        ("/usr/bin/git", "git version 3.0.0", "ok"),
        ("/usr/bin/git", "git version 2.37.9", "error"),
        ("/usr/bin/git", "cannot execute", "error"),
        ("", "", "error"),
    ],
)
def test_git(program, said, level):
    found = rules.judge_git(GitFacts(program=program, said=said, identity="R <r@localhost>"))
    assert found.level == level
    assert bool(found.mend) == (level != "ok")


@pytest.mark.parametrize(
    ("changes", "files", "processes"),
    [
        ({}, "ok", "ok"),
        ({"files": 543}, "warning", "ok"),
        ({"files": 544}, "ok", "ok"),
        ({"files": 100}, "error", "ok"),
        ({"files": 1024, "seats": 128}, "warning", "ok"),
        ({"processes": 300}, "ok", "warning"),
        ({"processes": 360}, "ok", "ok"),
        ({"tasks_max": 200, "tasks_now": 100}, "ok", "warning"),
    ],
)
def test_limits(changes, files, processes):
    found = rules.judge_limits(make_limits(**changes))
    assert [finding.level for finding in found] == [files, processes]


def test_limits_of_a_unit_are_mended_in_the_unit():
    found, _ = rules.judge_limits(make_limits(files=100), unit="ringmaster.service")
    assert found.mend.startswith("systemctl --user edit ringmaster.service")


@pytest.mark.parametrize(
    ("changes", "level", "word"),
    [
        ({}, "ok", "50.0 GiB free"),
        ({"free_bytes": GIB}, "warning", "builds"),
        ({"free_bytes": 4 * 1024**2}, "error", "reserve"),
        ({"free_inodes": 100}, "warning", "100 inodes"),
        ({"free_inodes": None}, "ok", "free"),
        ({"kind": "nfs4"}, "error", "network file system"),
    ],
)
def test_disk(changes, level, word):
    found = rules.judge_disk(make_disk(**changes))
    assert (found.level, word in found.words) == (level, True), found


@pytest.mark.parametrize(
    ("changes", "level", "mend"),
    [
        ({}, "ok", ""),
        ({"used_instances": 120}, "warning", "sudo sysctl fs.inotify.max_user_instances=1024"),
        ({"used_instances": 128}, "error", "sudo sysctl fs.inotify.max_user_instances=1024"),
        ({"used_watches": 65000}, "warning", "sudo sysctl fs.inotify.max_user_watches=262144"),
        ({"max_instances": 0, "used_instances": 5}, "ok", ""),
    ],
)
def test_inotify(changes, level, mend):
    found = rules.judge_inotify(make_inotify(**changes))
    assert (found.level, found.mend) == (level, mend)


@pytest.mark.parametrize(
    ("changes", "level", "mend"),
    [
        ({}, "ok", ""),
        ({"mode": None}, "ok", ""),
        ({"mode": 0o660}, "warning", "chmod 600 '/s/a b.sock'"),
        ({"mode": 0o755, "wanted": 0o700}, "warning", "chmod 700 '/s/a b.sock'"),
        ({"is_own": False}, "error", "sudo chown -R $USER '/s/a b.sock'"),
    ],
)
def test_files_are_nobody_elses_business(changes, level, mend):
    found = rules.judge_file(make_file(**changes))
    assert (found.level, found.mend) == (level, mend)
    # A change of owner needs the person: only a mode is mended unasked.
    assert found.is_safe == (level == "warning")


@pytest.mark.parametrize(("length", "level"), [(107, "ok"), (108, "error")])
def test_the_sockets_path_fits(length, level):
    assert rules.judge_socket_path("/" + "a" * (length - 1)).level == level
    assert rules.judge_socket_path("/" + "ä" * 54).level == "error", "bytes count, not characters"


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"file_at": NOW - 60}, "file system"),
        ({"file_at": NOW + 60}, "file system"),
        ({"newest_event_at": NOW + 7200}, "2 hours ahead"),
        ({"ran_by_clock_s": 4000.0}, "forward by 65 minutes"),
        ({"ran_by_clock_s": -3500.0}, "back by 60 minutes"),
    ],
)
def test_a_clock_that_jumps(changes, word):
    found = rules.judge_clock(make_clock(**changes))
    assert (found.level, word in found.words) == ("warning", True), found


@pytest.mark.parametrize("changes", [{}, {"newest_event_at": None}, {"ran_s": None, "ran_by_clock_s": None}])
def test_a_clock_that_is_even(changes):
    assert rules.judge_clock(make_clock(**changes)).level == "ok"


def test_settings():
    def judge(**changes):
        return rules.judge_settings(SettingsFacts(path="/c x.toml", **changes))

    assert judge(is_there=True).level == judge(is_there=False).level == "ok"
    assert "defaults" in judge(is_there=False).words
    changed = judge(is_there=True, is_other=True)
    assert (changed.level, changed.mend) == ("warning", "rmctl daemon restart")
    broken = judge(is_there=True, error="/c: no such key")
    assert (broken.level, broken.words, broken.mend) == ("error", "/c: no such key", "${EDITOR:-vi} '/c x.toml'")


def test_what_lies_outside_of_attempts_is_named():
    stray = Stray(pid=7, program="sleep", attempt_id="rm-a/1")
    named, left = rules.judge_outside(OutsideFacts(services=("docker", "tmux"), strays=(stray,)))
    assert (named.level, "docker, tmux" in named.words) == ("ok", True)
    assert (left.level, left.mend, left.is_safe) == ("warning", "kill 7", False)
    assert "rm-a/1" in left.words
    (nothing,) = rules.judge_outside(OutsideFacts(services=(), strays=()))
    assert nothing.level == "ok"


def test_rights():
    assert rules.judge_rights(RightsFacts(is_hidden=False)).level == "ok"
    assert rules.judge_rights(RightsFacts(is_hidden=True)).level == "warning"
