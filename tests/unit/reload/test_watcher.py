"""What counts as a change, when it has been quiet, and what is heard of it: rules, without a kernel's event."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from watchdog.observers.inotify_c import InotifyConstants as In
from watchdog.observers.inotify_c import InotifyEvent, WatchDescriptor

from ringmaster.reload.inbox import PATHS_LIMIT, Inbox
from ringmaster.reload.observer import MASK, Place
from ringmaster.reload.survey import iter_directories
from ringmaster.reload.watched import AT_MOST, ENDINGS, NOTHING, Debounce, Heard, Rule, judge

REFS = Rule(names=frozenset({"main"}))
GIT = Rule(names=frozenset({"HEAD"}), gone=ENDINGS)
TREE = Rule(tree=Path("/toy"), prefix="src/")


@pytest.mark.parametrize(
    ("rule", "name", "is_gone", "is_directory", "expected"),
    [
        (REFS, "main", False, False, Heard(is_sure=True, is_reshaping=True)),
        (REFS, "main", True, False, Heard(is_sure=True, is_reshaping=True)),
        (REFS, "main.lock", False, False, NOTHING),
        (REFS, "other", False, False, NOTHING),
        (GIT, "index.lock", False, False, NOTHING),
        (GIT, "index.lock", True, False, Heard(is_sure=True, is_reshaping=True)),
        (GIT, "rebase-merge", False, True, NOTHING),
        (GIT, "rebase-merge", True, True, Heard(is_sure=True, is_reshaping=True)),
        (GIT, "index", False, False, NOTHING),
        (TREE, "a.py", False, False, Heard(path="src/a.py")),
        (TREE, "a.py", True, False, Heard(path="src/a.py")),
        (TREE, "new", False, True, Heard(path="src/new/", is_reshaping=True)),
        (TREE, ".gitignore", False, False, Heard(path="src/.gitignore", is_reshaping=True)),
        (TREE, ".git", False, True, NOTHING),
        (TREE, "", False, True, NOTHING),
    ],
)
def test_a_name_counts_by_the_rule_of_its_directory(
    rule: Rule, name: str, is_gone: bool, is_directory: bool, expected: Heard
) -> None:
    assert judge(rule, name, is_gone=is_gone, is_directory=is_directory) == expected


def test_a_mode_counts_of_a_file_and_not_of_a_directory() -> None:
    assert judge(TREE, "run", is_gone=False, is_directory=False, is_attribute=True).path == "src/run"
    assert judge(TREE, "sub", is_gone=False, is_directory=True, is_attribute=True) == NOTHING


def test_reading_is_not_even_asked_of_the_kernel() -> None:
    assert not MASK & (In.IN_OPEN | In.IN_ACCESS | In.IN_CLOSE_NOWRITE | In.IN_MODIFY)
    for kind in (In.IN_CREATE, In.IN_CLOSE_WRITE, In.IN_MOVED_FROM, In.IN_MOVED_TO, In.IN_DELETE, In.IN_ATTRIB):
        assert MASK & kind


def test_it_is_looked_at_after_quiet_and_at_the_latest_after_a_few_times_that() -> None:
    debounce = Debounce()
    assert debounce.due_at(0.2) == math.inf
    debounce.heard(10.0)
    assert debounce.due_at(0.2) == 10.2
    debounce.heard(10.15)
    assert debounce.due_at(0.2) == pytest.approx(10.35)
    for step in range(50):
        debounce.heard(10.15 + step * 0.1)
    assert debounce.due_at(0.2) == 10.0 + AT_MOST * 0.2
    debounce.clear()
    assert debounce.due_at(0.2) == math.inf


class Woken:
    """An inbox, and how often it woke its reader."""

    def __init__(self) -> None:
        self.times = 0
        self.inbox = Inbox(self.wake)

    def wake(self) -> None:
        """As the watcher's."""
        self.times += 1

    def place(self, *rules: Rule) -> Place:
        """A directory whose events come here."""
        return Place(Path("/toy/src"), rules, self.inbox)


def event(mask: int, name: str = "") -> InotifyEvent:
    return InotifyEvent(WatchDescriptor(1), mask, 0, name.encode())  # type: ignore[arg-type]


def test_what_does_not_count_wakes_nobody() -> None:
    woken = Woken()
    woken.place(REFS).on_event(event(In.IN_CREATE, "main.lock"))
    assert (woken.times, woken.inbox.is_fuller()) == (0, False)
    woken.place(TREE, REFS).on_event(event(In.IN_CLOSE_WRITE, "a.py"))
    assert (woken.times, woken.inbox.is_fuller(), woken.inbox.is_fuller()) == (1, True, False)
    taken = woken.inbox.take()
    assert (taken.paths, taken.is_sure) == ({Path("/toy"): {"src/a.py"}}, False)
    assert woken.inbox.take().paths == {}


def test_an_overflow_counts_as_a_change_of_anything() -> None:
    woken = Woken()
    woken.place(TREE).on_queue_overflow()
    taken = woken.inbox.take()
    assert (taken.is_sure, taken.is_reshaping) == (True, True)


def test_more_paths_than_are_worth_a_question_count_without_one() -> None:
    woken = Woken()
    place = woken.place(TREE)
    for number in range(PATHS_LIMIT):
        place.on_event(event(In.IN_CREATE, f"{number}"))
    assert not woken.inbox.is_sure
    place.on_event(event(In.IN_CREATE, "one more"))
    assert woken.inbox.take().is_sure


@pytest.mark.parametrize("mask", [In.IN_DELETE_SELF, In.IN_MOVE_SELF])
def test_a_directory_that_goes_is_lost_and_one_of_names_counts_too(mask: int) -> None:
    for rule, is_sure in ((REFS, True), (TREE, False)):
        woken = Woken()
        place = woken.place(rule)
        place.on_event(event(mask))
        taken = woken.inbox.take()
        assert (place.is_lost, taken.is_lost, taken.is_sure) == (True, True, is_sure)


def test_a_name_that_is_no_text_comes_through_as_the_system_has_it() -> None:
    woken = Woken()
    raw = InotifyEvent(WatchDescriptor(1), In.IN_CREATE, 0, b"\xff")
    woken.place(TREE).on_event(raw)
    assert woken.inbox.take().paths == {Path("/toy"): {"src/\udcff"}}


def test_directories_of_a_tree_leave_out_git_links_the_ignored_and_the_excluded(tmp_path: Path) -> None:
    for name in ("src/deep", ".git/refs", ".venv/lib", "state/workspaces", "src/.git"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "src")
    found = sorted(iter_directories(tmp_path, {".venv"}, [tmp_path / "state"]))
    assert found == ["", "src/", "src/deep/"]
    assert list(iter_directories(tmp_path / "gone", (), ())) == []
