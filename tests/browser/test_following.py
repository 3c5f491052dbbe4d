"""A log that is followed in the page goes on over a hot reload: each line is there, and once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import expect
from tests.browser.rows import all_rows
from tests.browser.tab import login_link, open_tab
from tests.browser.views import go
from tests.e2e.operator import Operator
from tests.fakes.reload_storm import open_storm, output_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.timeout(180)
def test_a_log_is_followed_through_hot_reloads_without_losing_a_line(browser: Browser, tmp_path: Path) -> None:
    with (
        open_storm(tmp_path, agents=1, probation_s=0.5) as (own, (task_id,), end),
        open_tab(browser, login_link(Operator(own.daemon, tmp_path))) as tab,
    ):
        go(tab, f"#/task/{task_id}/log")
        tab.page.get_by_role("button", name="Output", exact=True).click()
        log = tab.page.get_by_role("region", name=re.compile("^stdout of"))
        expect(log.get_by_text(re.compile(r"^line \d+$")).first).to_be_visible()
        for number in range(2):
            before = own.generation
            settled = own.take(own.append("ringmaster/__init__.py", f"# {number}\n"))
            assert settled["type"] == "generation.good"
            assert own.generation > before
            printed = len(output_of(own.daemon, task_id).splitlines())
            newer = (
                "wanted => [...document.querySelectorAll('.log-text')].some(row => +row.textContent.slice(5) > wanted)"
            )
            tab.wait_until(newer, printed)
        assert tab.sockets.count("/stream") >= 2, "the feed was closed by the switch and opened again"
        end.touch()
        expect(tab.page.get_by_text("ended", exact=True)).to_be_visible()
        lines = output_of(own.daemon, task_id).decode().splitlines()
        assert all_rows(tab) == lines
        assert tab.faults == []
