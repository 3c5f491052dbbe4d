"""The index of steps on a disk that is full, and on one that nothing can be written to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Runs with `state` on a tmpfs of 4 MB.
FULL = """
import subprocess, sys
from pathlib import Path
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.store.log_index import IndexedStep, Wanted, open_log_index, search_log_index

state = Path(sys.argv[1])
path = state / "logs.db"

def kind_of(call, *args, **params):
    try:
        call(*args, **params)
    except RingmasterError as error:
        return error.kind
    return None

def steps_of(id):
    return [IndexedStep(id, id, "p", "agent", n, "text", f"word {id} {n} " + "x" * 900, None) for n in range(100)]

def found():
    return [one.step.attempt_id for one in search_log_index(path, "word", Wanted(limit=10_000)).found]

def fill():
    with (state / "filler").open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                pass

fill()
assert kind_of(open_log_index, path) is ErrorKind.DISK_FULL
(state / "filler").unlink()
index = open_log_index(path)
index.add("first", steps_of("first"), is_last=True)
fill()
refused = None
added = 0
while refused is None:
    refused = kind_of(index.add, f"more-{added}", steps_of(f"more-{added}"), is_last=True)
    added += refused is None
assert refused is ErrorKind.DISK_FULL
assert not index.is_indexed(f"more-{added}")
assert len(found()) == 100 * (1 + added)
(state / "filler").unlink()
index.add(f"more-{added}", steps_of(f"more-{added}"), is_last=True)
assert len(found()) == 100 * (2 + added)
index.close()

subprocess.run(["mount", "-o", "remount,ro", str(state)], check=True)
assert kind_of(open_log_index, path) is ErrorKind.INTERNAL
said = search_log_index(path, "word", Wanted(limit=1))
assert said.found or "cannot be read now" in said.missing, said
"""


def test_an_index_on_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path, tmpfs_command: list[str]):
    command = [*tmpfs_command, sys.executable, "-c", FULL, str(tmp_path / "state")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 0, result.stderr
