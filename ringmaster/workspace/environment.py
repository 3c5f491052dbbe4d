"""The environment of setup, gate and agent: built from an allow-list, never inherited whole. Pure."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Mapping, Sequence
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

_PASSED = (
    *("PATH", "LANG", "LANGUAGE", "LC_*", "TZ", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM"),
    # Where packages come from and whom to trust: without these a registry behind a proxy is out of reach.
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PIP_*", "UV_*"),
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ftp_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "FTP_PROXY"),
    *("npm_config_registry", "NPM_CONFIG_REGISTRY", "npm_config_cafile", "NPM_CONFIG_CAFILE"),
    *("GOPROXY", "GOFLAGS", "GONOSUMDB", "GOSUMDB", "RUSTUP_HOME", "RUSTUP_DIST_SERVER", "CARGO_REGISTRIES_*_INDEX"),
)
# Not even a project's allow-list passes these: they would let a child act as the daemon.
_NEVER = ("RMCTL_*", "RM_*", "NOTIFY_SOCKET", "LISTEN_*", "WATCHDOG_*", "INVOCATION_ID", "MAINPID", "GIT_*")
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|API_?KEY|PRIVATE_KEY|CREDENTIAL|_AUTH\b", re.IGNORECASE)


class CacheKind(StrEnum):
    """Whose package caches: a gate must never install what an agent put into a cache."""

    GATE = "gate"
    AGENT = "agent"


def build_environment(
    inherited: Mapping[str, str],
    home: Path,
    caches: Path,
    allowed: Sequence[str] = (),
    *,
    pip_config: Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The whole environment of a child.

    home: becomes HOME and holds the XDG directories; caches: the package caches of this kind and
    project. Neither is made here. allowed: `project.env`, names or `*` patterns passed besides the
    defaults; a name that looks like a secret passes only when given in full. pip_config: the user's
    pip.conf, since HOME is not theirs. extra: set last, as given.
    """
    environment = {name: value for name, value in inherited.items() if _is_passed(name, allowed)}
    environment |= {
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "XDG_STATE_HOME": str(home / ".local" / "state"),
        "PIP_CACHE_DIR": str(caches / "pip"),
        "UV_CACHE_DIR": str(caches / "uv"),
        "npm_config_cache": str(caches / "npm"),
        "YARN_CACHE_FOLDER": str(caches / "yarn"),
        "CARGO_HOME": str(caches / "cargo"),
        "GOPATH": str(caches / "go"),
        "GOCACHE": str(caches / "go-build"),
        "GRADLE_USER_HOME": str(caches / "gradle"),
        "GIT_TERMINAL_PROMPT": "0",
    }
    environment.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    environment.setdefault("LANG", "C.UTF-8")
    if pip_config is not None and "PIP_CONFIG_FILE" not in environment:
        environment["PIP_CONFIG_FILE"] = str(pip_config)
    environment.update(extra or {})
    return environment


def secret_names(environment: Mapping[str, str], handed: Sequence[str] = (), allowed: Sequence[str] = ()) -> list[str]:
    """The variables of a child's environment whose values must not be shown.

    handed: names that settings hand over; allowed: `project.env`. Besides these, what looks like a secret by its name.
    What every child is passed, such as PATH, is none, whoever names it.
    """
    return sorted(
        name
        for name in environment
        if _SECRET.search(name)
        or (
            (name in handed or any(fnmatchcase(name, pattern) for pattern in allowed))
            and not any(fnmatchcase(name, pattern) for pattern in _PASSED)
        )
    )


def agent_home(caches: Path, project_id: str, task_id: str) -> Path:
    """HOME of an agent: its own per task, so that what one task's agent writes there cannot steer another's."""
    digest = hashlib.sha256(task_id.encode()).hexdigest()[:8]
    return caches / "home" / f"{project_id}-{digest}"


def gate_variables(junit: Path, *, is_rerun: bool = False) -> dict[str, str]:
    """What a gate's environment has besides: where the test report goes, for pytest by itself.

    is_rerun: pytest runs only what its cache in this checkout names as failed, or all where that
    names nothing.
    """
    options = [f"--junitxml={junit}", *(["--last-failed"] if is_rerun else [])]
    return {"RM_JUNIT": str(junit), "PYTEST_ADDOPTS": shlex.join(options)}


def find_pip_config(inherited: Mapping[str, str]) -> Path | None:
    """The user's pip.conf, where pip itself would look for it."""
    home = Path(inherited.get("HOME") or "/nonexistent")
    config = Path(inherited.get("XDG_CONFIG_HOME") or home / ".config")
    candidates = (config / "pip" / "pip.conf", home / ".pip" / "pip.conf")
    return next((path for path in candidates if path.is_file()), None)


def _is_passed(name: str, allowed: Sequence[str]) -> bool:
    if any(fnmatchcase(name, pattern) for pattern in _NEVER):
        return False
    if name in allowed:
        return True
    if _SECRET.search(name):
        return False
    return any(fnmatchcase(name, pattern) for pattern in (*_PASSED, *allowed))
