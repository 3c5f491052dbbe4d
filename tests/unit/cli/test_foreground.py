"""An agent's job that `worker run` is about to start, and that is taken away from it at that moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.cli.foreground import Foreground
from ringmaster.cli.session import Session


def test_a_job_that_is_moved_away_at_the_last_moment_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = tmp_path / "agent"
    job.mkdir()
    (job / "spec.json").write_text("{}")
    look = Path.exists

    def look_and_move(path: Path) -> bool:
        """The daemon comes between the last look and the start."""
        is_there = look(path)
        if path.name == "run.json":
            job.rename(tmp_path / "agent.sealed")
        return is_there

    monkeypatch.setattr(Path, "exists", look_and_move)
    assert not Foreground(Session({}), {"job": str(job), "attempt": "rm-1/1", "shim": ()}).start()
    assert capsys.readouterr().err == "rm-1/1  its lease ran out before its agent was started\n"
