"""Test reports are read from code nobody has judged: only what is sound is believed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.workspace.junit import (
    MalformedReport,
    TestReport,
    TestResult,
    compare_reports,
    merge_rerun,
    parse_report,
    read_report,
)

P, F, E, S = TestResult.PASSED, TestResult.FAILED, TestResult.ERROR, TestResult.SKIPPED


def make_report(cases: str) -> TestReport:
    return parse_report(f"<?xml version='1.0'?><testsuites><testsuite>{cases}</testsuite></testsuites>".encode())


def test_each_result_is_read() -> None:
    report = make_report(
        "<testcase classname='a' name='ok'><system-out>failure</system-out></testcase>"
        "<testcase classname='a' name='bad'><failure message='x'/></testcase>"
        "<testcase classname='a' name='err'><error/></testcase>"
        "<testcase classname='a' name='skip'><skipped/></testcase>"
        "<testcase classname='a' name='both'><skipped/><failure/></testcase>"
        "<testcase classname='a' name='ok'/>"
        "<testcase file='f.py' name='no class'/>"
    )
    assert report.tests == {
        "a::ok": P,
        "a::bad": F,
        "a::err": E,
        "a::skip": S,
        "a::both": F,
        "a::ok#2": P,
        "f.py::no class": P,
    }
    assert report.failed == ("a::bad", "a::err", "a::both")
    assert report.counts == {"passed": 3, "failed": 2, "error": 1, "skipped": 1}


def test_a_failing_teardown_makes_a_passed_test_an_error() -> None:
    report = make_report("<testcase classname='a' name='t'/><testcase classname='a' name='t'><error/></testcase>")
    assert report.tests == {"a::t": E}


BOMB = "<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><testsuite><testcase name='&b;'/></testsuite>"


def test_tests_outside_of_any_suite_count_as_node_writes_them():
    report = parse_report(
        b"<testsuites><testcase name='adds' classname='test'/>"
        b"<testcase name='later' classname='test'><skipped type='skipped'/></testcase></testsuites>"
    )
    assert report.tests == {"test::adds": TestResult.PASSED, "test::later": TestResult.SKIPPED}
    assert parse_report(b"<testsuites/>").tests == {}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (BOMB.encode(), "entities"),
        (b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><testsuite/>", "entities"),
        (b"<testsuite>" + b"<a>" * 100, "deeper"),
        (b"<testsuite><testcase>", "well-formed"),
        (b"", "well-formed"),
        (b"\xff\xfe\x00", "well-formed"),
        (b"<html/>", "no testsuite"),
    ],
)
def test_what_is_no_sound_report_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(MalformedReport, match=why):
        parse_report(content)


def test_a_missing_report_is_none_and_a_link_is_not_followed(tmp_path: Path) -> None:
    assert read_report(tmp_path / "absent.xml") is None
    (tmp_path / "real.xml").write_text("<testsuite/>")
    (tmp_path / "link.xml").symlink_to(tmp_path / "real.xml")
    assert read_report(tmp_path / "link.xml") is None
    assert read_report(tmp_path / "real.xml") == TestReport({})


def test_a_report_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "big.xml").open("wb") as file:
        file.truncate(65_000_000)
    with pytest.raises(MalformedReport, match="over 64 MB"):
        read_report(tmp_path / "big.xml")


def test_vanished_and_newly_skipped_tests_are_flagged() -> None:
    base = TestReport({"a": P, "b": P, "c": S, "d": F})
    new = TestReport({"a": S, "c": S, "d": P, "e": F})
    found = compare_reports(base, new)
    assert (found.vanished, found.newly_skipped, found.failed) == (("b",), ("a",), ("e",))
    assert found.is_flagged
    assert not found.is_zero
    unknown = compare_reports(None, TestReport({"a": S}))
    assert (unknown.is_base_known, unknown.is_flagged, unknown.is_zero) == (False, False, True)
    assert compare_reports(base, TestReport({})).is_zero


def test_a_test_that_passes_when_run_again_is_flaky() -> None:
    first = TestReport({"a": P, "b": F, "c": E, "d": F})
    merged, flaky = merge_rerun(first, TestReport({"b": P, "c": F}))
    assert flaky == ("b",)
    assert merged.failed == ("c", "d")
