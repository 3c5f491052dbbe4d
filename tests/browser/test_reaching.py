"""Everyone gets at everything: without a mouse, on a phone, by a screen reader, in the dark."""

from __future__ import annotations

import pytest

from tests.browser.chromium import expect
from tests.browser.conftest import OpenPage
from tests.browser.tab import PHONE, Tab
from tests.browser.views import TASK_TABS, VIEWS, go, task_places
from tests.e2e.operator import Operator, write_step

# More presses of Tab than a page has places to stop at.
MOST_STOPS = 80
# What no finger can hit: out of sight, or something else lies over it. A drawing is moved about in its box instead.
UNREACHED = """
() => [...document.querySelectorAll('button:enabled, a[href], input, select, textarea, summary')].filter(one => {
  if (!(one instanceof HTMLElement) || !one.checkVisibility() || one.classList.contains('skip')) return false;
  one.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});
  const box = one.getClientRects()[0];
  const x = Math.min(box.left + box.width / 2, innerWidth - 8), y = box.top + box.height / 2;
  const hit = x > box.left ? document.elementFromPoint(x, y) : null;
  return !hit || !(one.contains(hit) || hit.contains(one) && hit.tagName === 'LABEL');
}).map(one => one.outerHTML.slice(0, 200))
"""


@pytest.fixture(scope="module")
def places(operator: Operator) -> list[str]:
    """Every view with something in it: a task that landed, one that failed, one that asks, one that waits."""
    project = operator.project()
    landed = project.add("Land this", {"do": "say", "text": "working"}, write_step("a.txt", "a\n" * 40))
    operator.landed(landed)
    failed = project.add("Fail at this", {"do": "crash"}, max_attempts=1)
    operator.settled(failed)
    asking = project.add("Ask about this", {"do": "ask", "question": "Left or right?", "options": ["left", "right"]})
    operator.event("decision.opened", asking)
    project.add("Wait for that", after=(asking,))
    running = project.add("Work on and on with a title that is much too long for a phone", {"do": "hang"})
    operator.event("attempt.started", running)
    return [
        *VIEWS,
        *task_places(landed),
        f"#/task/{failed}",
        f"#/task/{asking}",
        f"#/task/{running}",
        f"#/graph/{asking}",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_keeps_anybody_out(open_page: OpenPage, places: list[str], scheme: str) -> None:
    tab = open_page(color_scheme=scheme)
    found = []
    for place in places:
        go(tab, place)
        found += [f"{place}: {one}" for one in tab.violations()]
    assert not found, "\n".join(found)


def test_forms_and_dialogs_keep_nobody_out(open_page: OpenPage, places: list[str]) -> None:
    tab = open_page()
    go(tab, "#/board")
    tab.page.get_by_role("button", name="Add").first.click()
    expect(tab.page.get_by_role("dialog")).to_be_visible()
    assert tab.violations() == []
    tab.page.keyboard.press("Escape")
    expect(tab.page.get_by_role("dialog")).to_have_count(0)


def test_a_phone_shows_all_of_it_and_every_action_can_be_touched(open_page: OpenPage, places: list[str]) -> None:
    tab = open_page(PHONE, has_touch=True)
    for place in places:
        go(tab, place)
        assert tab.overflow() == 0, f"{place} is {tab.overflow()} pixels too wide"
        check_touchable(tab, place)


def check_touchable(tab: Tab, place: str) -> None:
    """Each button, field and link that is shown can be brought into sight and hit, with nothing over it."""
    unreached = tab.page.evaluate(UNREACHED)
    assert unreached == [], (place, unreached)


def focused(tab: Tab) -> str:
    """What the next key goes to, in words: its role or element, and its name."""
    return str(
        tab.page.evaluate(
            "(() => { const at = document.activeElement, role = at.getAttribute('role') || at.tagName.toLowerCase();"
            " return role + ' ' + (at.ariaLabel || at.innerText).trim() })()"
        )
    )


def tab_to(tab: Tab, wanted: str) -> None:
    """Press Tab until the focus is there; each stop must be seen."""
    seen = []
    for _ in range(MOST_STOPS):
        tab.page.keyboard.press("Tab")
        seen.append(focused(tab))
        outline = tab.page.evaluate(
            "(() => { const look = getComputedStyle(document.activeElement);"
            " return look.outlineStyle !== 'none' || look.boxShadow !== 'none' })()"
        )
        assert outline, f"the focus cannot be seen on {seen[-1]}"
        if seen[-1] == wanted:
            return
    raise AssertionError(f"{wanted} is not reached: {seen}")


def test_a_question_is_answered_with_the_keyboard_alone(operator: Operator, open_page: OpenPage) -> None:
    project = operator.project()
    question = "Up or down?"
    task_id = project.add("Ask", {"do": "ask", "question": question, "options": ["up", "down"]}, write_step("b", "b\n"))
    operator.event("decision.opened", task_id)
    tab = open_page()
    expect(tab.page.get_by_text(question).first).to_be_visible()
    tab_to(tab, "button down")
    tab.page.keyboard.press("Enter")
    expect(tab.page.get_by_role("article").filter(has_text=question)).to_have_count(0)
    assert operator.landed(task_id)["decisions"][0]["answer"] == "down"


def test_every_tab_of_a_task_is_reached_with_the_keyboard(open_page: OpenPage, places: list[str]) -> None:
    tab = open_page()
    go(tab, places[len(VIEWS)])
    tab_to(tab, "tab Overview")
    for name in TASK_TABS[1:]:
        tab.page.keyboard.press("ArrowRight")
        tab.wait_until("name => location.hash.endsWith(name)", name)


def test_the_keys_are_told_and_lead_everywhere(open_page: OpenPage) -> None:
    tab = open_page()
    tab.page.keyboard.press("?")
    dialog = tab.page.get_by_role("dialog", name="Keys")
    expect(dialog.get_by_role("row")).not_to_have_count(0)
    assert tab.violations() == []
    tab.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    for key, title in (("b", "Board"), ("f", "Find in logs"), ("r", "Generations"), ("a", "What needs you")):
        tab.page.keyboard.press("g")
        tab.page.keyboard.press(key)
        expect(tab.page.get_by_role("heading", level=1)).to_have_text(title)
