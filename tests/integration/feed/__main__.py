"""`make walk`: as many walks of the feed as one likes, or one again."""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import time

from tests.integration.feed.faults import FAULTS
from tests.integration.feed.walk import Walker
from tests.sim.mutants import planted

USUAL_SEEDS = 400
ENOUGH = 3


def main() -> int:
    """0 when everything held, and every planted fault was found."""
    parser = argparse.ArgumentParser(prog="make walk", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many, from --first")
    parser.add_argument("--first", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--keep", default="", help="only these of its steps: 0,5,8")
    parser.add_argument("--faults", action="store_true", help="plant each fault, and look for it")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    walker = Walker()
    if options.faults:
        return find_faults(walker)
    if options.seed is not None:
        kept = [int(number) for number in options.keep.split(",")] if options.keep else None
        failure = walker.run(options.seed, kept)
        print(failure or f"seed {options.seed}: everything held in {walker.steps} steps")
        return 1 if failure else 0
    began = time.monotonic()
    failure = walker.run_until(float("inf"), 0, range(options.first, options.first + options.seeds))
    if failure is not None:
        print(walker.explain(failure, tries=1000))
        return 1
    took_s = time.monotonic() - began
    print(f"{walker.seeds} seeds, {walker.steps} steps in {took_s:.1f} s, {walker.steps / took_s:,.0f} steps a second")
    return 0


def find_faults(walker: Walker) -> int:
    """Plant one fault after another; how many were not found."""
    missed = 0
    for fault in FAULTS:
        with planted(fault.mutant):
            found = list(itertools.islice((seed for seed in range(USUAL_SEEDS) if walker.run(seed)), ENOUGH))
        missed += not found
        print(f"seeds {', '.join(map(str, found)) or 'NONE'}: {fault.mutant.name}", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
