"""What an open page says when its login ends, its daemon goes, or another generation with another page takes over."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import expect
from tests.browser.conftest import OpenPage
from tests.browser.tab import Tab, login_link, open_tab
from tests.browser.views import go
from tests.e2e.operator import Operator, open_operator
from tests.fakes.own_source import open_own_source

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SECRET_TITLE = "Polish the brass doorknob"
# As another program would end it that has the login: this page is not told but by what it asks.
END_LOGIN = """
async () => {
  const { login } = JSON.parse(localStorage.getItem('ringmaster.login'));
  const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${login}` };
  return (await fetch('/logout', { method: 'POST', headers, body: '{}' })).status;
}
"""
EXPECTED = ("status of 401", "ERR_CONNECTION_REFUSED", "ERR_CONNECTION_RESET", "ERR_EMPTY_RESPONSE")


def forget_expected(tab: Tab) -> None:
    """Leave out of the faults what the browser says of a daemon that is away or refuses: it was asked for here."""
    tab.faults[:] = [fault for fault in tab.faults if not any(words in fault for words in EXPECTED)]


def check_out(tab: Tab) -> None:
    """The page asks for a new link, and shows and keeps nothing of what it had."""
    expect(tab.page.get_by_text("rmctl dashboard", exact=True)).to_be_visible()
    expect(tab.page.get_by_role("navigation")).to_have_count(0)
    expect(tab.page.get_by_role("dialog")).to_have_count(0)
    assert SECRET_TITLE not in tab.page.evaluate("document.documentElement.outerHTML + document.title")
    assert (
        tab.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])") == '[{},{},""]'
    )
    assert tab.violations() == []


def test_a_login_that_is_ended_elsewhere_takes_all_that_was_shown(operator: Operator, open_page: OpenPage) -> None:
    task_id = operator.project().add(SECRET_TITLE, {"do": "hang"})
    operator.event("attempt.started", task_id)
    tab = open_page()
    go(tab, f"#/task/{task_id}")
    tab.page.get_by_role("button", name="Comment").click()
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    assert tab.page.evaluate(END_LOGIN) == 204
    expect(tab.page.get_by_text("This login is over")).to_be_visible()
    check_out(tab)
    forget_expected(tab)


def test_logging_out_in_one_tab_does_so_in_the_others_and_a_new_login_brings_them_back(
    operator: Operator, open_page: OpenPage
) -> None:
    task_id = operator.project().add(SECRET_TITLE, {"do": "hang"})
    operator.event("attempt.started", task_id)
    tab = open_page()
    other = Tab(tab.page.context.new_page(), tab.link)
    other.page.goto(f"http://{tab.host}/#/task/{task_id}")
    expect(other.page.get_by_role("heading", level=1)).to_have_text(SECRET_TITLE)
    tab.page.get_by_role("button", name="Log out").click()
    for one in (tab, other):
        expect(one.page.get_by_text("You are logged out.")).to_be_visible()
        check_out(one)
    tab.page.goto(login_link(operator))
    expect(tab.page.get_by_role("navigation").first).to_be_visible()
    expect(other.page.get_by_role("heading", level=1)).to_have_text(SECRET_TITLE)
    forget_expected(tab)
    assert [fault for fault in other.faults if not any(words in fault for words in EXPECTED)] == []


def test_a_daemon_that_is_away_is_said_and_the_page_goes_on_when_it_is_back(browser: Browser, tmp_path: Path) -> None:
    with open_operator(tmp_path) as own, open_tab(browser, login_link(own)) as tab:
        project = own.project()
        first = project.add("Before", {"do": "hang"})
        go(tab, "#/board")
        expect(tab.page.get_by_text("Before")).to_be_visible()
        away = tab.page.get_by_text("The daemon does not answer.")
        # The other views are fetched while nobody waits.
        fetched = "() => performance.getEntriesByType('resource').some(one => one.name.endsWith('/task.js'))"
        tab.wait_until(fetched)
        tab.page.wait_for_load_state("networkidle")
        own.daemon.stop()
        expect(away).to_be_visible()
        expect(tab.page.get_by_text("Before")).to_be_visible()
        # A view that is asked for meanwhile has nothing to show, and is there by itself later.
        go(tab, f"#/task/{first}")
        expect(tab.page.get_by_role("alert")).to_be_visible()
        assert tab.violations() == []
        own.daemon.start()
        expect(away).to_have_count(0)
        expect(tab.page.get_by_role("heading", level=1)).to_have_text("Before")
        expect(tab.page.get_by_role("alert")).to_have_count(0)
        project.add("Afterwards")
        go(tab, "#/board")
        expect(tab.page.get_by_text("Afterwards")).to_be_visible()
        forget_expected(tab)
        assert tab.faults == []


@pytest.mark.timeout(180)
def test_a_newer_page_is_offered_and_an_older_daemon_is_gone_back_to_by_a_click(
    browser: Browser, tmp_path: Path
) -> None:
    with open_own_source(tmp_path) as own:
        operator = Operator(own.daemon, tmp_path)
        with open_tab(browser, login_link(operator)) as tab:
            before = own.generation
            main = tab.page.get_by_role("main")
            offered = main.get_by_text("has a newer page than this one")
            tab.page.wait_for_load_state("networkidle")
            settled = own.take(own.append("ringmaster/__init__.py", "# another\n"))
            assert settled["type"] == "generation.good"
            go(tab, "#/generations")
            expect(main.get_by_text(re.compile(f"Generation {own.generation} answers"))).to_be_visible()
            expect(offered).to_have_count(0)
            settled = own.take(own.append("ringmaster/web/page/words.js", "// newer\n"))
            assert settled["type"] == "generation.good"
            expect(offered).to_be_visible()
            main.get_by_role("button", name="Load it").click()
            expect(main.get_by_text(re.compile(f"Generation {own.generation} answers"))).to_be_visible()
            expect(offered).to_have_count(0)
            newest = own.generation
            assert newest == before + 2
            back = main.get_by_role("article", name=f"Generation {before}", exact=True)
            back.get_by_role("button", name="Go back to it").click()
            dialog = tab.page.get_by_role("dialog")
            expect(dialog).to_contain_text(f"Go back to generation {before}?")
            dialog.get_by_role("button", name="Go back").click()
            expect(main.get_by_text(re.compile(f"Generation {before} answers"))).to_be_visible()
            assert own.generation == before
            expect(offered).to_be_visible()
            forget_expected(tab)
            assert tab.faults == []
