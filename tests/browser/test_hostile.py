"""What agents and strangers write is text on the page, whatever it tries to be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.chromium import expect
from tests.browser.conftest import OpenPage
from tests.browser.rows import all_rows
from tests.browser.tab import Tab
from tests.browser.views import VIEWS, go, task_places
from tests.e2e.operator import Operator, write_step

HTML = "<img src=//example.invalid/x onerror='window.hit=1'><script>window.hit=1</script><svg/onload=window.hit=1>"
LINKS = "javascript:window.hit=1 [x](javascript:window.hit=1) ${window.hit=1} {{hit}}"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x1b[31mred\x1b[0m \x1b]8;;http://example.invalid\x07link\x1b]8;;\x07"
TURNED = "safe\u202egnp.exe\u2066\u200b\ufeff"
LONG = "x" * 1_000_000
LINES = [HTML, LINKS, ESCAPES, TURNED, "\x00\x08\x7f\x9b31m", LONG, "the last line"]
# What a reader could not see, or would be moved by: none of it may reach the document.
ACTING = "/[\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f-\\u009f\\u200b\\u202a-\\u202e\\u2066-\\u2069\\ufeff]/"


def check_unmoved(tab: Tab) -> None:
    """Nothing of it has run, become an element, or is in the document as it was meant to act."""
    assert tab.page.evaluate("window.hit") is None
    assert tab.page.evaluate("document.querySelectorAll('img[src*=example], svg[onload]').length") == 0
    assert not tab.page.evaluate(f"{ACTING}.test(document.body.textContent)"), tab.page.url
    assert "owned" not in tab.page.title()


def test_a_log_full_of_escapes_and_scripts_is_text(operator: Operator, open_page: OpenPage, tmp_path: Path) -> None:
    source = tmp_path / "shouted"
    source.write_text("\n".join(LINES) + "\n")
    project = operator.project(agent="command", command=("cat", str(source)))
    task_id = project.add("Shout", is_diff_needed=False)
    operator.settled(task_id)
    tab = open_page()
    go(tab, f"#/task/{task_id}/log")
    tab.page.get_by_role("button", name="Output", exact=True).click()
    expect(tab.page.get_by_text("the last line")).to_be_visible()
    expect(tab.page.get_by_text("ended", exact=True)).to_be_visible()
    rows = all_rows(tab)
    assert rows[0] == HTML
    assert rows[1] == LINKS
    assert "red" in rows[2]
    assert rows[-1] == "the last line"
    assert any(re.search("x{1000}.* more characters", row) for row in rows), (
        "a line too long for a screen is cut, in words"
    )
    check_unmoved(tab)


def test_words_of_tasks_questions_and_files_are_text_everywhere(operator: Operator, open_page: OpenPage) -> None:
    project = operator.project(gate=f"printf '%s' \"{HTML}\"; false")
    asking = project.add(
        f"Ask {HTML} {TURNED}",
        {"do": "say", "text": HTML},
        {"do": "ask", "question": f"Which {HTML}?", "detail": LINKS + ESCAPES, "options": [HTML, "b"]},
        labels=["<b>label</b>"],
    )
    operator.event("decision.opened", asking)
    failing = project.add(f"Fail {HTML}", write_step("<b>x.txt", f"{HTML}\n{TURNED}\n"), max_attempts=1)
    operator.settled(failing)
    project.operator.ok("task", "comment", failing, HTML)
    tab = open_page()
    for place in [*VIEWS, *task_places(asking), *task_places(failing)]:
        go(tab, place)
        check_unmoved(tab)


@pytest.mark.parametrize("place", ["<script>window.hit=1</script>", "task/<img src=x onerror=window.hit=1>/log"])
def test_an_address_is_text(open_page: OpenPage, place: str) -> None:
    tab = open_page()
    tab.page.goto(f"http://{tab.host}/#/{place}")
    tab.page.reload()
    expect(tab.page.get_by_role("main").get_by_text("window.hit=1").first).to_be_visible()
    check_unmoved(tab)
