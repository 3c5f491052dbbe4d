"""Real CLI, scripted model: Codex edits, and the daemon commits what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fakes.model_wire import Say, Use
from tests.fakes.real_claude import open_claudes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
CONFIG = """\
[agents.codex]
bin = "{program}"
config = "isolated"
key_env = "MODEL_KEY"
model = "gpt-5.1-codex"
extra_args = ["-c", 'model_provider="scripted"', "-c", '{provider}']
"""


def test_codex_edits_and_the_daemon_commits(tmp_path: Path, codex_program: Path):
    (tmp_path / "tmp").mkdir()
    with open_claudes(tmp_path, codex_program, MODEL_KEY="k", TMPDIR=str(tmp_path / "tmp")) as claudes:
        provider = (
            f'model_providers.scripted={{name="scripted",base_url="{claudes.model.url}/v1"'
            ',env_key="MODEL_KEY",wire_api="responses"}'
        )
        operator = claudes.operator
        assert operator.daemon.stop() == 0
        config = operator.daemon.state / "config.toml"
        config.write_text(config.read_text() + CONFIG.format(program=codex_program, provider=provider))
        operator.daemon.start()
        claudes.model.script("edit", Use("exec_command", {"cmd": "echo two > two.txt"}), Say("I wrote two.txt."))
        # Codex refuses a home of its own below TMPDIR's default, and the tests' state lies there.
        project = operator.project(agent="codex", agent_env=("TMPDIR",))
        (attempt,) = operator.landed(claudes.add("edit", project.name))["attempts"]
        assert project.git("show", "main:two.txt") == "two"
        assert "Agent: Codex" in project.git("log", "--format=%B", "main")
        served = claudes.model.total("edit")
        assert (attempt["tokens_in"], attempt["tokens_out"]) == (served.input, served.output)
        assert attempt["cost_usd"] == pytest.approx((served.input * 1.25 + served.output * 10) / 1e6)
        assert attempt["session_id"]
