"""Words that some agent said or ran are found again, and lead to the place in its log."""

from __future__ import annotations

import re

from tests.browser.chromium import expect
from tests.browser.conftest import OpenPage
from tests.browser.views import go
from tests.e2e.operator import Operator, write_step

SAID = "the zephyr parser met an odd number"


def test_words_of_a_step_are_found_and_lead_to_their_place(operator: Operator, open_page: OpenPage) -> None:
    project = operator.project()
    before = [{"do": "say", "text": f"looking at file {number}"} for number in range(30)]
    landed = project.add("Mend the parser", *before, {"do": "say", "text": SAID}, write_step("a.txt", "a\n"))
    operator.landed(landed)
    tab = open_page()
    go(tab, "#/find")
    main = tab.page.get_by_role("main")
    search = main.get_by_role("searchbox")
    search.fill("zephyr odd")
    search.press("Enter")
    expect(main.get_by_role("status").get_by_text("1 step in 1 attempt")).to_be_visible()
    found = main.get_by_role("region", name=f"Attempt {landed}/1")
    expect(found.get_by_text("Mend the parser")).to_be_visible()
    # By keyboard alone.
    match = found.get_by_role("link", name=re.compile("zephyr"))
    match.focus()
    match.press("Enter")
    place = main.get_by_role("region", name="Steps around the match")
    chosen = place.locator(".log-chosen")
    expect(chosen).to_have_text(re.compile(SAID))
    expect(place.get_by_text("looking at file 29")).to_be_visible()
    main.get_by_role("button", name="The whole log").click()
    expect(main.get_by_role("region", name=re.compile("^steps of")).get_by_text(SAID)).to_be_visible()
    tab.page.go_back()
    tab.page.go_back()
    expect(main.get_by_role("link", name=re.compile("zephyr"))).to_be_visible()


def test_what_is_not_found_or_no_question_is_said(operator: Operator, open_page: OpenPage) -> None:
    tab = open_page()
    go(tab, "#/find")
    main = tab.page.get_by_role("main")
    search = main.get_by_role("searchbox")
    search.fill("nobodyeversaidthis")
    main.get_by_role("button", name="Find").click()
    expect(main.get_by_text("No step has these words.")).to_be_visible()
    search.fill('"')
    search.press("Enter")
    expect(main.get_by_role("alert")).to_be_visible()
