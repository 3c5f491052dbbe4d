"""The search box of a log finds what the page has not loaded, and leads there; what is missing is read on a click."""

from __future__ import annotations

import re

import pytest

from tests.browser.chromium import expect
from tests.browser.conftest import OpenPage
from tests.browser.rows import all_rows
from tests.browser.tab import Tab
from tests.browser.views import go
from tests.e2e.operator import Operator

LINES = 6000
FILLED = "." * 50
PLACES = {40: "the quokka sat at the beginning", 2000: "a quokka, far from both ends", 5990: "the last quokka"}


def printed() -> list[str]:
    """Every line of the log."""
    return [PLACES.get(n, f"line {n} {FILLED}") for n in range(LINES)]


@pytest.fixture(scope="module")
def task_id(operator: Operator) -> str:
    """A task whose log has more lines than a log view begins with."""
    source = operator.root / "printed"
    source.write_text("".join(f"{line}\n" for line in printed()))
    project = operator.project(agent="command", command=("cat", str(source)))
    made = project.add("Print", is_diff_needed=False)
    operator.settled(made)
    return made


def chosen(tab: Tab) -> str:
    """The words of the row that is marked, once it is in sight."""
    row = tab.page.locator(".log-lines .log-chosen")
    expect(row).to_be_in_viewport()
    return str(row.locator(".log-text").text_content())


def numbers(rows: list[str]) -> list[int]:
    """The lines that are there, by number, but for the places and the gaps."""
    return [int(row.split()[1]) for row in rows if re.fullmatch(rf"line \d+ {re.escape(FILLED)}", row)]


@pytest.mark.parametrize("output", ["Steps", "Output"])
def test_the_whole_log_is_searched_and_a_match_leads_to_its_place(
    open_page: OpenPage, task_id: str, output: str
) -> None:
    tab = open_page()
    go(tab, f"#/task/{task_id}/log")
    tab.page.get_by_role("button", name=output, exact=True).click()
    expect(tab.page.get_by_text("ended", exact=True)).to_be_visible()
    tab.page.keyboard.press("/")
    tab.page.keyboard.type("quokka")
    matches = tab.page.get_by_role("region", name="Matches in the whole log")
    expect(matches.get_by_role("status")).to_have_text("Whole log: 3 steps with this word")
    expect(matches.get_by_role("listitem")).to_have_count(3)
    # What the page holds, what lies before all it holds, and then what lies in the gap that this has made.
    for place in (5990, 40, 2000):
        matches.get_by_role("button", name=re.compile(PLACES[place])).click()
        expect(tab.page.locator(".log-lines .log-chosen")).to_contain_text(PLACES[place])
        assert chosen(tab) == PLACES[place]
    rows = all_rows(tab)
    assert sum("left out here" in row for row in rows) == 2
    held = numbers(rows)
    assert held == sorted(set(held)), "in order, and none twice"
    assert [row for row in rows if "quokka" in row] == list(PLACES.values())
    matches.get_by_role("link", name="Find in all attempts").click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("Find in logs")
    expect(tab.page.get_by_role("main").get_by_text("far from both ends")).to_be_visible()


def test_what_is_left_out_is_read_by_a_click_until_nothing_is_missing(open_page: OpenPage, task_id: str) -> None:
    tab = open_page()
    go(tab, f"#/task/{task_id}/log")
    tab.page.get_by_role("button", name="Output", exact=True).click()
    expect(tab.page.get_by_text("ended", exact=True)).to_be_visible()
    tab.page.get_by_role("searchbox").fill("quokka sat")
    tab.page.get_by_role("button", name=re.compile(PLACES[40])).click()
    expect(tab.page.locator(".log-lines .log-chosen")).to_contain_text(PLACES[40])
    tab.page.get_by_role("searchbox").fill("left out here")
    tab.page.get_by_role("searchbox").press("Enter")
    tab.page.get_by_role("button", name="Read it").click()
    expect(tab.page.get_by_text("left out here")).to_have_count(0)
    tab.page.get_by_role("searchbox").fill("")
    assert all_rows(tab) == printed()


def test_a_search_that_finds_nothing_or_is_none_says_so(open_page: OpenPage, task_id: str) -> None:
    tab = open_page()
    go(tab, f"#/task/{task_id}/log")
    matches = tab.page.get_by_role("region", name="Matches in the whole log")
    tab.page.get_by_role("searchbox").fill("nobodyeversaidthis at all")
    expect(matches.get_by_role("status")).to_have_text("Whole log: no step with all these words")
    tab.page.get_by_role("searchbox").fill('"')
    expect(matches.get_by_role("alert")).to_be_visible()
    assert tab.violations() == []


def test_a_place_is_found_behind_steps_that_were_unfolded(operator: Operator, open_page: OpenPage) -> None:
    project = operator.project()
    long = "\n".join(f"row {n}" for n in range(80))
    says = [{"do": "say", "text": f"{long}\nend {n}"} for n in range(3)]
    task_id = project.add("Say much", *says, {"do": "say", "text": "the wombat is here"}, is_diff_needed=False)
    operator.settled(task_id)
    tab = open_page()
    go(tab, f"#/task/{task_id}/log")
    tab.page.get_by_role("button", name=re.compile("more lines$")).first.click()
    tab.page.get_by_role("searchbox").fill("wombat")
    tab.page.get_by_role("button", name=re.compile("the wombat is here")).click()
    expect(tab.page.locator(".log-lines .log-chosen")).to_contain_text("the wombat is here")
    assert chosen(tab) == "say the wombat is here"
