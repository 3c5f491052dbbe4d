"""Ten thousand tasks, a thousand lines a second: the document stays small; frames are measured, not judged."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import pytest

from tests.browser.chromium import expect
from tests.browser.conftest import OpenPage
from tests.browser.tab import Tab
from tests.browser.views import go
from tests.e2e.operator import Operator

TASKS = 10_000
MOST_ELEMENTS = 3_000
MEASURED_S = 4
PRINTER = """\
import pathlib, select, sys, time
end, count, begun = pathlib.Path(sys.argv[1]), 0, time.monotonic()
while not end.exists():
    for _ in range(20):
        print("line", count, "of a log that is written quickly", flush=False)
        count += 1
    sys.stdout.flush()
    select.select([], [], [], max(0, begun + count / 1000 - time.monotonic()))
"""
FRAMES = """
seconds => new Promise(done => {
  const long = [];
  const observer = new PerformanceObserver(list => long.push(...list.getEntries().map(one => one.duration)));
  observer.observe({type: 'longtask'});
  const gaps = [], end = performance.now() + seconds * 1000;
  let last = performance.now();
  const frame = now => {
    gaps.push(now - last);
    last = now;
    if (now < end) requestAnimationFrame(frame); else { observer.disconnect(); done([gaps, long]); }
  };
  requestAnimationFrame(frame);
})
"""
SCROLL = """
seconds => {
  const boxes = [document.scrollingElement, ...document.querySelectorAll('main *')].filter(
    one => one.scrollHeight > one.clientHeight + 2000);
  const end = performance.now() + seconds * 1000;
  const move = () => {
    for (const box of boxes) box.scrollTop += 700;
    if (performance.now() < end) requestAnimationFrame(move);
  };
  move();
  return boxes.length;
}
"""


def elements(tab: Tab) -> int:
    """How many elements the document has."""
    return int(tab.page.evaluate("document.querySelectorAll('*').length"))


def frames(tab: Tab) -> str:
    """The time between frames over some seconds, in words."""
    gaps, long = tab.page.evaluate(FRAMES, MEASURED_S)
    p95 = statistics.quantiles(gaps, n=20)[-1]
    return (
        f"p95 {p95:.0f} ms between {len(gaps)} frames, the longest {max(gaps):.0f} ms, "
        f"{len(long)} tasks of the main thread over 50 ms"
    )


@pytest.mark.timeout(180)
def test_ten_thousand_tasks_are_a_window_onto_them(
    operator: Operator, open_page: OpenPage, tmp_path: Path, record_property
) -> None:
    project = operator.project()
    operator.ok("pause", "-P", project.name)
    lines = [{"id": f"many-{n}", "title": f"Task {n} of many", "status": "open"} for n in range(TASKS)]
    source = tmp_path / "many.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    operator.ok("task", "import", "beads", str(source), "-P", project.name)
    tab = open_page()
    go(tab, "#/board")
    expect(tab.page.get_by_text("of many").first).to_be_visible()
    assert elements(tab) < MOST_ELEMENTS
    assert tab.page.evaluate(SCROLL, MEASURED_S) >= 1, "there is something to scroll"
    seen = frames(tab)
    expect(tab.page.get_by_text("of many").first).to_be_visible()
    assert elements(tab) < MOST_ELEMENTS
    record_property("figure", f"{TASKS} tasks on the board, scrolled: {seen}; {elements(tab)} elements")


@pytest.mark.timeout(180)
def test_a_thousand_lines_a_second_are_a_window_onto_them(
    operator: Operator, open_page: OpenPage, tmp_path: Path, record_property
) -> None:
    end = tmp_path / "end"
    project = operator.project(agent="command", command=(sys.executable, "-I", "-S", "-c", PRINTER, str(end)))
    task_id = project.add("Print", is_diff_needed=False)
    operator.event("attempt.started", task_id)
    tab = open_page()
    go(tab, f"#/task/{task_id}/log")
    tab.page.get_by_role("button", name="Output", exact=True).click()
    expect(tab.page.get_by_text("of a log that is written quickly").first).to_be_visible()
    received = "+document.querySelector('.log').dataset.received"
    before = int(tab.page.evaluate(received))
    seen = frames(tab)
    came = int(tab.page.evaluate(received)) - before
    assert elements(tab) < MOST_ELEMENTS
    end.touch()
    operator.settled(task_id)
    record_property("figure", f"{came / MEASURED_S:.0f} lines a second followed: {seen}; {elements(tab)} elements")
