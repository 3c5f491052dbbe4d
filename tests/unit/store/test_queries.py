from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.store.queries import (
    QueryFileError,
    find_sql_dir,
    load_queries,
    parse_queries,
    split_statements,
)


def test_a_file_becomes_statements_by_name(tmp_path: Path):
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "item.sql").write_text(
        "-- About items; a note.\n\n-- name: first\n-- why; because\nSELECT ';' AS x;\n\n"
        "-- why the second\n-- name: second\nSELECT 2\n"
    )
    queries = load_queries("item", tmp_path)
    assert list(queries) == ["first", "second"]
    assert queries.first == "SELECT ';' AS x"
    assert queries["second"] == "SELECT 2"


def test_a_name_that_is_not_there_is_told_with_its_file(tmp_path: Path):
    (tmp_path / "queries").mkdir()
    (tmp_path / "queries" / "item.sql").write_text("-- name: first\nSELECT 1;")
    queries = load_queries("item", tmp_path)
    with pytest.raises(AttributeError, match=r"item\.sql has no query named 'frist'"):
        _ = queries.frist
    with pytest.raises(QueryFileError, match="no such query file"):
        load_queries("thing", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- name: a\nSELECT 1;\n-- name: a\nSELECT 2;", "x:3: a second query named 'a'"),
        ("-- name: getItem\nSELECT 1;", "x:1: 'getItem' is not a snake_case name"),
        ("-- name: a\nSELECT 1; SELECT 2;", "x: a: holds 2 statements in place of one"),
        ("-- name: a\n-- nothing\n", "x: a: holds 0 statements in place of one"),
        ("SELECT 1;\n-- name: a\nSELECT 1;", "x:1: SQL before the first '-- name:'"),
    ],
)
def test_a_mistake_in_a_file_is_refused(text: str, message: str):
    with pytest.raises(QueryFileError) as caught:
        parse_queries(text, "x")
    assert str(caught.value) == message


def test_statements_are_split_where_sqlite_ends_them():
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET b = ';'; SELECT 1; END;"
    assert split_statements(f"-- one;\nSELECT 1;\n{trigger}\n/* ; */ ; SELECT 2 -- end") == [
        "-- one;\nSELECT 1;",
        trigger,
        "SELECT 2 -- end",
    ]


def test_the_sql_of_the_package_is_found():
    assert (find_sql_dir() / "migrations").is_dir()
