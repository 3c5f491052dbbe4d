"""Environments: taken over from what runs, whole under their name, and refused or put off in words."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.reload import environment
from ringmaster.reload.environment import ensure_environment, environment_id
from ringmaster.reload.first import ensure_first
from ringmaster.reload.release import LOCK_FILE, package_files, verify_release
from ringmaster.reload.runtime import ROOTS, installed_lock, locked_versions, normalize, runtime_distributions

ROOT = Path(__file__).resolve().parents[3]
LOCK = (ROOT / LOCK_FILE).read_bytes()
HASH = "--hash=sha256:" + "0" * 64
# Nothing listens there.
NO_INDEX = "http://127.0.0.1:9/simple"


def name_of(requirement: str) -> str:
    return normalize(requirement.partition(">")[0])


def test_what_runs_is_what_the_project_names():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert sorted(ROOTS) == sorted(map(name_of, wanted))
    found = {normalize(each.name) for each in runtime_distributions()}
    assert found >= {*ROOTS, "outcome", "sniffio", "wsproto", "h11", "sortedcontainers", "idna", "attrs"}
    assert not found & {"pytest", "ruff", "mypy", "pip", "hatchling"}


def test_a_lock_names_versions():
    assert locked_versions(LOCK)["trio-websocket"] == "0.12.2"
    lock = installed_lock()
    assert locked_versions(lock) == {normalize(each.name): each.version for each in runtime_distributions()}
    assert lock == installed_lock()


@pytest.fixture
def beside_the_running_one():
    """A directory on its file system: a file can be linked to from nowhere else."""
    with tempfile.TemporaryDirectory(dir=sys.prefix) as place:
        yield Path(place)


@pytest.mark.parametrize("can_link", [True, False])
def test_the_running_environment_is_taken_over_without_an_index(beside_the_running_one, monkeypatch, can_link):
    tmp_path = beside_the_running_one
    monkeypatch.setenv("PIP_INDEX_URL", NO_INDEX)
    if not can_link:

        def refuse(source: Path, target: Path) -> None:
            raise FileNotFoundError if not source.exists() else OSError(errno.EXDEV, "another file system")

        monkeypatch.setattr(os, "link", refuse)
    python = ensure_environment(tmp_path, LOCK)
    place = tmp_path / "envs" / environment_id(LOCK)
    assert python == place / "bin" / "python"
    assert (place / LOCK_FILE).read_bytes() == LOCK
    code = (
        f"import sys, {', '.join(root.replace('-', '_') for root in ROOTS)} as last; print(last.__file__, sys.prefix)"
    )
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    file, prefix = done.stdout.split()
    assert (prefix, Path(file).is_relative_to(place)) == (str(place), True)
    assert (Path(file).stat().st_nlink > 1) is can_link
    # Only what runs; no pip, no tool of the checkout, not the checkout itself.
    lacks = "import importlib.util as u; print([n for n in ('ringmaster', 'pip', 'pytest', 'ruff') if u.find_spec(n)])"
    found = subprocess.run([python, "-I", "-c", lacks], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stdout == "[]\n"
    assert os.listdir(tmp_path / "envs") == [place.name]


def test_it_is_made_once(tmp_path, monkeypatch):
    first = ensure_environment(tmp_path, LOCK)
    made = first.parent.parent.stat().st_ino
    monkeypatch.setattr(environment, "open_partial", None)
    assert ensure_environment(tmp_path, LOCK) == first
    assert first.parent.parent.stat().st_ino == made


def test_another_lock_or_python_is_another_environment(monkeypatch):
    before = environment_id(LOCK)
    assert environment_id(LOCK + b"\n") != before
    monkeypatch.setattr(sys, "base_prefix", "/elsewhere")
    assert environment_id(LOCK) != before


def assert_left_nothing(state: Path) -> None:
    assert os.listdir(state / "envs") == []


@pytest.mark.slow
def test_with_no_index_in_reach_another_lock_is_put_off(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", NO_INDEX)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(RingmasterError, match="no package index is in reach") as caught:
        ensure_environment(tmp_path, f"nothing-like-this==1.0 {HASH}\n".encode())
    assert caught.value.kind is ErrorKind.UNREACHABLE
    assert caught.value.is_retryable
    assert_left_nothing(tmp_path)
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_a_lock_is_installed_by_its_hashes(tmp_path, monkeypatch):
    wheel = make_wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    wrong = f"tiny-thing==1.0 {HASH}\n".encode()
    with pytest.raises(RingmasterError, match="cannot be installed: THESE PACKAGES DO NOT MATCH THE HASHES") as caught:
        ensure_environment(tmp_path, wrong)
    assert not caught.value.is_retryable
    assert_left_nothing(tmp_path)
    lock = f"tiny-thing==1.0 --hash=sha256:{wheel}\n".encode()
    python = ensure_environment(tmp_path, lock)
    done = subprocess.run(
        [python, "-I", "-c", "import tiny_thing; print(tiny_thing.WORD)"], capture_output=True, text=True
    )
    assert done.stdout == "here\n"


def make_wheel(directory: Path) -> str:
    import hashlib
    import zipfile

    directory.mkdir()
    path = directory / "tiny_thing-1.0-py3-none-any.whl"
    info = "tiny_thing-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_thing.py", "WORD = 'here'\n")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-thing\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", f"tiny_thing.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_stands_in_for_a_lock_cannot_be_installed(tmp_path):
    with pytest.raises(RingmasterError, match="no hashes") as caught:
        ensure_environment(tmp_path, b"trio==0.1\n")
    assert caught.value.kind is ErrorKind.REFUSED
    assert_left_nothing(tmp_path)


def make_installed(site_packages: Path, version: str) -> Path:
    """What a newer wheel's installation looks like; the package."""
    package = site_packages / "ringmaster"
    for name in ("__init__.py", "_sql/queries/a.sql", "_bin/ringmasterd"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(f"# {name}\n")
    for root in ROOTS:
        module, info = f"{root.replace('-', '_')}.py", f"{root.replace('-', '_')}-{version}.dist-info"
        (site_packages / module).write_text(f"VERSION = {version!r}\n")
        (site_packages / info).mkdir()
        (site_packages / info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {root}\nVersion: {version}\n")
        (site_packages / info / "RECORD").write_text(
            f"{module},,\n{info}/METADATA,,\n{info}/RECORD,,\n../../../bin/x,,\n"
        )
    return package


def test_a_newer_wheel_is_a_release_with_what_is_installed_beside_it(tmp_path):
    site_packages = tmp_path / "prefix" / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    package = make_installed(site_packages, "9.0")
    files = {file.path: file for file in package_files(package)}
    assert set(files) == {"ringmaster/__init__.py", "sql/queries/a.sql", "bin/ringmasterd", LOCK_FILE}
    lock = files[LOCK_FILE].content
    assert lock.decode().splitlines() == [f"{root}==9.0" for root in sorted(ROOTS)]
    with pytest.raises(RingmasterError, match="no hashes"):
        ensure_environment(tmp_path, lock)
    python = ensure_environment(tmp_path, lock, site_packages)
    done = subprocess.run(
        [python, "-I", "-c", "import trio; print(trio.VERSION)"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "9.0\n"
    other = tmp_path / "other" / "lib" / "python3.1" / "site-packages"
    newer = next(file.content for file in package_files(make_installed(other, "9.1")) if file.path == LOCK_FILE)
    with pytest.raises(RingmasterError, match="no hashes"):
        ensure_environment(tmp_path, newer, other)


def test_what_runs_is_not_taken_for_a_lock_that_it_does_not_fulfil(tmp_path, monkeypatch):
    """A checkout whose lock was pulled and whose environment was not set up anew."""
    other = LOCK.replace(b"msgspec==0.22.0", b"msgspec==0.22.1")
    assert other != LOCK
    monkeypatch.setattr(environment, "_running_lock", lambda: other)
    asked = []
    monkeypatch.setattr(environment, "_install", lambda partial, lock: asked.append(lock))
    ensure_environment(tmp_path, other)
    assert asked == [other]


def test_the_first_start_makes_generation_one_of_what_runs(tmp_path):
    record = ensure_first(tmp_path)
    assert (record.good.generation, record.before, record.trial) == (1, None, None)
    assert verify_release(record.good.release_in(tmp_path))
    assert Path(record.good.python).is_relative_to(tmp_path / "envs")
    assert ensure_first(tmp_path, generation=9) == record
    # An unreadable record is a first start too, with a number that no row has.
    (tmp_path / "boot.json").write_text("{")
    assert ensure_first(tmp_path, generation=9).good.generation == 9
