"""`python -m tests.bench [PART ...] [--quick]`: what Ringmaster costs, beside a yardstick of the same run."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import platform
import sys
import time
from pathlib import Path

from ringmaster.cli.progress import is_drawn_on, open_progress
from tests.bench.figures import Report

PARTS = (
    "status",
    "rpc",
    "create",
    "claim",
    "queues",
    "ordering",
    "importing",
    "dispatch",
    "memory",
    "restart",
    "reload",
    "start",
    "stream",
    "hostile",
)


def business() -> str:
    """How busy the machine is, in words: figures of a machine that others use are low."""
    words = f"load {os.getloadavg()[0]:.1f}"
    pressure = Path("/proc/pressure/cpu")
    if pressure.exists():
        waited = pressure.read_text().split("avg10=")[1].split()[0]
        words += f", something waited for a processor in {waited} % of 10 s"
    return words


def main() -> int:
    """Run the parts that were asked for, all by default. Exit 0 also for a missed aim: the machine may be busy."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of: {' '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="fewer runs and smaller databases")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; there are: {' '.join(PARTS)}")
    # What a busy machine makes the store say of its budget is no figure.
    logging.disable(logging.WARNING)
    began = time.perf_counter()
    print(f"python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores; before: {business()}")
    is_watched = is_drawn_on(sys.stderr, os.environ)
    with open_progress(sys.stderr, os.environ, is_silent=not is_watched) as progress:
        report = Report(is_quick=options.quick, progress=progress if is_watched else None)
        parts = options.parts or PARTS
        for number, part in enumerate(parts):
            report.begin(part, number, len(parts))
            importlib.import_module(f"tests.bench.{part}").run(report)
    # The part of the last ten seconds in which something waited for a processor is the bench's own too.
    print(f"\n{time.perf_counter() - began:.0f} s; after: {business()}; {len(report.missed)} aims missed")
    for line in report.missed:
        print(f"  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
