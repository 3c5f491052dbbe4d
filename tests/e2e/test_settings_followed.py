"""A real daemon follows its settings file: nobody has to tell it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.e2e.operator import CONFIG, open_operator


def test_an_agent_that_is_written_into_the_settings_may_be_had_at_once(tmp_path: Path) -> None:
    with open_operator(tmp_path) as operator:
        daemon, config = operator.daemon, operator.daemon.state / "config.toml"
        config.write_text(f"{CONFIG}[agents.lately]\nargv = ['true']\n")
        reloaded = daemon.wait_for(lambda event: event["type"] == "settings.reloaded")
        assert reloaded["data"] == {"changed": ["agents.lately"]}
        daemon.call("worker.spawn", id="late", agent="lately")
        config.write_text("[limits]\nwall_s = 'long'\n")
        refused = daemon.wait_for(lambda event: event["type"] == "settings.refused")
        assert "wall_s" in refused["data"]["words"]
        daemon.call("worker.spawn", id="later", agent="lately")
        assert daemon.call("daemon.health")["state"] == "ok"


def test_watchdog_is_imported_when_something_is_watched_and_not_before() -> None:
    """Its import would lengthen the pause in which one image follows another."""
    program = "import sys, ringmaster.daemon.app; sys.exit('watchdog' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
