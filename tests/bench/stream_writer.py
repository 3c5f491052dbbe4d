"""An agent that writes numbered lines, as a program: `python stream_writer.py ORDER`.

ORDER is a JSON file: `lines`, how many; `rate`, lines a second, 0 for as fast as it can; `begin`, a file for whose
making it waits. Each line begins with its number and the time at which it was written.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time

TAIL = b" of the output of an agent that works, with words behind it\n"
TURN_S = 0.002
AT_ONCE = 500


def pause(seconds: float) -> None:
    """Do nothing for so long."""
    select.select([], [], [], seconds)


def write_lines(lines: int, rate: float) -> None:
    """Write them on stdout, not faster than `rate`."""
    began = time.time()
    written = 0
    while written < lines:
        now = time.time()
        due = min(lines, int((now - began) * rate)) if rate else min(lines, written + AT_ONCE)
        if due > written:
            tail = b" %.6f" % now + TAIL
            data = b"".join([b"%d" % number + tail for number in range(written, due)])
            while data:
                data = data[os.write(1, data) :]
            written = due
        if rate:
            pause(TURN_S)


def main() -> None:
    with open(sys.argv[1], "rb") as file:
        order = json.load(file)
    while not os.path.exists(order["begin"]):
        pause(0.01)
    write_lines(order["lines"], order["rate"])


if __name__ == "__main__":
    main()
