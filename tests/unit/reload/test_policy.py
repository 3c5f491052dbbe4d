"""Rules on two trees: what fails, what asks a person and with which words, what goes on unasked."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from ringmaster.model.generation import StageResult
from ringmaster.reload.policy import PROTECTED, SHOWN, TEXT_LIMIT, Facts, Judgement, judge_policy, text_of_test
from ringmaster.selfhost.findings import JUDGES

OLD = b"""import x


def test_a():
    assert x.a()
    assert x.b()


class TestC:
    def test_d(self):
        assert 1 == x.d
"""
WEAK = OLD.replace(b"    assert x.b()\n", b"")


class Change(NamedTuple):
    path: str
    status: str
    old: bytes | None
    new: bytes | None


def changed(path: str, old: str | bytes | None, new: str | bytes | None) -> Any:
    def raw(text: str | bytes | None) -> bytes | None:
        return text.encode() if isinstance(text, str) else text

    status = "A" if old is None else "D" if new is None else "M"
    return Change(path, status, raw(old), raw(new))


def judge(*changes: Any, **facts: Any) -> Judgement:
    return judge_policy(changes, Facts(**facts))


def test_code_alone_goes_on():
    judged = judge(changed("ringmaster/a.py", "a", "b"), changed("tests/unit/test_a.py", None, OLD))
    assert judged == Judgement(StageResult.PASSED, "2 changed files")


@pytest.mark.parametrize(("new", "word"), [("CREATE TABLE b (x);", "changed"), (None, "removed")])
def test_an_old_migration_stays_as_it_is(new: str | None, word: str):
    judged = judge(changed("sql/migrations/0001_base.sql", "CREATE TABLE a (x);", new), is_landed=True)
    assert judged.result is StageResult.FAILED
    said = f"migration not additive: sql/migrations/0001_base.sql was {word}; write a new migration instead"
    assert judged.words == said


def test_a_new_migration_goes_on_and_one_that_cannot_be_used_fails():
    new = changed("sql/migrations/0002_more.sql", None, "DROP TABLE a;")
    assert judge(new).result is StageResult.PASSED
    judged = judge(new, migration_problem="sql/migrations/0002_more.sql: not additive: DROP TABLE a")
    assert judged.result is StageResult.FAILED
    assert "not additive: DROP TABLE a" in judged.words


def test_a_weakened_test_asks_with_both_texts():
    judged = judge(changed("tests/unit/test_x.py", OLD, WEAK))
    assert judged.result is StageResult.ASKS
    assert judged.words == (
        "test weakened: tests/unit/test_x.py::test_a: 2 assertions became 1\n"
        "--- running\ndef test_a():\n    assert x.a()\n    assert x.b()\n"
        "+++ candidate\ndef test_a():\n    assert x.a()"
    )


def test_a_deleted_test_asks_and_says_so():
    judged = judge(changed("tests/unit/test_x.py", OLD, None))
    assert judged.result is StageResult.ASKS
    assert "test weakened: tests/unit/test_x.py::TestC.test_d: removed" in judged.words
    assert "        assert 1 == x.d\n+++ candidate\n(removed)" in judged.words


def test_a_test_that_moved_is_not_gone():
    judged = judge(changed("tests/unit/test_x.py", OLD, None), changed("tests/unit/test_y.py", None, OLD))
    assert judged.result is StageResult.PASSED


def test_what_a_person_was_asked_about_in_the_lane_is_not_asked_again():
    weak = changed("tests/unit/test_x.py", OLD, WEAK)
    assert judge(weak, is_landed=True, has_agent=True).result is StageResult.PASSED
    guarded = changed("ringmaster/reload/switch.py", "a", "b")
    assert judge(guarded, is_landed=True, has_agent=True, answered=JUDGES).result is StageResult.PASSED


@pytest.mark.parametrize(
    "path",
    [
        *("bin/ringmasterd", "sql/migrations/0009_x.sql", "ringmaster/reload/switch.py", "ringmaster/proc/shim_run.py"),
        *("ringmaster/workspace/gate.py", "ringmaster/workers/gate.py", "ringmaster/store/migrate.py"),
        *(
            "requirements.lock",
            "pyproject.toml",
            "Makefile",
            ".github/workflows/ci.yml",
            "ringmaster/workspace/junit.py",
        ),
    ],
)
def test_what_judges_or_carries_all_else_asks_when_an_agent_changed_it(path: str):
    change = changed(path, None, "new text")
    assert judge(change).result is StageResult.PASSED, "a person's own"
    judged = judge(change, has_agent=True)
    assert judged.result is StageResult.ASKS
    assert judged.words.startswith(f"protected: {path} changed (")
    assert judged.words.endswith("--- running\n(removed)\n+++ candidate\nnew text")


def test_a_landing_that_the_project_did_not_protect_still_asks():
    stub = changed("bin/ringmasterd", "a", "b")
    assert judge(stub, is_landed=True, has_agent=True, answered=("!bin/",)).result is StageResult.ASKS


def test_the_self_host_protects_all_of_it_in_its_lane():
    paths = [pattern.rstrip("*") + ("x" if pattern.endswith(("/", "*")) else "") for pattern in PROTECTED]
    changes = [changed(path, "a", "b") for path in paths if not path.startswith("sql/migrations")]
    assert judge(*changes, is_landed=True, has_agent=True, answered=JUDGES).result is StageResult.PASSED


def test_long_texts_and_long_lists_are_cut():
    long = "x" * (TEXT_LIMIT + 1)
    judged = judge(*(changed(f"bin/{n}", long, None) for n in range(SHOWN + 2)), has_agent=True)
    assert judged.words.count("x…") == 0
    assert judged.words.count("x\n…") == SHOWN
    assert judged.words.endswith("and 2 more protected files")


def test_the_text_of_a_test_has_its_decorators():
    source = b"class TestA:\n    @mark\n    def test_b(self):\n        pass\n\n    def test_c(self): ...\n"
    assert text_of_test(source, "TestA.test_b") == "    @mark\n    def test_b(self):\n        pass"
    assert text_of_test(source, "TestA.test_z") is None
