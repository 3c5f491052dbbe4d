"""The places of the page, by the words with which a person would ask for them."""

from __future__ import annotations

from tests.browser.chromium import expect
from tests.browser.tab import Tab

VIEWS = ("#/", "#/board", "#/workers", "#/graph", "#/find", "#/stats", "#/generations")
TASK_TABS = ("overview", "prompt", "attempts", "log", "diff", "gate", "history")

# The view that was there is so until the change is drawn.
GO = """
place => new Promise(done => {
  const drawn = () => requestAnimationFrame(() => requestAnimationFrame(() => done()));
  if (location.hash === place) return drawn();
  addEventListener('hashchange', drawn, {once: true});
  location.hash = place;
})
"""


def go(tab: Tab, place: str) -> None:
    """Go to a place, such as `#/board`, and return when its heading is there and nothing says that it is loading."""
    tab.page.evaluate(GO, place)
    expect(tab.page.get_by_role("heading", level=1)).to_have_count(1)
    expect(tab.page.get_by_text("Loading")).to_have_count(0)


def task_places(task_id: str) -> list[str]:
    """Every tab of a task's page."""
    return [f"#/task/{task_id}/{name}" for name in TASK_TABS]
