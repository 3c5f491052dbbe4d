"""Reading a JUnit XML report that came out of code nobody has judged yet: bounded, no entities."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from xml.parsers import expat

import msgspec

MAX_REPORT_BYTES = 64_000_000
MAX_TESTS = 500_000
MAX_DEPTH = 64


class TestResult(StrEnum):
    """How one test ended."""

    __test__ = False

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"


class TestReport(msgspec.Struct, frozen=True):
    """What a report says. tests: `classname::name` to result; a name met twice gets `#2`, `#3`, …"""

    __test__ = False

    tests: dict[str, TestResult]

    @property
    def failed(self) -> tuple[str, ...]:
        """Tests that failed or could not run."""
        return tuple(name for name, result in self.tests.items() if result in (TestResult.FAILED, TestResult.ERROR))

    @property
    def counts(self) -> dict[str, int]:
        """How many ended each way."""
        counts = dict.fromkeys(map(str, TestResult), 0)
        for result in self.tests.values():
            counts[result] += 1
        return counts


class TestComparison(msgspec.Struct, frozen=True):
    """A report beside the one of the base. is_zero: no test ran at all, which is red. vanished: in the
    base's report and not here. newly_skipped: ran then, skipped now. is_base_known: whether there was
    a report to compare with."""

    __test__ = False

    is_zero: bool
    failed: tuple[str, ...]
    vanished: tuple[str, ...]
    newly_skipped: tuple[str, ...]
    is_base_known: bool

    @property
    def is_flagged(self) -> bool:
        """Whether tests went away or stopped running: a person is to look."""
        return bool(self.vanished or self.newly_skipped)


class MalformedReport(ValueError):
    """The file is no JUnit report that can be believed; the message says why, in one line."""


def read_report(path: Path) -> TestReport | None:
    """The report in a file, None where there is no file. Blocking. Raises `MalformedReport`."""
    if path.is_symlink() or not path.is_file():
        return None
    if path.stat().st_size > MAX_REPORT_BYTES:
        raise MalformedReport(f"the report is over {MAX_REPORT_BYTES // 1_000_000} MB")
    return parse_report(path.read_bytes())


def parse_report(content: bytes) -> TestReport:
    """Parse JUnit XML. Raises `MalformedReport` for what is not well-formed, declares entities, nests
    deeper than 64, names more than 500,000 tests, or has neither `testsuites` nor `testsuite`."""
    handler = _Handler()
    parser = expat.ParserCreate()
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.EntityDeclHandler = handler.refuse_entity
    parser.ExternalEntityRefHandler = None
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise MalformedReport(f"the report is not well-formed XML: {error}") from error
    if not handler.is_suite_seen:
        raise MalformedReport("the report has no testsuite")
    return TestReport(tests=handler.tests)


def compare_reports(base: TestReport | None, new: TestReport) -> TestComparison:
    """What changed from the base's report to the new one. Pure."""
    before = base.tests if base is not None else {}
    ran = {name for name, result in before.items() if result is not TestResult.SKIPPED}
    return TestComparison(
        is_zero=all(result is TestResult.SKIPPED for result in new.tests.values()),
        failed=new.failed,
        vanished=tuple(name for name in before if name not in new.tests),
        newly_skipped=tuple(name for name in before if name in ran and new.tests.get(name) is TestResult.SKIPPED),
        is_base_known=base is not None,
    )


def merge_rerun(first: TestReport, rerun: TestReport) -> tuple[TestReport, tuple[str, ...]]:
    """The report after failed tests were run again, and the names whose result differs (flaky). Pure."""
    flaky = tuple(name for name in first.failed if rerun.tests.get(name) is TestResult.PASSED)
    return TestReport(tests=first.tests | dict.fromkeys(flaky, TestResult.PASSED)), flaky


class _Handler:
    def __init__(self) -> None:
        self.tests: dict[str, TestResult] = {}
        self.is_suite_seen = False
        self._path: list[str] = []
        self._name = ""
        self._result = TestResult.PASSED

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self._path.append(tag)
        if len(self._path) > MAX_DEPTH:
            raise MalformedReport(f"the report nests deeper than {MAX_DEPTH}")
        if tag in ("testsuite", "testsuites"):
            # Node's runner puts tests outside of any `describe` straight into the outer one.
            self.is_suite_seen = True
        elif tag == "testcase":
            owner = attributes.get("classname") or attributes.get("file") or ""
            self._name = f"{owner}::{attributes.get('name', '')}"
            self._result = TestResult.PASSED
        elif len(self._path) > 1 and self._path[-2] == "testcase":
            found = {"failure": TestResult.FAILED, "error": TestResult.ERROR, "skipped": TestResult.SKIPPED}.get(tag)
            # A test may both fail and err in its teardown: the first bad word stands, a skip never hides it.
            if found is not None and self._result in (TestResult.PASSED, TestResult.SKIPPED):
                self._result = found

    def end(self, tag: str) -> None:
        self._path.pop()
        if tag != "testcase":
            return
        if len(self.tests) >= MAX_TESTS:
            raise MalformedReport(f"the report names more than {MAX_TESTS} tests")
        name, count = self._name, 1
        if name in self.tests:
            # pytest writes a second entry when the teardown of a test fails: no new test, a worse result.
            if self._result is TestResult.ERROR and self.tests[name] is TestResult.PASSED:
                self.tests[name] = TestResult.ERROR
                return
            while name in self.tests:
                count += 1
                name = f"{self._name}#{count}"
        self.tests[name] = self._result

    def refuse_entity(self, *_: object) -> None:
        raise MalformedReport("the report declares XML entities")
