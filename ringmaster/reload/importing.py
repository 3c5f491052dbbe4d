"""The stage that compiles and imports all of a candidate, in one child that may come to any end."""

from __future__ import annotations

import json
import os
import select
import subprocess
from pathlib import Path

from ringmaster.model.generation import StageResult
from ringmaster.reload.children import kill_session, marked, tail, words_of_status
from ringmaster.reload.policy import Judgement

PROGRAM = Path(__file__).with_name("import_program.py")


def import_all(root: Path, python: str, scratch: Path, limit_s: float) -> Judgement:
    """Import every module of the release in a child; `limit_s` is for each module. Blocking.

    Passed; failed for an error, with file and line, and for a module that ends the process; retry for one that takes
    too long, whether it sleeps, spins or waits for a lock: a busy machine does so too.
    Raises OSError when no child can be started.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    output = scratch / "import.out"
    try:
        with output.open("wb") as said:
            process = subprocess.Popen(
                [python, "-I", "-B", str(PROGRAM), str(root), str(writer)],
                cwd=scratch,
                # No variable of the daemon's reaches what nobody has judged yet.
                env=marked({"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "HOME": str(scratch)}),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=(writer,),
                start_new_session=True,
            )
    except BaseException:
        os.close(reader)
        raise
    finally:
        os.close(writer)
    try:
        return _listen(reader, process, output, limit_s)
    finally:
        kill_session(process)
        os.close(reader)


def _listen(reader: int, process: subprocess.Popen[bytes], output: Path, limit_s: float) -> Judgement:
    at, pending = "", b""
    while True:
        if not select.select([reader], [], [], limit_s)[0]:
            what = f"importing {at}" if at else "compiling"
            return Judgement(StageResult.RETRY, f"{what} took more than {limit_s:g} s")
        chunk = os.read(reader, 65536)
        if not chunk:
            process.wait()
            what = f"importing {at}" if at else "the interpreter"
            said = tail(output, 500)
            words = f"{what} ended the process ({words_of_status(process.returncode)})"
            return Judgement(StageResult.FAILED, f"{words}: {said}" if said else words)
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            try:
                told = dict(json.loads(line))
            except (ValueError, TypeError):
                return Judgement(StageResult.FAILED, f"importing {at or 'its modules'} wrote over what tells of it")
            if "error" in told:
                return Judgement(StageResult.FAILED, _place(told) + str(told["error"]))
            if "done" in told:
                return Judgement(StageResult.PASSED, f"{told['done']} modules")
            at = str(told.get("at", at))


def _place(told: dict[str, object]) -> str:
    return f"{told['file']}:{told['line']}: " if told.get("file") else ""
