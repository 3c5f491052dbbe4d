"""A test that holds less than before is found by its syntax tree."""

from __future__ import annotations

import pytest

from ringmaster.workspace.weakened import is_test_file, weakened_tests

TWO = b"""
def test_one():
    assert f() == 1
    assert f() == 2

class TestX:
    async def test_two(self):
        with pytest.raises(ValueError):
            f()
        self.assertEqual(f(), 1)
"""


def weakened(before: bytes | None, after: bytes | None) -> list[tuple[str, str]]:
    return [(found.test, found.why) for found in weakened_tests({"t.py": before}, {"t.py": after})]


def test_unchanged_and_stronger_tests_are_fine() -> None:
    assert weakened(TWO, TWO) == []
    assert weakened(TWO, TWO + b"\ndef test_three():\n    assert 1 + f() == 2\n") == []
    assert weakened(None, TWO) == []
    assert weakened(TWO, TWO.replace(b"f() == 1", b"f() == 7")) == [], "a changed value is not counted"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (b"    assert f() == 2\n", b"", [("test_one", "2 assertions became 1")]),
        (b"    assert f() == 2\n", b"    assert True\n", [("test_one", "2 assertions became 1")]),
        (b"self.assertEqual(f(), 1)", b"f()", [("TestX.test_two", "2 assertions became 1")]),
        (b"def test_one", b"def helper_one", [("test_one", "removed")]),
        (b"def test_one", b"@pytest.mark.skip\ndef test_one", [("test_one", "a skip or expected failure was added")]),
        (
            b"class TestX",
            b"@pytest.mark.xfail(reason='x')\nclass TestX",
            [("TestX.test_two", "a skip or expected failure was added")],
        ),
        (
            b"        with",
            b"        pytest.skip('x')\n        with",
            [("TestX.test_two", "a skip or expected failure was added")],
        ),
        (b"def test_one():", b"def test_one(:", [("", "no longer parses as Python")]),
    ],
)
def test_each_way_of_weakening(old: bytes, new: bytes, found: list[tuple[str, str]]) -> None:
    assert old in TWO
    assert weakened(TWO, TWO.replace(old, new)) == found


def test_a_deleted_file_names_all_its_tests() -> None:
    assert weakened(TWO, None) == [("test_one", "removed"), ("TestX.test_two", "removed")]


def test_a_skip_for_the_whole_module_is_found() -> None:
    assert weakened(TWO, TWO + b"\npytestmark = pytest.mark.skip\n") != []


def test_a_test_that_moved_with_its_assertions_is_no_loss() -> None:
    assert weakened_tests({"a.py": TWO, "b.py": None}, {"a.py": None, "b.py": TWO}) == []
    thinner = TWO.replace(b"    assert f() == 2\n", b"")
    moved = weakened_tests({"a.py": TWO, "b.py": None}, {"a.py": None, "b.py": thinner})
    assert [(found.path, found.test) for found in moved] == [("a.py", "test_one")]


def test_sources_that_break_parsers_are_no_crash() -> None:
    deep = b"x = " + b"(" * 5000 + b")" * 5000
    assert weakened(TWO, deep) == [("", "no longer parses as Python")]
    assert weakened(TWO, b"\0") == [("", "no longer parses as Python")]
    assert weakened(b"def (", TWO) == []


@pytest.mark.parametrize(
    ("path", "is_test"),
    [
        ("tests/x.py", True),
        ("a/test_b.py", True),
        ("a/b_test.py", True),
        ("conftest.py", True),
        ("src/testing.py", False),
        ("tests/data.json", False),
    ],
)
def test_which_files_count(path: str, is_test: bool) -> None:
    assert is_test_file(path) is is_test
