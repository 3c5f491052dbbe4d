"""Which changes touch what judges them: files a gate is run by, changed or added. Pure rules."""

from __future__ import annotations

import posixpath
import re
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from ringmaster.workspace.diff import ChangedFile

_MAKEFILES = ("gnumakefile", "makefile")


def _because(why: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), why)


# By name in any folder; matched without regard to case, since some file systems have none.
_NAMES: Mapping[str, str] = {
    **_because("make reads it", "gnumakefile makefile"),
    **_because(
        "Python's tools and tests are configured by it",
        "pyproject.toml pytest.ini .pytest.ini pytest.toml .pytest.toml tox.ini setup.cfg setup.py conftest.py "
        "noxfile.py .coveragerc mypy.ini .mypy.ini ruff.toml .ruff.toml .flake8 .importlinter .pylintrc",
    ),
    **_because("Python runs it at every start", "sitecustomize.py usercustomize.py *.pth"),
    **_because("packages and scripts come from it", "package.json .npmrc pip.conf"),
    **_because("git itself acts on it", ".gitattributes .gitmodules"),
    **_because(
        "CI runs by it",
        ".gitlab-ci.yml .travis.yml jenkinsfile azure-pipelines.yml bitbucket-pipelines.yml .drone.yml "
        ".woodpecker.yml .pre-commit-config.yaml",
    ),
    **_because(
        "it pins what is installed",
        "*.lock package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml bun.lockb poetry.lock uv.lock "
        "pipfile.lock cargo.lock go.sum gemfile.lock composer.lock requirements*.txt",
    ),
}
_FOLDERS = _because("CI runs by it", ".github .circleci .ci .buildkite .woodpecker .gitea .forgejo")
_TOOLS = frozenset(
    _because(
        "",
        "pytest _pytest pluggy iniconfig unittest coverage hypothesis tox nox ruff mypy flake8 pylint black isort "
        "pyright bandit make trio anyio pip setuptools",
    )
)
_MODULE_SUFFIXES = (".py", ".pyc", ".so", ".pyd", ".sh", ".js", "")
_INCLUDE = re.compile(r"^[ \t]*(?:-include|sinclude|include)[ \t]+(.+?)[ \t]*(?:#.*)?$", re.MULTILINE)


class ProtectedChange(msgspec.Struct, frozen=True):
    """A changed path that a person must look at, and why."""

    path: str
    why: str


def protected_changes(
    changed: Iterable[ChangedFile],
    patterns: Sequence[str] = (),
    gate_commands: Sequence[str] = (),
    makefiles: Mapping[str, str] | None = None,
) -> list[ProtectedChange]:
    """Which changed, added or deleted files judge the change itself.

    patterns: `project.protected`; a pattern adds, with `!` before it frees, also from the defaults. One
    with a slash is matched from the top (`ci/` means all below), one without in any folder. makefiles:
    path to text, at base and head, of makefiles whose includes count too.
    """
    added = [pattern for pattern in patterns if not pattern.startswith("!")]
    freed = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    tools = _TOOLS | gate_tools(gate_commands)
    run_paths = _paths_run(gate_commands)
    included = {name for path, text in (makefiles or {}).items() for name in makefile_includes(path, text)}
    found = []
    for file in changed:
        why = _reason(file, added, tools, run_paths, included)
        if why is not None and not any(matches(file.path, pattern) for pattern in freed):
            found.append(ProtectedChange(path=file.path, why=why))
    return found


def is_makefile(path: str) -> bool:
    """Whether make reads a file of this name by itself."""
    return posixpath.basename(path).casefold() in _MAKEFILES


def makefile_includes(path: str, text: str) -> list[str]:
    """Patterns of the files a makefile includes, from the repository's top. A name with a variable in it
    could be any: it counts as every `*.mk`."""
    folder = posixpath.dirname(path)
    found = []
    for match in _INCLUDE.finditer(text.replace("\\\n", " ")):
        for name in match.group(1).split():
            if "$" in name:
                found.append("*.mk")
            else:
                found += [posixpath.normpath(name), posixpath.normpath(posixpath.join(folder, name))]
    return found


def gate_tools(commands: Sequence[str]) -> frozenset[str]:
    """Names of the programs and `-m` modules the gate's commands start, as far as their words show."""
    found = set()
    for words in map(_words, commands):
        for at, word in enumerate(words):
            is_program = at == 0 or words[at - 1] in ("&&", "||", ";", "|", "-m", "exec", "env", "time")
            # A path is protected as itself; `-m package.module` is mostly the project's own package.
            if is_program and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", word):
                found.add(word.casefold())
    return frozenset(found)


def matches(path: str, pattern: str) -> bool:
    """Whether a path matches a pattern as `protected_changes` reads it, without regard to case."""
    path, pattern = path.casefold(), pattern.casefold()
    if pattern.endswith("/"):
        prefix = pattern.lstrip("/")
        return path.startswith(prefix) or ("/" not in prefix[:-1] and f"/{prefix}" in f"/{path}")
    if "/" in pattern:
        pattern = pattern.lstrip("/")
        return fnmatchcase(path, pattern) or fnmatchcase(path, pattern.replace("**/", ""))
    return fnmatchcase(posixpath.basename(path), pattern)


def _reason(
    file: ChangedFile, added: Sequence[str], tools: frozenset[str], run_paths: frozenset[str], included: set[str]
) -> str | None:
    parts = file.path.split("/")
    name = parts[-1].casefold()
    for pattern, why in _NAMES.items():
        if fnmatchcase(name, pattern):
            return why
    for part in parts[:-1]:
        if part.casefold() in _FOLDERS:
            return _FOLDERS[part.casefold()]
    if file.path in run_paths:
        return "the gate runs it"
    if any(matches(file.path, pattern) for pattern in included):
        return "a makefile includes it"
    if (tool := _shadowed(parts, file.status, tools)) is not None:
        return f"it would stand in for {tool}"
    if any(matches(file.path, pattern) for pattern in added):
        return "the project protects it"
    return None


def _shadowed(parts: list[str], status: str, tools: frozenset[str]) -> str | None:
    """The tool or standard module a top-level module or folder is named like."""
    name = parts[0].casefold().split(".")[0]
    is_module = len(parts) > 1 or any(parts[0].casefold() in (f"{name}{suffix}", name) for suffix in _MODULE_SUFFIXES)
    if is_module and name in tools:
        return name
    # A folder named like a standard module (`test`, `site`) is common and old; a new module of its name is not.
    if len(parts) == 1 and status == "A" and parts[0].endswith(".py") and parts[0][:-3] in sys.stdlib_module_names:
        return f"Python's own {parts[0][:-3]}"
    return None


def _paths_run(commands: Sequence[str]) -> frozenset[str]:
    return frozenset(
        posixpath.normpath(word) for words in map(_words, commands) for word in words if "." in word or "/" in word
    )


def _words(command: str) -> list[str]:
    try:
        lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        return list(lexer)
    except ValueError:
        return command.split()
