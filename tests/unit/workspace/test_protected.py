"""Which changes touch what judges them."""

from __future__ import annotations

import pytest

from ringmaster.workspace.diff import ChangedFile
from ringmaster.workspace.protected import gate_tools, is_makefile, makefile_includes, matches, protected_changes


def changed(*paths: str, status: str = "M") -> list[ChangedFile]:
    return [ChangedFile(path=path, status=status, added=1, deleted=0) for path in paths]


def protected(*paths: str, status: str = "M", **options: object) -> list[str]:
    return [change.path for change in protected_changes(changed(*paths, status=status), **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("status", ["A", "M", "D"])
@pytest.mark.parametrize(
    "path",
    [
        *("GNUmakefile", "makefile", "Makefile", "MAKEFILE", "sub/Makefile", "pyproject.toml", "pytest.ini"),
        *(".pytest.ini", "tox.ini", "setup.cfg", "setup.py", "tests/conftest.py", "noxfile.py", "a/sitecustomize.py"),
        *("usercustomize.py", "x/evil.pth", "package.json", "web/.npmrc", "pip.conf", ".gitattributes", ".gitmodules"),
        *(".github/workflows/x.yml", ".ci/run", ".gitlab-ci.yml", "Jenkinsfile", "uv.lock", "web/package-lock.json"),
        *("requirements.lock", "requirements-dev.txt", "pytest.py", "pytest/__init__.py", "ruff/x.py", "make.py"),
    ],
)
def test_what_a_gate_is_run_by_is_protected_in_any_way_of_change(path: str, status: str) -> None:
    assert protected(path, status=status) == [path]


def test_ordinary_files_are_free() -> None:
    assert protected("src/app.py", "tests/test_x.py", "src/pytest_plugin.py", "docs/pytest/x.md", "test/x.py") == []
    assert protected("makefiles.md", "src/ruff/x.py", "test.sh", gate_commands=["./test.sh.real"]) == []


def test_a_new_module_named_like_one_of_pythons_own_is_protected() -> None:
    assert protected("json.py", "test/__init__.py", status="A") == ["json.py"]
    assert protected("json.py", status="M") == []


def test_what_the_gates_commands_name_is_protected() -> None:
    commands = ["cd x && python -m mytool -q; ./scripts/check.sh --all", "nox2 tests/run_all.py", "python -m app.check"]
    assert gate_tools(commands) >= {"mytool", "nox2"}
    assert protected("mytool/x.py", "scripts/check.sh", "tests/run_all.py", gate_commands=commands) == [
        "mytool/x.py",
        "scripts/check.sh",
        "tests/run_all.py",
    ]
    assert protected("app/x.py", "scripts/other.sh", gate_commands=commands) == []
    assert protected("a.py", gate_commands=["echo 'unclosed"]) == []


def test_what_a_makefile_includes_is_protected() -> None:
    text = "all:\n\techo\ninclude rules.mk \\\n  more/*.inc\n-include $(EXTRA)  # any\nsinclude ../up.inc\n"
    assert is_makefile("sub/GNUmakefile")
    assert set(makefile_includes("sub/Makefile", text)) >= {
        "rules.mk",
        "sub/rules.mk",
        "sub/more/*.inc",
        "*.mk",
        "up.inc",
    }
    found = protected(
        "sub/rules.mk", "sub/more/a.inc", "deep/any.mk", "up.inc", "other.inc", makefiles={"sub/Makefile": text}
    )
    assert found == ["sub/rules.mk", "sub/more/a.inc", "deep/any.mk", "up.inc"]


def test_a_project_adds_and_frees() -> None:
    patterns = ["policy/", "*.rules", "/top/*.cfg", "!docs/conftest.py", "!uv.lock"]
    found = protected(
        *(
            "policy/a",
            "x/policy/b",
            "c.rules",
            "top/x.cfg",
            "x/top/x.cfg",
            "docs/conftest.py",
            "uv.lock",
            "conftest.py",
        ),
        patterns=patterns,
    )
    assert found == ["policy/a", "x/policy/b", "c.rules", "top/x.cfg", "conftest.py"]


@pytest.mark.parametrize(
    ("path", "pattern", "is_match"),
    [
        ("a/b.py", "*.py", True),
        ("a/b.py", "/b.py", False),
        ("a/b/c.py", "a/**/c.py", True),
        ("a/c.py", "a/**/c.py", True),
        ("A/B.PY", "a/b.py", True),
        ("abc/x", "ab/", False),
    ],
)
def test_patterns(path: str, pattern: str, is_match: bool) -> None:
    assert matches(path, pattern) is is_match
