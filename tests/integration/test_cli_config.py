"""`rmctl config …` with and without a daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ringmaster.protocol.daemon import ConfigCheckResult
from tests.fakes.rmctl import Rmctl
from tests.fakes.rpc_server import RpcServer


@pytest.fixture
def rmctl(tmp_path: Path) -> Rmctl:
    (tmp_path / "config.toml").write_text("[daemon]\ndrain_s = 7\n")
    return Rmctl(None)


def test_settings_are_shown_without_a_daemon(rmctl: Rmctl, tmp_path: Path):
    ended = rmctl("-s", str(tmp_path), "config", "show")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert f"state\t{tmp_path}\toption\t-s {tmp_path}" in lines
    assert f"daemon.drain_s\t7.0\tfile\t{tmp_path}/config.toml" in lines
    assert "limits.max_attempts\t3\tdefault\t" in lines
    rows = json.loads(rmctl("-s", str(tmp_path), "config", "show", "-o", "json").out)
    assert {"key": "limits.idle_s", "value": 1800.0, "source": "default", "where": ""} in rows


@pytest.mark.parametrize(
    ("file", "words", "said"),
    [
        ("config.toml", "valid", ""),
        ("config.toml", "valid; it differs from what the daemon runs with", "the daemon runs with other settings"),
        ("other.toml", "valid", "the daemon that runs reads"),
    ],
)
def test_a_daemon_that_runs_with_other_settings_is_named(rmctl: Rmctl, tmp_path: Path, file, words, said):
    with RpcServer(tmp_path / "ringmaster.sock") as daemon:
        daemon.answers["daemon.config_check"] = ConfigCheckResult(path=str(tmp_path / file), is_valid=True, words=words)
        ended = rmctl("-s", str(tmp_path), "config", "show")
    assert ended.code == 0
    assert said in ended.err if said else not ended.err


def test_a_bad_file_is_one_line_and_no_rows(rmctl: Rmctl, tmp_path: Path):
    (tmp_path / "config.toml").write_text("[daemon]\ndrains = 7\n")
    ended = rmctl("-s", str(tmp_path), "config", "show")
    assert (ended.code, ended.out) == (2, "")
    assert "drains" in ended.err
    assert ended.err.count("\n") == 1


def test_the_schema_is_json_in_every_format(rmctl: Rmctl):
    assert json.loads(rmctl("config", "schema").out) == json.loads(rmctl("config", "schema", "-o", "jsonl").out)


def test_what_nobody_is_likely_to_mean_is_a_warning_each(rmctl: Rmctl, tmp_path: Path):
    (tmp_path / "config.toml").write_text(
        """
[limits]
agents = { claude = 2, mine = 1, typo = 1 }
[agents.mine]
kind = "command"
argv = ["true"]
[order]
patience_s = [0, 5, 3, 7, 9]
[daemon]
on_decision = ["no-such-program-at-all", "x"]
"""
    )
    ended = rmctl("-s", str(tmp_path), "config", "check")
    assert ended.code == 0
    assert ended.err.splitlines() == [
        "warning: [limits] agents: no agent is called 'typo'; known: claude, codex, hand, mine",
        "warning: [order] patience_s: it does not ascend, so that what is less urgent goes before what is more",
        "warning: [daemon] on_decision: no program 'no-such-program-at-all' is found, so nobody is told of questions",
    ]
    (tmp_path / "config.toml").write_text('[daemon]\non_decision = ["true"]\n[limits]\nagents = { codex = 1 }\n')
    assert rmctl("-s", str(tmp_path), "config", "check").err == ""
