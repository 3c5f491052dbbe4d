"""Removing output, also where there is no room to say so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# Runs with `state` on a tmpfs of 4 MB.
FULL = """
import json, sys
from pathlib import Path
from ringmaster.output.files import REMOVED_FILE
from ringmaster.workers.output_cap import find_outputs, remove_output

state = Path(sys.argv[1])
job = state / "rm-a" / "1" / "agent"
job.mkdir(parents=True)
(job / "stdout").write_bytes(b"x" * 65536)
(job / "exit.json").write_text("{}")
try:
    with (state / "filler").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
except OSError:
    pass
(output,) = find_outputs(state)
remove_output(output, 7.0)
assert find_outputs(state) == []
assert json.loads((job.parent / REMOVED_FILE).read_bytes()) == {"at": 7.0}
assert (job / "exit.json").exists()
"""


def test_output_is_removed_where_there_is_no_room_for_the_word_that_it_was(tmp_path: Path, tmpfs_command: list[str]):
    command = [*tmpfs_command, sys.executable, "-c", FULL, str(tmp_path / "state")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 0, result.stderr
