"""Setting up what the tests of the page need: what is said where it cannot be had, and that nothing fails for it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("bash", "dirname", "sha256sum", "uname", "mkdir", "cat", "flock", "rm", "tail", "cp")
WITHOUT = "setup-browser: going on without; what needs it is left out\n"


class Checkout:
    """A checkout with what the script needs, and a PATH with nothing that was not put there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "bin").mkdir()
        (root / "path").mkdir()
        (root / ".venv" / "bin").mkdir(parents=True)
        shutil.copy(ROOT / "bin" / "setup-browser", root / "bin")
        (root / "tests" / "browser").mkdir(parents=True)
        for name in ("requirements.txt", "package.json", "package-lock.json"):
            shutil.copy(ROOT / "tests" / "browser" / name, root / "tests" / "browser")
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, tool
            (root / "path" / tool).symlink_to(found)
        self.program(".venv/bin/python", 'echo "$@"')

    def program(self, place: str, body: str) -> None:
        """Put a program there that does this."""
        path = self.root / place
        path.write_text(f"#!{self.root}/path/bash\n{body}\n")
        path.chmod(0o755)

    def set_up(self, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        return subprocess.run(
            [str(self.root / "path" / "bash"), str(self.root / "bin" / "setup-browser")],
            env={"PATH": str(self.root / "path"), **environ},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_who_may_not_install_is_told_what_to_install(checkout: Checkout):
    checkout.program("path/id", "echo 1000")
    checkout.program("path/apt-get", "exit 9")
    done = checkout.set_up()
    told = "setup-browser: Chromium is missing. Install it: sudo apt-get install chromium fonts-dejavu-core"
    assert (done.returncode, done.stderr) == (0, f"{told}, or name one: CHROMIUM=/path/to/chromium\n{WITHOUT}")


def test_root_installs_it_and_is_told_why_it_cannot(checkout: Checkout):
    checkout.program("path/id", "echo 0")
    checkout.program("path/apt-get", 'echo "apt-get $*"; [[ $1 == update ]]')
    done = checkout.set_up()
    assert done.returncode == 0
    assert "apt-get install -y --no-install-recommends chromium fonts-dejavu-core\n" in done.stderr
    assert done.stderr.endswith(WITHOUT)


def test_a_browser_that_is_named_and_not_there_is_not_replaced_by_another(checkout: Checkout):
    checkout.program("path/chromium", "exit 0")
    done = checkout.set_up(CHROMIUM="/nowhere/chromium")
    told = "setup-browser: CHROMIUM names /nowhere/chromium, which is no program\n"
    assert (done.returncode, done.stderr) == (0, told + WITHOUT)


def test_a_failing_install_leaves_nothing_half_done_and_a_good_one_is_not_done_again(checkout: Checkout):
    checkout.program("path/chromium", "exit 0")
    checkout.program("path/npm", 'mkdir -p "$3/node_modules"; echo no network; exit 1')
    done = checkout.set_up()
    assert done.returncode == 0
    assert "55 MB to fetch" in done.stdout, "the size comes first"
    assert "no network\nsetup-browser: install_axe failed" in done.stderr
    assert not (checkout.root / ".browser" / "node_modules").exists()
    checkout.program("path/npm", "exit 0")
    assert checkout.set_up().stderr == ""
    assert (checkout.root / ".browser" / "setup.stamp").exists()
    again = checkout.set_up()
    assert (again.stdout, again.stderr) == ("", "")


def test_the_locks_name_versions_and_hashes_and_no_registry():
    lock = (ROOT / "tests" / "browser" / "package-lock.json").read_text()
    assert "resolved" not in lock
    assert '"integrity"' in lock
    requirements = (ROOT / "tests" / "browser" / "requirements.txt").read_text()
    assert "://" not in lock + requirements
    lines = [line for line in requirements.splitlines() if line and not line.startswith(("#", " "))]
    assert all("==" in line and line.endswith("\\") for line in lines), lines
