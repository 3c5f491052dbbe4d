"""Reads all lines of a log view, as a reader would: only those in sight are in the document, so it scrolls."""

from __future__ import annotations

from typing import Any

from tests.browser.tab import Tab

# Every row by its place from the top, whichever of them are in the document at a time.
READ = """
async (box) => {
  const found = new Map();
  const drawn = () => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  box.scrollTop = 0;
  for (;;) {
    await drawn();
    for (const row of box.querySelectorAll('.line')) {
      const place = row.getBoundingClientRect().top - box.getBoundingClientRect().top + box.scrollTop;
      const index = Math.round(place / row.offsetHeight);
      const said = row.querySelector('.log-text');
      const text = (said || row).textContent;
      if (found.has(index) && found.get(index) !== text) throw new Error(`row ${index} has changed: ${text}`);
      found.set(index, text);
    }
    const before = box.scrollTop;
    box.scrollTop += box.clientHeight / 2;
    if (box.scrollTop === before) break;
  }
  return [...found].sort(([one], [other]) => one - other);
}
"""


def all_rows(tab: Tab) -> list[str]:
    """Every row of the log view that is shown, from the first to the last. Fails where one is not drawn."""
    found: list[list[Any]] = tab.page.locator(".log-lines").evaluate(READ)
    assert [index for index, _ in found] == list(range(len(found))), "each row is drawn, where it belongs"
    return [text for _, text in found]
