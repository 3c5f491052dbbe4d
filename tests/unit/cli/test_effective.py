"""Where each setting's value came from, and the schema of the file."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from ringmaster.cli.effective import path_rows, setting_rows, settings_schema
from ringmaster.settings import Settings, load_settings, resolve_paths

FILE = """\
[daemon]
drain_s = 9

[self]
follow = "worktree"

[agents.claude]
model = "opus"

[agents.local]
argv = ["run", "it"]
"""


@pytest.fixture
def rows(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text(FILE)
    found = setting_rows(load_settings(path), tomllib.loads(FILE), str(path))
    return {row["key"]: (row["value"], row["source"], bool(row["where"])) for row in found}


def test_what_the_file_says_is_from_the_file_and_the_rest_is_a_default(rows):
    assert rows["daemon.drain_s"] == (9.0, "file", True)
    assert rows["daemon.max_running"] == (64, "default", False)
    assert rows["self.follow"] == ("worktree", "file", True)
    assert rows["self.debounce_s"] == (0.2, "default", False)
    assert rows["agents.claude.model"] == ("opus", "file", True)
    assert rows["agents.claude.config"] == ("own", "default", False)
    assert rows["agents.local.argv"] == (("run", "it"), "file", True)
    assert rows["agents.local.kind"] == ("command", "default", False)


def test_agents_that_no_file_names_are_there_with_their_defaults(rows):
    assert rows["agents.codex.bin"] == ("codex", "default", False)
    assert rows["agents.codex.prices"] == ({}, "default", False)


def test_every_setting_there_is_has_a_row():
    found = {row["key"] for row in setting_rows(Settings(), {}, "")}
    for section, attribute in (("daemon", "daemon"), ("limits", "limits"), ("self", "own")):
        fields = getattr(Settings(), attribute).__struct_fields__
        assert {f"{section}.{name}" for name in fields} <= found


@pytest.mark.parametrize(
    ("environ", "option", "expected"),
    [
        ({}, "", {"state": "", "socket": "", "config": ""}),
        (
            {"XDG_STATE_HOME": "/s", "XDG_CONFIG_HOME": "/c"},
            "",
            {"state": "XDG_STATE_HOME", "socket": "XDG_STATE_HOME", "config": "XDG_CONFIG_HOME"},
        ),
        ({"RMCTL_SOCKET": "/h/.local/state/ringmaster/default/ringmaster.sock"}, "", {"socket": "RMCTL_SOCKET"}),
        ({"RINGMASTER_STATE": "night"}, "", {"state": "RINGMASTER_STATE", "config": "RINGMASTER_STATE"}),
        ({"XDG_STATE_HOME": "/s"}, "night", {"state": "-s night", "socket": "-s night", "config": "-s night"}),
    ],
)
def test_a_path_names_what_decided_it(environ, option, expected):
    environ = {"HOME": "/h", **environ}
    paths = resolve_paths(option or None, environ)
    socket = environ.get("RMCTL_SOCKET") or str(paths.socket)
    found = {row["key"]: row["where"] for row in path_rows(paths, socket, option, environ)}
    assert {name: found[name] for name in expected} == expected


def test_the_schema_names_every_field_with_its_default_and_bounds():
    schema = settings_schema()
    assert schema["$schema"].endswith("2020-12/schema")
    limits = schema["$defs"]["LimitSettings"]
    assert limits["additionalProperties"] is False, "a misspelt setting is refused, and an editor should say so"
    assert limits["properties"]["max_attempts"] == {"type": "integer", "minimum": 1, "default": 3}
    for name in ("DaemonSettings", "LimitSettings", "OwnSettings", "AgentSettings", "ClaudeSettings", "CodexSettings"):
        assert schema["$defs"][name]["properties"]
    # The loader takes an agent without its kind, so the schema does too.
    assert "kind" not in schema["$defs"]["ClaudeSettings"]["required"]
    assert schema["$defs"]["ClaudeSettings"]["properties"]["kind"] == {"enum": ["claude"]}
    assert msgspec.json.encode(schema)
