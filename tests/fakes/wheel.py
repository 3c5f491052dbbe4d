"""The wheel, built from this checkout and installed into an environment that has nothing else. No network."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("ringmaster", "sql", "bin", "pyproject.toml", "README.md", "LICENSE")
"""What a wheel is built of."""


def build_wheel(directory: Path, root: Path = ROOT) -> Path:
    """Build the wheel of a checkout into an empty directory."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


def build_newer_wheel(directory: Path, version: str) -> Path:
    """Build the same of another version, from a copy of the checkout, into an empty directory."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch, "newer")
        root.mkdir()
        for name in PARTS:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(ROOT / name, root / name)
        init = root / "ringmaster" / "__init__.py"
        init.write_text(re.sub('__version__ = "[^"]*"', f'__version__ = "{version}"', init.read_text()))
        return build_wheel(directory, root)


def upgrade_wheel(wheel: Path, prefix: Path) -> None:
    """What `pip install --upgrade` does in an environment that `install_wheel` made."""
    pip(prefix, "install", "--no-index", "--no-deps", "--no-compile", "--quiet", "--upgrade", str(wheel))


def site_packages_of(prefix: Path) -> Path:
    """Where an environment has its packages."""
    return prefix / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"


def install_wheel(wheel: Path, prefix: Path) -> None:
    """Make an environment at `prefix` of the interpreter below this one, with the wheel and what it requires."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True)
    pip(prefix, "install", "--no-index", "--no-deps", "--no-compile", "--quiet", str(wheel))
    copy_requirements("ringmaster-daemon", wheel, site_packages_of(prefix))


def pip(prefix: Path, *words: str) -> None:
    """Run pip on an environment that has none of its own."""
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(prefix / "bin" / "python"), *words],
        # pip asks rustc for its version, and where that is rustup's it would make a directory in HOME.
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(prefix)},
        # The directory of the call is no place to install from.
        cwd=prefix,
        check=True,
    )


def copy_requirements(name: str, wheel: Path, target: Path) -> None:
    """Copy what the wheel says that it requires, and what that requires, out of the running environment.

    So there is no network, and a requirement that is missing in the wheel is missing in the copy too.
    """
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(next(path for path in archive.namelist() if path.endswith("/METADATA"))).decode()
    waiting = re.findall(r"^Requires-Dist: (.*)$", text, re.MULTILINE)
    seen = {name}
    while waiting:
        wanted = Requirement(waiting.pop())
        if wanted.name in seen or (wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(wanted.name)
        found = importlib.metadata.distribution(wanted.name)
        assert found.version in wanted.specifier, (wanted, found.version)
        waiting += found.requires or []
        for path in found.files or ():
            if ".." not in path.parts and "__pycache__" not in path.parts:
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(str(path.locate()), target / path)
