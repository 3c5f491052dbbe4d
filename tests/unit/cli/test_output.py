from __future__ import annotations

import json

import pytest

from ringmaster.cli.output import Column, Output, with_times
from ringmaster.model.errors import RingmasterError

ROWS = [{"id": "a", "title": "tab\there\x1b[1m", "made_at": 1_800_000_000.0, "deep": {"is_in": True}}]
SHAPE = (Column("ID", "id"), Column("TITLE", "title"), Column("DEEP", "deep.is_in", is_wide=True))


def test_a_pipe_gets_tabs_and_neither_heading_nor_escape(capsys):
    Output().rows(ROWS, SHAPE)
    assert capsys.readouterr().out == "a\ttab here\\x1b[1m\n"


def test_wide_shows_more(capsys):
    Output("wide").rows(ROWS, SHAPE)
    assert capsys.readouterr().out.endswith("\tyes\n")


@pytest.mark.parametrize("output", [Output(is_quiet=True), Output("name")])
def test_ids_alone(output, capsys):
    output.rows(ROWS, SHAPE)
    assert capsys.readouterr().out == "a\n"


def test_json_has_every_field_and_times_in_utc(capsys):
    Output("json").rows(ROWS, SHAPE)
    assert json.loads(capsys.readouterr().out) == [{**ROWS[0], "made_at": "2027-01-15T08:00:00.000Z"}]


def test_jsonl_is_an_object_a_line(capsys):
    Output("jsonl").rows(ROWS * 3, SHAPE)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a", "a", "a"]


def test_fields_choose_for_tables_and_json(capsys):
    Output(fields=["deep.is_in", "made_at"]).rows(ROWS, SHAPE)
    assert capsys.readouterr().out == "yes\t2027-01-15T08:00:00.000Z\n"
    Output("jsonl", fields=["id", "deep.is_in"]).rows(ROWS, SHAPE)
    assert json.loads(capsys.readouterr().out) == {"id": "a", "deep.is_in": True}


def test_an_unknown_field_is_answered_with_those_there_are():
    with pytest.raises(RingmasterError) as caught:
        Output("json", fields=["titel"]).rows(ROWS, SHAPE)
    assert caught.value.hint == "fields: id,title,made_at,deep"


def test_no_rows_are_an_empty_list_for_programs_and_nothing_in_a_pipe(capsys):
    Output("json").rows([], SHAPE, empty="none")
    Output().rows([], SHAPE, empty="none")
    assert capsys.readouterr().out == "[]\n"


def test_only_times_are_taken_for_times():
    assert with_times({"at": 0.0, "ended_at": None, "is_at": True, "format": 3}) == {
        "at": "1970-01-01T00:00:00.000Z",
        "ended_at": None,
        "is_at": True,
        "format": 3,
    }


def test_words_are_silent_when_only_ids_are_wanted(capsys):
    Output(is_quiet=True).words("added")
    Output().words("added\x1b[1m")
    assert capsys.readouterr().err == "added\\x1b[1m\n"
