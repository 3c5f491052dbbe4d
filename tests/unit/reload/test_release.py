"""Releases: their name is their content, they are whole or not there, and compiled files only make them fast."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.reload import release as release_module
from ringmaster.reload.release import (
    LOCK_FILE,
    Release,
    SourceFile,
    hash_files,
    make_release,
    package_files,
    package_root,
    verify_release,
)
from tests.unit.reload.test_boot_record import load_stub

FILES = (
    SourceFile("ringmaster/__init__.py", False, b"WORD = 'one'\n"),
    SourceFile("ringmaster/deep/er.py", False, b""),
    SourceFile("sql/queries/a.sql", False, b"-- name: a\nSELECT 1;\n"),
    SourceFile("bin/ringmasterd", True, b"#!/bin/sh\n"),
)


def test_its_name_is_its_content_in_any_order(tmp_path):
    made = make_release(tmp_path, FILES)
    assert made == make_release(tmp_path, reversed(FILES))
    assert made.root == tmp_path / "releases" / made.digest[:16]
    assert made.id == made.root.name
    assert verify_release(made)
    assert os.listdir(tmp_path / "releases") == [made.id]
    assert os.access(made.root / "bin" / "ringmasterd", os.X_OK)
    assert not os.access(made.root / "sql" / "queries" / "a.sql", os.X_OK) or os.getuid() == 0
    assert (made.root / "sql" / "queries" / "a.sql").read_bytes() == FILES[2].content


@pytest.mark.parametrize(
    "other",
    [
        FILES[1:],
        (*FILES, SourceFile("ringmaster/more.py", False, b"")),
        (SourceFile("ringmaster/__init__.py", False, b"WORD = 'two'\n"), *FILES[1:]),
        (SourceFile("ringmaster/__init__.py", True, FILES[0].content), *FILES[1:]),
        (SourceFile("ringmaster/__init__.pyi", False, FILES[0].content), *FILES[1:]),
    ],
    ids=["less", "more", "content", "executable", "path"],
)
def test_what_differs_has_another_name(other):
    assert hash_files(other) != hash_files(FILES)


def damage_content(root: Path) -> None:
    (root / "sql/queries/a.sql").write_bytes(b"-- name: b\nSELECT 1;\n")


def damage_mode(root: Path) -> None:
    (root / "ringmaster/__init__.py").chmod(0o755)


def add_file(root: Path) -> None:
    (root / "ringmaster/sitecustomize.py").write_text("")


def remove_file(root: Path) -> None:
    (root / "ringmaster/deep/er.py").unlink()


def link_file(root: Path) -> None:
    place = root / "ringmaster/deep/er.py"
    place.rename(root.parent / "er.py")
    place.symlink_to(root.parent / "er.py")


def link_directory(root: Path) -> None:
    (root / "ringmaster/deep").rename(root.parent / "deep")
    (root / "ringmaster/deep").symlink_to(root.parent / "deep")


def put_pipe(root: Path) -> None:
    os.mkfifo(root / "ringmaster/pipe")


@pytest.mark.parametrize(
    "damage", [damage_content, damage_mode, add_file, remove_file, link_file, link_directory, put_pipe]
)
def test_damage_is_seen_by_package_and_stub_and_mended_by_making_it_again(tmp_path, damage):
    made = make_release(tmp_path, FILES)
    assert load_stub().hash_release(str(made.root)) == made.digest
    damage(made.root)
    assert not verify_release(made)
    assert load_stub().hash_release(str(made.root)) != made.digest
    assert make_release(tmp_path, FILES) == made
    assert verify_release(made)


def test_what_is_not_there_is_not_whole(tmp_path):
    assert not verify_release(Release("a", "b", tmp_path / "a"))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "", "a//b", "ringmaster/__pycache__/x.pyc", "a\0b"]
)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path, path):
    with pytest.raises(RingmasterError) as caught:
        make_release(tmp_path, [*FILES, SourceFile(path, False, b"")])
    assert caught.value.kind is ErrorKind.USAGE
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["_write", "publish"])
def test_a_full_disk_leaves_nothing_behind_and_is_no_verdict(tmp_path, monkeypatch, where):
    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(release_module, where, fill)
    with pytest.raises(RingmasterError) as caught:
        make_release(tmp_path, FILES)
    assert caught.value.kind is ErrorKind.DISK_FULL
    assert caught.value.is_retryable
    assert os.listdir(tmp_path / "releases") == []


def test_the_running_package_is_a_release_that_runs_without_compiling_what_was_compiled(tmp_path):
    files = tuple(package_files())
    paths = [file.path for file in files]
    assert {"bin/ringmasterd", LOCK_FILE, "ringmaster/reload/release.py", "ringmaster/py.typed"} <= set(paths)
    assert not [path for path in paths if "__pycache__" in path or path.endswith(".pyc")]
    made = make_release(tmp_path, files)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from ringmaster.reload import release\n"
        "from ringmaster.store.queries import find_sql_dir\n"
        "print(find_sql_dir()); print(release.hash_files(release.package_files()))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(made.root)], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    # The same content from a release as from the checkout: it has one name wherever it is found.
    assert done.stdout.split() == [str(made.root / "sql"), made.digest]
    assert verify_release(made), "what Python adds does not change it"


class Donor:
    """A running package of one module, as `make_release` finds it, with what Python has compiled of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "ringmaster" / "one.py"
        self.source.parent.mkdir(parents=True)
        self.compiled = Path(importlib.util.cache_from_source(str(self.source)))

    def write(self, text: str) -> None:
        self.source.write_text(text)
        # Under the same time: an edit within the second, or what a copying tool leaves.
        os.utime(self.source, (1_700_000_000, 1_700_000_000))

    def compile(self, made_later_s: float) -> None:
        subprocess.run([sys.executable, "-m", "py_compile", str(self.source)], check=True)
        about = self.source.stat()
        later = about.st_ctime_ns + int(made_later_s * 1e9)
        os.utime(self.compiled, ns=(later, later))


