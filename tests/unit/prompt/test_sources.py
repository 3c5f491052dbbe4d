from __future__ import annotations

import os
from pathlib import Path

import pytest

from ringmaster.prompt import sources
from ringmaster.prompt.sources import read_conventions, read_named_code


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    (root / "shop").mkdir(parents=True)
    (root / "shop" / "ledger.py").write_text("def total(rows):\n    return sum(rows)\n\n\nclass Ledger:\n    pass\n")
    (root / "shop" / "long.py").write_text("".join(f"line_{n} = {n}\n" for n in range(1, 1001)))
    return root


def paths(excerpts) -> list[str]:
    return [excerpt.path for excerpt in excerpts]


@pytest.mark.parametrize(
    "words",
    [
        "see shop/ledger.py.",
        "see `ledger.py`",
        "in ./shop/ledger.py:1",
        "mend `total`",
        "mend ledger.total()",
        "`Ledger`",
    ],
)
def test_code_that_the_task_names_is_quoted_once(workspace: Path, words: str):
    assert paths(read_named_code(workspace, words)) == ["shop/ledger.py"]


def test_a_line_brings_its_surroundings(workspace: Path):
    (excerpt,) = read_named_code(workspace, "shop/long.py:500 is wrong")
    assert excerpt.is_cut
    assert "line_500 = 500\n" in excerpt.text
    assert excerpt.text.startswith(f"line_{excerpt.first_line} =")
    assert excerpt.text.count("\n") < 100


def test_a_definition_says_why_it_is_there(workspace: Path):
    (excerpt,) = read_named_code(workspace, "`total`")
    assert excerpt.why == "`total` is defined here"


@pytest.mark.parametrize("words", ["plain words and/or none", "nothing.py", "shop/none.py:3", "`missing`", "total"])
def test_what_is_not_there_is_not_quoted(workspace: Path, words: str):
    assert read_named_code(workspace, words) == ()


def test_nothing_outside_the_workspace_is_read(workspace: Path, tmp_path: Path):
    outside = tmp_path / "outside.py"
    outside.write_text("def secret(): pass\n")
    (workspace / "link.py").symlink_to(outside)
    (workspace / "folder").symlink_to(tmp_path)
    (workspace / "AGENTS.md").symlink_to(outside)
    words = f"link.py folder/outside.py ../outside.py shop/../../outside.py {outside} `secret`"
    assert read_named_code(workspace, words) == ()
    assert read_conventions(workspace) == ()


def test_a_link_inside_the_workspace_is_followed(workspace: Path):
    (workspace / "CLAUDE.md").write_text("Be brief.\n")
    (workspace / "AGENTS.md").symlink_to("CLAUDE.md")
    assert paths(read_conventions(workspace)) == ["AGENTS.md"]


def test_binary_huge_secret_and_special_files_are_passed_over(workspace: Path):
    (workspace / "data.bin").write_bytes(b"a\0b")
    (workspace / "huge.py").write_text("x" * (sources.FILE_BYTES + 1))
    (workspace / ".env").write_text("KEY=1\n")
    (workspace / "shop" / ".env.local").write_text("KEY=1\n")
    (workspace / "server.pem").write_text("key\n")
    os.mkfifo(workspace / "pipe.py")
    (workspace / "innocent.py").symlink_to(".env")
    words = "data.bin huge.py .env shop/.env.local server.pem pipe.py innocent.py .git/config"
    assert read_named_code(workspace, words) == ()


def test_bytes_that_are_no_utf8_do_no_harm(workspace: Path):
    (workspace / "latin.py").write_bytes(b"name = 'caf\xe9'\n")
    (excerpt,) = read_named_code(workspace, "latin.py")
    assert excerpt.text == "name = 'caf\ufffd'\n"


def test_the_number_of_excerpts_is_bounded(workspace: Path):
    for number in range(40):
        (workspace / f"part{number}.py").write_text("x = 1\n")
    words = " ".join(f"part{number}.py" for number in range(40))
    assert len(read_named_code(workspace, words)) == sources.EXCERPT_LIMIT


def test_conventions_are_whole_and_a_readme_is_its_head(workspace: Path):
    (workspace / "AGENTS.md").write_text("Use tabs.\n")
    (workspace / "CLAUDE.md").write_text("Use tabs.\n")
    (workspace / "CONTRIBUTING.md").write_text("Sign off.\n")
    (workspace / "README.md").write_text("words\n" * 2_000)
    agents, contributing, readme = read_conventions(workspace)
    assert (agents.path, contributing.path, readme.path) == ("AGENTS.md", "CONTRIBUTING.md", "README.md")
    assert readme.is_cut
    assert len(readme.text) == sources.README_BYTES
