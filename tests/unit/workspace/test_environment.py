"""What a child gets of the daemon's environment is what a list names, never the rest."""

from __future__ import annotations

import shlex
from pathlib import Path

from ringmaster.workspace.environment import build_environment, find_pip_config, gate_variables, secret_names

INHERITED = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "LC_CTYPE": "C",
    "PIP_INDEX_URL": "https://index.invalid",
    "SSL_CERT_FILE": "/certs",
    "https_proxy": "http://proxy.invalid",
    "RMCTL_TOKEN": "t",
    "RMCTL_SOCKET": "s",
    "NOTIFY_SOCKET": "n",
    "LISTEN_FDS": "3",
    "GIT_DIR": "/x",
    "GITHUB_TOKEN": "t",
    "OPENAI_API_KEY": "k",
    "MY_SETTING": "m",
    "MY_SECRET": "s",
    "XDG_CONFIG_HOME": "/home/me/.config",
    "PYTEST_ADDOPTS": "-x",
    "PIP_TOKEN": "t",
}


def build(*allowed: str, **extra: str) -> dict[str, str]:
    return build_environment(INHERITED, Path("/h"), Path("/c"), allowed, extra=extra)


def test_only_what_is_named_passes() -> None:
    environment = build()
    assert {"PATH", "LC_CTYPE", "PIP_INDEX_URL", "SSL_CERT_FILE", "https_proxy"} <= environment.keys()
    assert not environment.keys() & {
        *("RMCTL_TOKEN", "RMCTL_SOCKET", "NOTIFY_SOCKET", "LISTEN_FDS", "GIT_DIR", "GITHUB_TOKEN", "OPENAI_API_KEY"),
        *("MY_SETTING", "PYTEST_ADDOPTS", "PIP_TOKEN"),
    }
    assert environment["HOME"] == "/h"
    assert environment["XDG_CONFIG_HOME"] == "/h/.config"
    assert environment["PIP_CACHE_DIR"] == "/c/pip"


def test_a_project_allows_more_but_secrets_only_by_name_and_the_daemons_own_never() -> None:
    assert build("MY_*").keys() & {"MY_SETTING", "MY_SECRET"} == {"MY_SETTING"}
    assert build("MY_SECRET")["MY_SECRET"] == "s"
    assert not build("*", "RMCTL_TOKEN", "LISTEN_FDS", "NOTIFY_SOCKET").keys() & {
        "RMCTL_TOKEN",
        "LISTEN_FDS",
        "NOTIFY_SOCKET",
        "GITHUB_TOKEN",
    }
    assert build(HOME="/other")["HOME"] == "/other"


def test_packages_are_found_though_home_is_another() -> None:
    named = build_environment({}, Path("/h"), Path("/c"), pip_config=Path("/home/me/pip.conf"))
    assert named["PIP_CONFIG_FILE"] == "/home/me/pip.conf"
    assert named["PATH"]
    set_already = build_environment({"PIP_CONFIG_FILE": "/x"}, Path("/h"), Path("/c"), pip_config=Path("/y"))
    assert set_already["PIP_CONFIG_FILE"] == "/x"


def test_pip_conf_is_looked_for_where_pip_does(tmp_path: Path) -> None:
    inherited = {"HOME": str(tmp_path)}
    assert find_pip_config(inherited) is None
    old = tmp_path / ".pip" / "pip.conf"
    old.parent.mkdir()
    old.touch()
    assert find_pip_config(inherited) == old
    new = tmp_path / ".config" / "pip" / "pip.conf"
    new.parent.mkdir(parents=True)
    new.touch()
    assert find_pip_config(inherited) == new
    assert find_pip_config({**inherited, "XDG_CONFIG_HOME": str(tmp_path / "none")}) == old


def test_pytest_is_told_where_its_report_goes() -> None:
    path = Path("/a dir/junit.xml")
    variables = gate_variables(path)
    assert variables["RM_JUNIT"] == "/a dir/junit.xml"
    assert shlex.split(variables["PYTEST_ADDOPTS"]) == ["--junitxml=/a dir/junit.xml"]
    assert "--last-failed" in gate_variables(path, is_rerun=True)["PYTEST_ADDOPTS"]


def test_secret_is_what_is_handed_over_allowed_or_named_like_one():
    environment = {"PATH": "/bin", "CI": "1", "RM_TOKEN": "t", "MODEL_KEY": "k", "DB_URL": "u", "DB_NAME": "n"}
    assert secret_names(environment) == ["RM_TOKEN"]
    assert secret_names(environment, ["MODEL_KEY", "PATH", "GONE"], ["DB_*"]) == [
        "DB_NAME",
        "DB_URL",
        "MODEL_KEY",
        "RM_TOKEN",
    ]