@pytest.fixture
def donor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Donor:
    made = Donor(tmp_path / "donor")
    monkeypatch.setattr(release_module, "package_root", lambda: made.root / "ringmaster")
    return made


def run_one(made: Release) -> str:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import ringmaster.one as m; print(m.WORD)"
    argv = [sys.executable, "-I", "-S", "-B", "-c", code, str(made.root)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_compiled_code_comes_along_by_the_hash_of_its_source(tmp_path, donor):
    text = "WORD = 'one'\ndef f(): pass\n"
    donor.write(text)
    donor.compile(made_later_s=10)
    made = make_release(tmp_path, [SourceFile("ringmaster/one.py", False, text.encode())])
    place = made.root / "ringmaster" / "__pycache__" / donor.compiled.name
    data = place.read_bytes()
    assert data[4:8] == b"\3\0\0\0"
    assert data[8:16] == importlib.util.source_hash(text.encode())
    assert run_one(made) == "one"
    # Stale or exchanged, it is not what runs.
    place.write_bytes(data[:8] + bytes(8) + data[16:].replace(b"one", b"two"))
    assert run_one(made) == "one"


def test_compiled_code_of_other_source_is_left(tmp_path, donor):
    donor.write("WORD = 'one'\ndef f(): pass\n")
    donor.compile(made_later_s=10)
    made = make_release(tmp_path, [SourceFile("ringmaster/one.py", False, b"WORD = 'two'\ndef f(): pass\n")])
    assert not (made.root / "ringmaster" / "__pycache__").exists()
    assert run_one(made) == "two"


@pytest.mark.parametrize("made_later_s", [-1.0, 0.5])
def test_compiled_code_that_may_be_older_than_its_source_is_left(tmp_path, donor, made_later_s):
    donor.write("WORD = 'one'\ndef f(): pass\n")
    donor.compile(made_later_s=10)
    # Time and size are as before: Python itself would be deceived.
    donor.write("WORD = 'two'\ndef f(): pass\n")
    later = donor.source.stat().st_ctime_ns + int(made_later_s * 1e9)
    os.utime(donor.compiled, ns=(later, later))
    made = make_release(tmp_path, [SourceFile("ringmaster/one.py", False, donor.source.read_bytes())])
    assert run_one(made) == "two"


def test_a_checkouts_leftovers_are_no_source(tmp_path, donor):
    for name in ("ringmaster/x.py~", "ringmaster/.x.swp", "ringmaster/y.py.orig", "ringmaster/__pycache__/z.pyc"):
        (donor.root / name).parent.mkdir(exist_ok=True)
        (donor.root / name).write_text("")
    (donor.root / "sql").mkdir()
    (donor.root / "bin").mkdir()
    with pytest.raises(RingmasterError, match="has no boot stub"):
        list(package_files())
    (donor.root / "bin" / "ringmasterd").write_text("stub")
    donor.write("")
    assert [file.path for file in package_files()] == ["ringmaster/one.py", "bin/ringmasterd", LOCK_FILE]


def test_the_package_is_found_where_it_lies():
    assert (package_root() / "reload" / "release.py").is_file()
