"""The settings in force, each with where its value came from. Pure: the file's table is a parameter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ringmaster.cli.output import Row
from ringmaster.settings import ClaudeSettings, CodexSettings, Paths, Settings

BUILT_IN = {"claude": ClaudeSettings(), "codex": CodexSettings()}
"""Agents that are there without a word in the file."""
PATH_VARIABLES = {
    "state": ("RINGMASTER_STATE", "XDG_STATE_HOME", "HOME"),
    "socket": ("RMCTL_SOCKET", "XDG_RUNTIME_DIR", "RINGMASTER_STATE", "XDG_STATE_HOME", "HOME"),
    "config": ("RINGMASTER_STATE", "XDG_CONFIG_HOME", "HOME"),
}


def setting_rows(settings: Settings, table: Mapping[str, Any], path: str) -> list[Row]:
    """A row for each setting. table: what the file at `path` says, empty without one."""
    agents = {**BUILT_IN, **settings.agents}
    whole = msgspec.to_builtins(settings) | {"agents": {name: msgspec.to_builtins(agents[name]) for name in agents}}
    rows = []
    for key, value in _leaves(whole):
        is_in_file = _is_given(table, key)
        source = "file" if is_in_file else "default"
        rows.append(_row(".".join(key), value, source, path if is_in_file else ""))
    return rows


def path_rows(paths: Paths, socket: str, option: str, environ: Mapping[str, str]) -> list[Row]:
    """Where things lie and what decided it. socket: where rmctl looks; option: of `-s`, '' without."""
    found = {"state": str(paths.state), "socket": socket, "config": str(paths.config)}
    rows = []
    for name, value in found.items():
        source, where = "default", ""
        if option:
            source, where = "option", f"-s {option}"
        elif variable := _deciding(name, value, environ):
            source, where = "environment", variable
        rows.append(_row(name, value, source, where))
    return rows


def _deciding(name: str, value: str, environ: Mapping[str, str]) -> str:
    """The variable whose value the path begins with, or that names the instance; '' where only HOME decides."""
    for variable in PATH_VARIABLES[name]:
        given = environ.get(variable, "")
        if given and (value.startswith(given.rstrip("/")) or variable == "RINGMASTER_STATE"):
            return "" if variable == "HOME" else variable
    return ""


def _row(key: str, value: object, source: str, where: str) -> Row:
    return {"key": key, "value": value, "source": source, "where": where}


def _leaves(value: Mapping[str, Any], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _leaves(item, (*prefix, name))
        else:
            yield (*prefix, name), item


def _is_given(table: object, key: tuple[str, ...]) -> bool:
    for name in key:
        if not isinstance(table, Mapping) or name not in table:
            return False
        table = table[name]
    return True


def settings_schema() -> dict[str, Any]:
    """The settings file as a JSON Schema, for editors."""
    schema = msgspec.json.schema(Settings)
    for name in ("AgentSettings", "ClaudeSettings", "CodexSettings"):
        # The kind may be left out: it is then that of the agent's name, else `command`.
        definition = schema["$defs"][name]
        definition["required"] = [field for field in definition.get("required", ()) if field != "kind"]
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Ringmaster's config.toml"}
    return {**title, **schema}
