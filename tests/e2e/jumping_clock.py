"""The daemon with a wall clock that a file moves: the first argument names it, the rest is the daemon's.

Monotonic time, other processes and file times keep their own clock, as they do when somebody sets a machine's time.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

offset_file = Path(sys.argv[1])
real_time = time.time


def shifted_time() -> float:
    """The time of day, as many seconds off as the file says."""
    return real_time() + float(offset_file.read_text())


if __name__ == "__main__":
    # Before anything of Ringmaster is imported, because a clock is also a default argument.
    time.time = shifted_time
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from ringmaster.daemon.main import main

    # In place: the image that would be executed instead has a clock of its own.
    sys.argv = ["ringmasterd", "--in-place", *sys.argv[2:]]
    sys.exit(main(sys.argv[1:]))
