"""Setting up the real agents for the tests: what is said where it cannot or shall not be done."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "dirname", "sha256sum", "uname", "mkdir", "cat", "flock")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with what the script needs, and a PATH without npm."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "path").mkdir()
    for name in ("setup-agents", "show-steps"):
        shutil.copy(ROOT / "bin" / name, tmp_path / "bin")
    shutil.copytree(ROOT / "tests" / "agents", tmp_path / "tests" / "agents")
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None, tool
        (tmp_path / "path" / tool).symlink_to(found)
    return tmp_path


def set_up(checkout: Path, *args: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "path" / "bash"), str(checkout / "bin" / "setup-agents"), *args],
        env={"PATH": str(checkout / "path"), **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_npm_it_says_what_to_install(checkout: Path):
    done = set_up(checkout)
    assert done.returncode == 1
    assert done.stderr == "setup-agents: npm is missing. Install it: apt install npm\n"


def test_the_suite_goes_on_without_npm(checkout: Path):
    done = set_up(checkout, "--optional")
    assert done.returncode == 0
    assert "going on without" in done.stderr


def test_a_failing_npm_leaves_nothing_half_done(checkout: Path):
    npm = checkout / "path" / "npm"
    npm.write_text(f"#!{checkout}/path/bash\nmkdir -p {checkout}/.agents/node_modules\necho no network\nexit 1\n")
    npm.chmod(0o755)
    for tool in ("cp", "rm", "tail"):
        (checkout / "path" / tool).symlink_to(str(shutil.which(tool)))
    done = set_up(checkout, "--optional")
    assert done.returncode == 0
    assert "640 MB on disk" in done.stdout, "the size comes first"
    assert "no network" in done.stderr
    assert not (checkout / ".agents" / "node_modules").exists()
    assert set_up(checkout).returncode == 1


def test_it_is_left_out_when_told_so(checkout: Path):
    done = set_up(checkout, AGENTS="0")
    assert (done.returncode, done.stdout) == (0, "setup-agents: left out, because of AGENTS=0\n")
    assert not (checkout / ".agents").exists()


def test_the_lock_names_versions_and_hashes_and_no_registry():
    lock = (ROOT / "tests" / "agents" / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert "://" not in lock
    assert lock.count('"integrity"') >= 2
