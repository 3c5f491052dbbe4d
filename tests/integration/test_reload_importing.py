"""The stage of a candidate's gate that compiles and imports all of it, in a child that may come to any end."""

from __future__ import annotations

import importlib.util
import marshal
import sys
from pathlib import Path

import pytest

from ringmaster.model.generation import StageResult
from ringmaster.reload.importing import import_all


def make_package(tmp_path: Path, text: str) -> Path:
    """A release of one module, `ringmaster.new`."""
    package = tmp_path / "root" / "ringmaster"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "new.py").write_text(text)
    return package.parent


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:\n", "ringmaster/new.py:1: SyntaxError: invalid syntax"),
        (
            "\nimport nothing_of_the_kind\n",
            "ringmaster/new.py:2: importing ringmaster.new: ModuleNotFoundError",
        ),
        ("import os\nos._exit(3)\n", "importing ringmaster.new ended the process (exit status 3)"),
        (
            "import os\nos.kill(os.getpid(), 11)\n",
            "importing ringmaster.new ended the process (signal SIGSEGV)",
        ),
        ("raise SystemExit(0)\n", "ringmaster/new.py:1: importing ringmaster.new: SystemExit: 0"),
    ],
)
def test_what_cannot_be_imported_fails_with_its_place(tmp_path: Path, text: str, words: str):
    found = import_all(make_package(tmp_path, text), sys.executable, tmp_path, 10.0)
    assert found.result is StageResult.FAILED
    assert found.words.startswith(words)


def test_what_was_compiled_stays_in_the_release_under_the_hash_of_its_source(tmp_path: Path):
    root = make_package(tmp_path, "X = 1\n")
    place = Path(importlib.util.cache_from_source(str(root / "ringmaster" / "new.py")))
    for text in ("X = 1\n", "X = 2\n"):
        (root / "ringmaster" / "new.py").write_text(text)
        assert import_all(root, sys.executable, tmp_path, 10.0).result is StageResult.PASSED
        kept = place.read_bytes()
        assert kept[:16] == importlib.util.MAGIC_NUMBER + b"\3\0\0\0" + importlib.util.source_hash(text.encode())
        names: dict[str, int] = {}
        exec(marshal.loads(kept[16:]), names)
        assert names["X"] == int(text[-2])
    assert sorted(path.name for path in place.parent.iterdir()) == sorted(
        Path(importlib.util.cache_from_source(name)).name for name in ("__init__.py", "new.py")
    )


def test_every_module_of_this_very_release_can_be_imported_alone(tmp_path: Path):
    found = import_all(Path(__file__).resolve().parents[2], sys.executable, tmp_path, 30.0)
    assert found.result is StageResult.PASSED, found.words
    assert not (tmp_path / "import.out").read_text(), "importing it says nothing"


@pytest.mark.parametrize(
    "text",
    [
        "import time\ntime.sleep(600)\n",
        "while True: pass\n",
        "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()\n",
    ],
)
def test_an_import_that_sleeps_spins_or_blocks_is_tried_again_later(tmp_path: Path, text: str):
    found = import_all(make_package(tmp_path, text), sys.executable, tmp_path, 0.3)
    assert found.result is StageResult.RETRY
    assert found.words == "importing ringmaster.new took more than 0.3 s"
