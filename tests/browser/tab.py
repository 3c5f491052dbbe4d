"""A page of the dashboard in a tab that notes whatever a page must not do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.browser.chromium import AXE, EXPECT_MS, expect
from tests.e2e.operator import Operator

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Request, WebSocket

DESKTOP = (1280, 800)
PHONE = (375, 740)
# Said when a view is left in the moment in which its feed is opened.
GIVEN_UP = "WebSocket is closed before the connection is established"
GRAVE = ("serious", "critical")
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


class Tab:
    """One page. faults: what it said on the console, asked of others, failed to load, or threw, in words.

    page: playwright's, to find things in by role and name.
    """

    def __init__(self, page: Page, link: str) -> None:
        self.page = page
        self.link = link
        self.host = urlsplit(link).netloc
        self.faults: list[str] = []
        self.sockets: list[str] = []
        page.on("console", self._note_console)
        page.on("pageerror", lambda error: self.faults.append(f"threw: {error}"))
        page.on("request", self._note_request)
        page.on("requestfailed", self._note_failure)
        page.on("websocket", self._note_socket)
        page.on("dialog", self._note_dialog)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and GIVEN_UP not in message.text:
            self.faults.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _note_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.netloc != self.host and parts.scheme not in ("data", "blob", "about"):
            self.faults.append(f"asked another: {request.url}")

    def _note_failure(self, request: Request) -> None:
        # A view that is left gives up what it has asked for; what is refused is an error on the console besides.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"did not load: {request.url}: {request.failure}")

    def _note_socket(self, socket: WebSocket) -> None:
        self.sockets.append(urlsplit(socket.url).path)
        if urlsplit(socket.url).netloc != self.host:
            self.faults.append(f"asked another: {socket.url}")

    def _note_dialog(self, dialog: Dialog) -> None:
        self.faults.append(f"opened a dialog: {dialog.message}")
        dialog.dismiss()

    def wait_until(self, expression: str, argument: Any = None) -> None:
        """Wait until an expression of JavaScript is true."""
        self.page.wait_for_function(expression, arg=argument, timeout=EXPECT_MS)

    def violations(self) -> list[str]:
        """What axe-core finds grave in the page as it is now, a line for each kind with the places."""
        noted = len(self.faults)
        # Put in by the debugger, not as a script of the page: its policy would rightly refuse that.
        self.page.evaluate(AXE.read_text() + "; undefined")
        found = self.page.evaluate(
            "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}, resultTypes: ['violations'],"
            " preload: false})",
            RULES,
        )
        # Styles that axe-core tries out are refused by the page's policy: that is no fault of the page.
        del self.faults[noted:]
        return [
            f"{one['impact']} {one['id']}: {one['help']}: "
            + "; ".join(f"{node['target'][0]} {node['html'][:160]} {told(node)}" for node in one["nodes"][:5])
            for one in found["violations"]
            if one["impact"] in GRAVE
        ]

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"))


def told(node: dict[str, Any]) -> str:
    """What axe-core says of one place, without the advice."""
    return " ".join(one["message"] for one in node["any"][:1])


def login_link(operator: Operator) -> str:
    """A link that logs in once."""
    return operator.ok("dashboard", "--url").strip()


@contextmanager
def open_tab(browser: Browser, link: str, size: tuple[int, int] = DESKTOP, **options: Any) -> Iterator[Tab]:
    """A tab of its own that has followed a login link, closed at the end. options: of playwright's context."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
        **options,
    )
    try:
        tab = Tab(context.new_page(), link)
        tab.page.set_default_timeout(EXPECT_MS)
        tab.page.goto(link)
        # Before, the login is under way, and whoever goes elsewhere is brought back.
        expect(tab.page.get_by_role("heading", level=1)).to_be_visible()
        yield tab
    finally:
        context.close()
