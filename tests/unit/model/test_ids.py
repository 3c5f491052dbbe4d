from __future__ import annotations

import random

import pytest

from ringmaster.model.ids import GROUPED_FROM, is_task_id, make_task_id


def ids_at(places: range) -> list[str]:
    rng = random.Random(1)
    return [make_task_id(rng, place=place) for place in places]


def test_an_id_has_the_form_of_one_and_the_length_asked_for():
    for place in (0, GROUPED_FROM, 10**7):
        for length in (5, 8):
            made = make_task_id(random.Random(1), length, place=place)
            assert is_task_id(made)
            assert len(made) == len("rm-") + length


@pytest.mark.parametrize(
    "id",
    ["bd-a6ff1909", "bd-2oo.1.12", "my-project-a3f2dd", "ED-PARITY-001", "gt-epc-semantic_idszfyl8.format", "demo"],
)
def test_an_imported_id_keeps_the_form_it_came_with(id):
    assert is_task_id(id)


@pytest.mark.parametrize(
    "id", ["", "a b", "../x", "a..b", ".a", "a.", "a/1", "a.lock", "-a", "a@{1}", "x" * 101, "a\n"]
)
def test_what_can_be_no_directory_and_no_ref_is_no_id(id):
    assert not is_task_id(id)


def test_the_first_tasks_are_told_apart_by_their_first_letters():
    assert len({made[:5] for made in ids_at(range(32))}) > 25


def test_neighbours_in_a_long_queue_share_their_beginning_and_groups_do_not():
    first, second = ids_at(range(GROUPED_FROM, GROUPED_FROM + 64)), ids_at(range(GROUPED_FROM + 64, GROUPED_FROM + 128))
    assert {made[:6] for made in first} == {first[0][:6]}
    assert {made[:6] for made in second} == {second[0][:6]}
    assert first[0][:6] != second[0][:6]


def test_no_two_groups_begin_alike_before_two_million_tasks():
    places = range(GROUPED_FROM, 2_000_000, 64)
    assert len({made[:6] for made in ids_at(places)}) == len(places)
