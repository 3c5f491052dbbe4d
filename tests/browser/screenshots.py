"""Photographs page and terminal in a real run, for the README: `make screenshots` writes them into docs/pictures.

Needs Chromium (see `bin/setup-browser`); says so and writes nothing where there is none. The run has a daemon with its
keeper in a directory of its own, and is taken down at the end. Names and sizes of the pictures are always the same.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.chromium import expect, open_browser, why_missing
from tests.browser.demo import PROJECT, Demo
from tests.browser.tab import DESKTOP, PHONE, Tab, login_link, open_tab
from tests.browser.terminal import terminal_page
from tests.e2e.operator import CONFIG, Operator
from tests.fakes.daemon import LiveDaemon
from tests.fakes.rmctl import Rmctl

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
LARGEST_BYTES = 300_000
TERMINAL_COLUMNS = 104
SHARPNESS = 1.5
WHO = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Ada"), ("EMAIL", "ada@example.invalid"))
}
FOREIGN = ("RMCTL_", "RINGMASTER_", "RM_", "XDG_", "GIT_", "NO_COLOR")


@contextmanager
def open_scene(root: Path) -> Iterator[Operator]:
    """One who works at an instance called `default`, kept and all, that is gone at the end."""
    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        del os.environ[name]
    home = root / "home"
    os.environ |= WHO | {"HOME": str(home), "XDG_STATE_HOME": str(root / "state"), "TZ": "UTC"}
    state = root / "state" / "ringmaster" / "default"
    config = home / ".config" / "ringmaster" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(CONFIG)
    operator = Operator(LiveDaemon(state), root)
    operator.rmctl = Rmctl(None)
    operator.ok("daemon", "start")
    try:
        yield operator
    finally:
        operator.ok("daemon", "stop", "--abort")


def photograph_terminal(browser: Browser, operator: Operator, demo: Demo) -> None:
    """What rmctl writes to a terminal."""
    calls = {
        "terminal-status": ["rmctl status", "rmctl ls --all"],
        "terminal-why": [f"rmctl why {demo.ids['print']}", f"rmctl decision show {demo.decision_id}"],
    }
    context = browser.new_context(device_scale_factor=SHARPNESS, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    for name, typed in calls.items():
        seen = [(one, operator.rmctl.on_terminal(*one.split()[1:], columns=TERMINAL_COLUMNS).out) for one in typed]
        page.set_content(terminal_page(seen))
        keep(name, page.locator("main").screenshot())
    context.close()


def photograph_page(browser: Browser, operator: Operator, demo: Demo) -> None:
    """The page: what a person sees first, a task, the graph, and all of it on a phone."""
    look(browser, operator, "page", "", "Round grams to 5 or to 10?")
    look(browser, operator, "page-dark", "", "Round grams to 5 or to 10?", scheme="dark")
    look(browser, operator, "page-board", "#/board", "it waits for")
    look(browser, operator, "page-task", f"#/task/{demo.ids['mixed']}/diff", "def test_mixed_numbers(self):")
    look(browser, operator, "page-log", "#/workers", "densities.txt", scheme="dark")
    look(browser, operator, "page-graph", "#/graph", "Plan a week of dinners")
    look(browser, operator, "page-phone", "", "Round grams to 5 or to 10?", size=PHONE)


def look(
    browser: Browser,
    operator: Operator,
    name: str,
    place: str,
    words: str,
    *,
    size: tuple[int, int] = DESKTOP,
    scheme: str = "light",
) -> None:
    """One picture of one place of the page, once these words are on it."""
    with open_tab(browser, login_link(operator), size, color_scheme=scheme, device_scale_factor=SHARPNESS) as tab:
        expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
        if place:
            tab.page.evaluate("place => { location.hash = place }", place)
        expect(tab.page.get_by_text(words).locator("visible=true").first).to_be_visible()
        settle(tab)
        keep(name, tab.page.screenshot(animations="disabled"))
        if tab.faults:
            raise SystemExit(f"screenshots: {name}: {tab.faults}")


def settle(tab: Tab) -> None:
    """Wait until what was drawn is drawn, with its fonts."""
    tab.page.evaluate("document.fonts.ready.then(() => new Promise(done => requestAnimationFrame(() => done())))")


def keep(name: str, picture: bytes) -> None:
    """Write a picture, unless it is too large for a repository."""
    if len(picture) > LARGEST_BYTES:
        raise SystemExit(f"screenshots: {name}.png has {len(picture)} bytes; at most {LARGEST_BYTES} are kept")
    (PICTURES / f"{name}.png").write_bytes(picture)
    print(f"docs/pictures/{name}.png: {len(picture) // 1024} KiB")


def main() -> int:
    """Photograph everything; 1 where there is no browser."""
    reason = why_missing()
    if reason:
        print(f"screenshots: left out: {reason}", file=sys.stderr)
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    # Paths that are on the pictures are the same each time, and say nothing of the machine.
    root = Path("/tmp/demo")
    try:
        root.mkdir()
    except FileExistsError:
        print(f"screenshots: {root} is there already; it is where the run is set up: remove it", file=sys.stderr)
        return 1
    try:
        with open_scene(root) as operator, open_browser(root / "browser") as browser:
            demo = Demo(operator)
            demo.begin()
            photograph_terminal(browser, operator, demo)
            photograph_page(browser, operator, demo)
    finally:
        shutil.rmtree(root)
    print(f"screenshots: of the project {PROJECT}, made in a real run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
