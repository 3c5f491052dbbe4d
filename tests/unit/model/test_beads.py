from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from ringmaster.model.beads import translate_beads
from ringmaster.model.comment import Comment
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.importing import ImportedDependency
from ringmaster.model.states import TaskState
from tests.fakes.beads import DEPENDENCY_TYPES, as_lines, make_bead, make_dependency

NOW = 1_800_000_000.0


def translated(*records):
    return translate_beads(as_lines(*records), NOW)


def only(**fields):
    [task] = translated(make_bead("bd-1", **fields)).tasks
    return task


@pytest.mark.parametrize(
    ("fields", "state", "is_held"),
    [
        ({"status": "open"}, "open", False),
        ({"status": "in_progress"}, "open", False),
        ({"status": "blocked"}, "open", False),
        ({"status": "deferred"}, "open", True),
        ({"status": "deferred", "defer_until": "2020-01-01T00:00:00Z"}, "open", False),
        ({"status": "closed"}, "done", False),
        ({"status": "pinned"}, "open", True),
        ({"status": "hooked"}, "open", True),
        ({"status": "awaiting_review"}, "open", True),
        ({"status": ""}, "open", False),
        ({"status": "open", "pinned": True}, "open", True),
        ({"status": "open", "pinned": 0, "ephemeral": 0, "is_template": 0, "wisp_type": ""}, "open", False),
        ({"status": "open", "ephemeral": True}, "open", True),
        ({"status": "open", "wisp_type": "patrol"}, "open", True),
        ({"status": "open", "is_template": True}, "open", True),
        ({"status": "open", "issue_type": "message"}, "open", True),
        ({"status": "open", "issue_type": "story"}, "open", False),
        ({"status": "closed", "ephemeral": True}, "done", False),
    ],
)
def test_each_status_and_what_is_no_work(fields, state, is_held):
    task = only(**fields)
    assert (task.state, task.is_held) == (state, is_held)


def test_what_was_deferred_to_a_day_waits_for_it():
    task = only(status="deferred", defer_until="2027-01-15T08:00:01Z")
    assert (task.state, task.is_held, task.not_before_at) == (TaskState.OPEN, False, NOW + 1)
    assert only(defer_until="2027-01-15T08:00:01Z", status="closed").not_before_at is None


def test_what_was_deleted_there_is_left_out_with_what_hung_on_it():
    found = translated(make_bead("bd-1", ("bd-2", "blocks")), make_bead("bd-2", status="tombstone"))
    assert [(task.id, task.depends) for task in found.tasks] == [("bd-1", ())]
    assert found.tally.lines() == [
        "left out: deleted there: bd-2",
        "left out: a dependency on what was deleted there: bd-1",
    ]


def test_what_a_prompt_needs_is_one_text_and_the_rest_is_kept_as_it_came():
    task = only(
        description="Why.",
        design="How.",
        notes="Also.",
        acceptance_criteria="## Must hold\n- [ ] it adds up\n2. it is fast\n\n",
        assignee="ann",
        estimated_minutes=30,
        external_ref="gh-9",
        due_at="2027-01-15T08:00:00Z",
        metadata={"any": [1]},
    )
    assert task.description == "Why.\n\n## Design\n\nHow.\n\n## Notes\n\nAlso."
    assert task.acceptance == ("## Must hold", "it adds up", "it is fast")
    assert task.deadline_at == NOW
    kept = msgspec.json.decode(task.fields)
    assert {name: kept[name] for name in ("assignee", "estimated_minutes", "external_ref", "metadata", "design")} == {
        "assignee": "ann",
        "estimated_minutes": 30,
        "external_ref": "gh-9",
        "metadata": {"any": [1]},
        "design": "How.",
    }
    assert not {"title", "description", "priority", "issue_type", "id"} & kept.keys()


def test_a_record_without_a_priority_is_of_the_highest_as_versions_that_left_out_zero_meant_it():
    record = make_bead("bd-1")
    del record["priority"]
    assert translated(record).tasks[0].priority == 0
    assert only(priority="P3").priority == 3
    assert only(priority=7).priority == 2


def test_every_type_of_dependency_comes_with_its_name():
    record = make_bead("bd-0", *((f"bd-{n}", type) for n, type in enumerate(DEPENDENCY_TYPES, start=1)))
    task = translated(record, *(make_bead(f"bd-{n}") for n in range(1, 20))).tasks[0]
    assert len(DEPENDENCY_TYPES) == 19
    assert tuple(depend.kind for depend in task.depends) == DEPENDENCY_TYPES


def test_a_wait_is_for_all_children_or_for_any():
    record = make_bead("bd-1")
    record["dependencies"] = [
        make_dependency("bd-1", "bd-2", "waits-for", '{"gate":"any-children"}'),
        make_dependency("bd-1", "bd-3", "waits-for"),
        make_dependency("bd-1", "bd-4", "waits-for", "{no json"),
    ]
    depends = translated(record).tasks[0].depends
    assert [(depend.other, depend.mode) for depend in depends] == [("bd-2", "any"), ("bd-3", "all"), ("bd-4", "all")]


