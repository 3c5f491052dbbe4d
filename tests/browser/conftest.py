"""A real daemon, a real browser, and for each test a tab that must have done nothing it should not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import pytest

from tests.browser.chromium import open_browser, why_missing
from tests.browser.tab import DESKTOP, Tab, login_link, open_tab
from tests.e2e.operator import Operator, open_operator

if TYPE_CHECKING:
    from playwright.sync_api import Browser


class OpenPage(Protocol):
    """Opens the page of the daemon under test in a tab of its own."""

    def __call__(self, size: tuple[int, int] = DESKTOP, **options: Any) -> Tab: ...


@pytest.fixture(scope="session", autouse=True)
def _with_chromium(left_out: Callable[[str, str], NoReturn]) -> None:
    reason = why_missing()
    if reason:
        left_out("Chromium", reason)


@pytest.fixture(scope="module")
def browser(_with_chromium: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with open_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def operator(_with_chromium: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """One who works at a daemon that the tests of a file share; each has a project of its own."""
    with open_operator(tmp_path_factory.mktemp("op")) as made:
        yield made


@pytest.fixture
def open_page(browser: Browser, operator: Operator) -> Iterator[OpenPage]:
    """Tabs that are closed after the test, and whose faults fail it."""
    with ExitStack() as opened:
        tabs: list[Tab] = []

        def open_it(size: tuple[int, int] = DESKTOP, **options: Any) -> Tab:
            tab = opened.enter_context(open_tab(browser, login_link(operator), size, **options))
            tabs.append(tab)
            return tab

        yield open_it
        faults = [fault for tab in tabs for fault in tab.faults]
        assert not faults, "\n".join(faults)
