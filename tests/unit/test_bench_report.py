"""What the bench shows while it measures: figures that stay, and on a terminal what is measured now."""

from __future__ import annotations

import pytest

from ringmaster.cli.progress import Progress
from tests.bench.figures import Report
from tests.fakes.glass import Glass


def test_on_a_terminal_the_last_line_says_what_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    glass = Glass(90)
    monkeypatch.setattr("sys.stdout", glass)
    monkeypatch.setattr("time.strftime", lambda form: "12:00:00")
    progress = Progress(glass, is_drawn=True, frames="*", columns=lambda: glass.columns)
    report = Report(is_quick=True, progress=progress)
    report.begin("create", 2, 14)
    assert glass.rows == ["* measuring create, since 12:00:00  2 of 14, 14 %"]
    report.head("durable creations")
    report.under_way("64 clients, round 2 of 5")
    report.figure("1 client", [1000.0], "/s")
    figures = ["", "durable creations", f"  {'1 client':<44} 1,000 /s (1,000..1,000)"]
    assert glass.rows == [*figures, "* measuring create: 64 clients, round 2 of 5, since 12:00:00  2 of 14, 14 %"]
    progress.close()
    assert glass.rows == figures


def test_in_a_pipe_there_are_the_figures_alone(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(is_quick=True)
    report.begin("create", 0, 1)
    report.under_way("round 1 of 5")
    report.note("a line")
    assert capsys.readouterr().out == "  a line\n"
