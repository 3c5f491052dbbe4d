"""What changes under a reader leaves them where they are; and a task is held back and let go by a click."""

from __future__ import annotations

import re

from tests.browser.chromium import expect
from tests.browser.conftest import OpenPage
from tests.browser.views import go
from tests.e2e.operator import Operator

MANY = 90
# More than are asked for one by one: the whole list is loaded anew.
CHANGED = 60
SCROLLED = """
async box => {
  const drawn = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  box.scrollTop = 1500;
  await drawn();
  const topOf = one => one.getBoundingClientRect().top;
  const link = [...box.querySelectorAll('a')].find(one => topOf(one) > topOf(box) + 150);
  link.focus({ preventScroll: true });
  const range = document.createRange();
  range.selectNodeContents(link.querySelector('span'));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
  await drawn();
  return link.getAttribute('href');
}
"""
PLACE = """
box => [box.scrollTop, document.activeElement.getAttribute('href'), String(getSelection()),
        document.activeElement.getBoundingClientRect().top]
"""


def test_a_burst_of_changes_leaves_scroll_focus_and_selection_as_they_are(
    operator: Operator, open_page: OpenPage
) -> None:
    project = operator.project()
    operator.ok("pause", "-P", project.name)
    ids = [project.add(f"Task number {n}") for n in range(MANY)]
    tab = open_page()
    go(tab, "#/board")
    column = tab.page.locator(".windowed").filter(has_text="Task number").first
    expect(column).to_be_visible()
    focused = column.evaluate(SCROLLED)
    before = column.evaluate(PLACE)
    assert before[:2] == [1500, focused]
    assert before[2].startswith("Task number")
    changes = [id for id in ids if not focused.endswith(id)][:CHANGED]
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.post_data or ""))
    with operator.daemon.client() as client:
        for id in changes:
            client.call("task.edit", {"id": id, "title": "It has changed", "labels": ["changed"]})
    # A label that is new can be chosen once the list has been loaded.
    expect(tab.page.get_by_label("Label").locator("option", has_text="changed")).to_have_count(1)
    expect(column.get_by_text("It has changed").first).to_be_visible()
    assert any('"task.list"' in body for body in asked), "the whole list was loaded anew"
    assert column.evaluate(PLACE) == before


def test_a_task_is_held_back_and_let_go_by_a_click(operator: Operator, open_page: OpenPage) -> None:
    project = operator.project()
    operator.ok("pause", "-P", project.name)
    task_id = project.add("Wait a little", {"do": "say", "text": "now"}, is_diff_needed=False)
    tab = open_page()
    go(tab, f"#/task/{task_id}")
    hold = tab.page.get_by_role("button", name="Hold", exact=True)
    hold.click()
    dialog = tab.page.get_by_role("dialog")
    tab.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(hold).to_be_focused()
    assert operator.detail(task_id)["view"]["task"]["held_at"] is None
    hold.click()
    # The focus is kept within: every stop of a round through it is in the dialog.
    for _ in range(6):
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    dialog.get_by_label("Words").fill("not before the paint is dry")
    dialog.get_by_role("button", name="Hold", exact=True).click()
    release = tab.page.get_by_role("button", name="Release", exact=True)
    expect(release).to_be_visible()
    expect(tab.page.get_by_text("Held since")).to_be_visible()
    held = operator.detail(task_id)["view"]["task"]
    assert held["held_at"] is not None
    expect(tab.page.get_by_role("main").get_by_text(re.compile("not before the paint is dry")).first).to_be_visible()
    operator.ok("resume", "-P", project.name)
    release.click()
    operator.settled(task_id)
    expect(tab.page.get_by_role("main").get_by_text("done").first).to_be_visible()