def test_one_parent_is_the_parent_and_a_second_one_is_kept_as_related():
    found = translated(make_bead("bd-1.1", ("bd-1", "parent-child"), ("bd-2", "parent-child")))
    assert [(depend.other, depend.kind) for depend in found.tasks[0].depends] == [
        ("bd-1", "parent-child"),
        ("bd-2", "related"),
    ]
    assert found.tasks[0].related == (("bd-2", "parent-child"),)
    assert only(parent="bd-9").depends == (ImportedDependency("bd-9", "parent-child"),)


def test_an_epic_that_waits_for_its_own_child_just_has_it():
    epic = make_bead("bd-1", ("bd-1.1", "blocks"), ("bd-2", "blocks"), issue_type="epic")
    found = translated(epic, make_bead("bd-1.1", ("bd-1", "parent-child")), make_bead("bd-2"))
    assert [(depend.other, depend.kind) for depend in found.tasks[0].depends] == [
        ("bd-1.1", "related"),
        ("bd-2", "blocks"),
    ]
    [note] = found.tally.lines()
    assert note == "kept as `related`, since nothing can wait for its own part or whole: bd-1 blocks bd-1.1"


def test_what_was_closed_as_failed_is_no_reason_to_leave_its_fallback_undone():
    fallback = make_bead("bd-1", ("bd-2", "conditional-blocks"))
    [task, _] = translated(fallback, make_bead("bd-2", status="closed", close_reason="Won't fix")).tasks
    assert task.depends == (ImportedDependency("bd-2", "related"),)
    [task, _] = translated(fallback, make_bead("bd-2", status="closed", close_reason="Done")).tasks
    assert task.depends == (ImportedDependency("bd-2", "conditional-blocks"),)


def test_what_was_said_comes_along_whatever_the_number_is_made_of():
    said = [
        {"id": 1, "issue_id": "bd-1", "author": "ann", "text": "Look.", "created_at": "2027-01-15T08:00:00Z"},
        {"id": "0198-ab", "issue_id": "bd-1", "author": "bob", "text": "I did.", "created_at": "2027-01-15T08:00:01Z"},
    ]
    assert only(comments=said).comments == (Comment("ann", "Look.", NOW), Comment("bob", "I did.", NOW + 1))


def test_lines_that_are_no_issue_are_left_out_and_counted():
    found = translated(
        {"_type": "memory", "key": "k", "value": "v"}, make_bead("bd-1"), make_bead("bd-1"), {"title": "?"}
    )
    assert [task.id for task in found.tasks] == ["bd-1"]
    assert found.tally.lines() == [
        "left out: no issue but a memory: k",
        "left out: a second one of the same id: bd-1",
        "left out: cannot be the id of a task: None",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'{"id":"bd-1"}\n<<<<<<< HEAD\n', "line 2 is no JSON"),
        (b"\n[1]\n", "line 2 is no JSON object"),
        (b"\xff", "line 1"),
    ],
)
def test_a_file_that_is_none_is_refused_by_its_line(text, words):
    with pytest.raises(RingmasterError, match=words) as caught:
        translate_beads(text, NOW)
    assert caught.value.kind is ErrorKind.USAGE


def test_an_empty_line_and_a_byte_order_mark_are_nothing():
    assert len(translate_beads(b"\xef\xbb\xbf" + as_lines(make_bead("bd-1")) + b"\r\n\n", NOW).tasks) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": "x" * 501}, "cut: a title of more than 500 characters"),
        ({"description": "x" * 2_000_000}, "cut: a description of more than 900,000 characters"),
        ({"created_at": "yesterday"}, "of now, since its created_at is no time"),
        ({"created_at": 5}, "of now, since its created_at is no time"),
        ({"due_at": "soon"}, "left out: a due_at that is no time"),
        ({"defer_until": ["x"]}, "left out: a defer_until that is no time"),
        ({"labels": "a,b"}, "left out: labels that are no list of words"),
        ({"labels": ["a", 5]}, "left out: labels that are no list of words"),
        ({"labels": ["x"] * 201}, "cut: more than 200 labels, or one of more than 10,000 characters"),
    ],
)
def test_what_is_not_taken_as_it_is_is_said_with_its_line(fields, words):
    found = translate_beads(b"\n" + as_lines(make_bead("bd-0"), make_bead("bd-1", **fields)), NOW)
    assert found.tally.lines() == [f"{words}: bd-1 (line 3)"]


def test_values_that_say_nothing_are_not_spoken_of():
    fields = {"labels": None, "created_at": None, "due_at": "", "defer_until": None, "title": "x" * 500}
    assert translated(make_bead("bd-1", **fields), make_bead("bd-2", labels=[])).tally.lines() == []


ODD: tuple[Any, ...] = (None, 0, -1, 1e308, True, "", "\0", "x" * 2_000_000, [], [None, 1, {"a": 1}], {}, {"b": [1]})


def test_any_value_in_any_field_makes_a_task_of_bounded_size():
    rng = random.Random(5)
    names = (
        *("title", "description", "design", "notes", "acceptance_criteria", "status", "priority", "issue_type"),
        *("labels", "dependencies", "comments", "defer_until", "due_at", "created_at", "parent", "ringmaster"),
        *("metadata", "ephemeral", "close_reason"),
    )
    for name in names:
        for value in ODD:
            for task in translated(make_bead("bd-1", **{name: value, rng.choice(names): rng.choice(ODD)})).tasks:
                assert 0 < len(task.title) <= 500
                assert len(task.description) <= 1_000_000
                assert 0 <= task.priority <= 4
                assert "\0" not in task.title + task.description
