"""Compile every file of a release and import every module: a program of its own, run by the release's interpreter.

    python -I import_program.py ROOT FD

What it does is written to FD, one JSON document a line: `{"at": "module"}` before each import, then `{"done": n}`, or
`{"error": …, "file": …, "line": …}`. Standard library only: what it imports must be the release's affair alone.
What is compiled stays in the release, with the hash of its source, before anything of the candidate's has run here: a
switch to it then compiles nothing while clients wait.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import marshal
import os
import sys
import traceback
from collections.abc import Iterator

PACKAGE = "ringmaster"
CHECKED_HASH = (0b11).to_bytes(4, "little")


def main(root: str, number: str) -> int:
    """The program: 0 when all is well, 1 after an error that it has told."""
    channel = os.fdopen(int(number), "w", encoding="utf-8", buffering=1)
    # What a module prints, or reads from its input, is not for whoever started this.
    os.set_inheritable(channel.fileno(), False)

    def tell(**facts: object) -> None:
        channel.write(json.dumps(facts) + "\n")

    paths = sorted(find_files(root))
    for path in paths:
        with open(path, "rb") as file:
            source = file.read()
        header = importlib.util.MAGIC_NUMBER + CHECKED_HASH + importlib.util.source_hash(source)
        if has_compiled(path, header):
            continue
        try:
            # Not inherited: this file's own `from __future__` says nothing of theirs.
            code = compile(source, path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError) as error:
            tell(error=f"{type(error).__name__}: {getattr(error, 'msg', error)}", **place(root, path, error))
            return 1
        # A full disk is no fault of the candidate's; it compiles the file itself then.
        with contextlib.suppress(OSError):
            keep_compiled(path, header + marshal.dumps(code))
    sys.path.insert(0, root)
    sys.dont_write_bytecode = True
    for path in paths:
        name = module_name(root, path)
        tell(at=name)
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001 - a SystemExit, too, is what the module does when imported
            where = traceback.extract_tb(error.__traceback__)
            inside = [frame for frame in where if frame.filename.startswith(root + os.sep)]
            facts: dict[str, object] = {}
            if inside:
                facts = {"file": os.path.relpath(inside[-1].filename, root), "line": inside[-1].lineno}
            if isinstance(error, SyntaxError):
                facts = place(root, path, error)
            tell(error=f"importing {name}: {type(error).__name__}: {error}", **facts)
            return 1
    tell(done=len(paths))
    return 0


def find_files(root: str) -> Iterator[str]:
    """The Python files of the release's package."""
    for folder, folders, names in os.walk(os.path.join(root, PACKAGE)):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (os.path.join(folder, name) for name in names if name.endswith(".py"))


def has_compiled(path: str, header: bytes) -> bool:
    """Whether there is a compiled file of exactly this source."""
    try:
        with open(importlib.util.cache_from_source(path), "rb") as file:
            return file.read(len(header)) == header
    except OSError:
        return False


def keep_compiled(path: str, content: bytes) -> None:
    """Put a compiled file where Python looks for it, as a whole. Raises OSError."""
    target = importlib.util.cache_from_source(path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    temporary = f"{target}.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, target)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def module_name(root: str, path: str) -> str:
    """What the file is imported as."""
    name = os.path.relpath(path, root).removesuffix(".py").replace(os.sep, ".")
    return name.removesuffix(".__init__")


def place(root: str, path: str, error: BaseException) -> dict[str, object]:
    """File and line of a syntax error."""
    named = getattr(error, "filename", None) or path
    return {"file": os.path.relpath(named, root), "line": getattr(error, "lineno", 0) or 0}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
