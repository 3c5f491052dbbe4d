"""Steps in the page: a command says how it ended, in words as well as in colour."""

from __future__ import annotations

import re
from typing import Any

from tests.browser.chromium import expect
from tests.browser.conftest import OpenPage
from tests.browser.views import go
from tests.e2e.operator import Operator

MARK = ".log-end"


def test_a_command_that_fails_is_marked_with_its_exit(operator: Operator, open_page: OpenPage) -> None:
    project = operator.project()
    steps: list[dict[str, Any]] = [
        {"do": "write", "path": "a.txt", "text": "a"},
        {"do": "run", "shell": "true"},
        {"do": "run", "shell": "echo broken; exit 3", "expect": 3},
    ]
    task_id = project.add("Try it out", *steps)
    operator.landed(task_id)
    tab = open_page()
    go(tab, f"#/task/{task_id}/log")
    rows = tab.page.locator(".log-lines .line").filter(has=tab.page.locator(MARK))
    expect(rows).to_have_text(
        [re.compile(r"^ran\s*exit 0\s*true$"), re.compile(r"^ran\s*exit 3, failed\s*echo broken; exit 3$")]
    )
    colours = tab.page.locator(MARK).evaluate_all("marks => marks.map(mark => getComputedStyle(mark).color)")
    assert len(set(colours)) == 2
    expect(tab.page.get_by_text("add a.txt", exact=True)).to_be_visible()
    heights = tab.page.locator(".log-lines .line").evaluate_all("rows => rows.map(row => row.offsetHeight)")
    assert set(heights) == {20}, "rows are placed by their height"


def test_the_last_lines_of_a_seat_show_what_failed_in_red(operator: Operator, open_page: OpenPage) -> None:
    project = operator.project()
    task_id = project.add("Fails, then waits", {"do": "run", "shell": "exit 3", "expect": 3}, {"do": "hang"})
    operator.event("attempt.started", task_id)
    tab = open_page()
    go(tab, "#/workers")
    lines = tab.page.locator(".log-tail", has_text="exit 3: exit 3")
    expect(lines.locator(".log-failed")).to_have_text("command: exit 3: exit 3\n")
    expect(lines).to_have_text(re.compile(r"command: run exit 3\s*\ncommand: exit 3: exit 3"))
    operator.ok("cancel", task_id)
    operator.settled(task_id)
