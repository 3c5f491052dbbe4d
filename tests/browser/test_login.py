"""Who may see the page: a link is good once, what was logged in stays so, and ends when it is told to."""

from __future__ import annotations

import re

import pytest

from tests.browser.chromium import expect
from tests.browser.conftest import OpenPage
from tests.browser.tab import Tab


def forget_refusal(tab: Tab) -> None:
    """Leave out of the faults that the browser counts a refusal (401) among its errors: it was asked for here."""
    tab.faults[:] = [fault for fault in tab.faults if "status of 401" not in fault]


def test_a_link_is_good_once_and_leaves_no_code_behind(open_page: OpenPage) -> None:
    tab = open_page()
    expect(tab.page.get_by_role("main")).to_be_visible()
    tab.wait_until("!location.href.includes('code=')")
    tab.page.reload()
    expect(tab.page.get_by_role("navigation").first).to_be_visible()
    other = tab.page.context.browser.new_context()
    try:
        page = other.new_page()
        page.goto(tab.link)
        expect(page.get_by_text(re.compile("rmctl dashboard")).first).to_be_visible()
        expect(page.get_by_role("navigation")).to_have_count(0)
    finally:
        other.close()


def test_without_a_login_nothing_is_shown_but_how_to_get_one(open_page: OpenPage) -> None:
    tab = open_page()
    page = tab.page.context.new_page()
    page.evaluate("0")
    tab.page.evaluate("localStorage.clear(); sessionStorage.clear()")
    tab.page.goto(f"http://{tab.host}/")
    expect(tab.page.get_by_text(re.compile("rmctl dashboard")).first).to_be_visible()
    assert tab.violations() == []
    forget_refusal(tab)


@pytest.mark.parametrize("size", [(1280, 800), (375, 740)])
def test_a_login_is_ended_for_good(open_page: OpenPage, size: tuple[int, int]) -> None:
    tab = open_page(size)
    held = "JSON.stringify([{...localStorage}, {...sessionStorage}])"
    expect(tab.page.get_by_role("main")).to_be_visible()
    before = tab.page.evaluate(held)
    tab.page.get_by_role("button", name=re.compile("log out", re.I)).first.click()
    expect(tab.page.get_by_text(re.compile("rmctl dashboard")).first).to_be_visible()
    assert tab.page.evaluate(held) != before
    tab.page.reload()
    expect(tab.page.get_by_text(re.compile("rmctl dashboard")).first).to_be_visible()
    forget_refusal(tab)
