"""Chromium and what drives it: found where `bin/setup-browser` puts them, or said to be missing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = ROOT / ".browser"
LIBRARY = INSTALLED / "python"
AXE = INSTALLED / "node_modules" / "axe-core" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome")
# Nothing of the browser's own may go out, start up or ask: what is seen then is what the page did.
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
)
EXPECT_MS = 20_000


def find_chromium() -> str:
    """The program that CHROMIUM names, or the first of the known names; '' for none."""
    named = os.environ.get("CHROMIUM", "")
    return next((found for name in ([named] if named else NAMES) if (found := shutil.which(name))), "")


def why_missing() -> str:
    """Why there can be no browser here, '' where there can."""
    if not find_chromium():
        named = os.environ.get("CHROMIUM", "")
        found = f"CHROMIUM names {named}, which is no program" if named else "none was found"
        return f"{found}; bin/setup-browser says what to install"
    if not LIBRARY.is_dir() or not AXE.is_file():
        return "playwright and axe-core are not there; bin/setup-browser installs them"
    return ""


def use_library() -> None:
    """Let playwright be imported from .browser; last, so that nothing there stands in for what is tested."""
    if str(LIBRARY) not in sys.path:
        sys.path.append(str(LIBRARY))


@contextmanager
def open_browser(home: Path) -> Iterator[Browser]:
    """Chromium without a window, closed at the end. home: an empty directory for what it writes."""
    use_library()
    from playwright.sync_api import expect as library_expect
    from playwright.sync_api import sync_playwright

    home.mkdir(parents=True, exist_ok=True)
    library_expect.set_options(timeout=EXPECT_MS)
    # Root has no sandbox to put the renderer in.
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else [*FLAGS]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=flags, env={**os.environ, "HOME": str(home), "TZ": "UTC"}
        )
        try:
            yield browser
        finally:
            browser.close()


def expect(found: Locator | Page, message: str | None = None) -> Any:
    """playwright's `expect`: waits until what is said of it is so, EXPECT_MS at most."""
    from playwright.sync_api import expect as library_expect

    return library_expect(found, message)
