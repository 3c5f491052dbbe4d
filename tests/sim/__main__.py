"""`make sim`: as many seeds as one likes, or one again."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from tests.sim.mutants import MUTANTS, planted
from tests.sim.running import Runner, read_numbers

USUAL_SEEDS = 200


def main() -> int:
    """0 when everything held, and every planted fault was found."""
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many, from --first")
    parser.add_argument("--first", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, help="only this one, every invariant after each step")
    parser.add_argument("--keep", default="", help="only these of its steps: 0-5,8")
    parser.add_argument("--mutants", action="store_true", help="plant each fault, and look for it")
    parser.add_argument("--print-digest", action="store_true", help="what a seed did, as a number")
    options = parser.parse_args()
    # A machine under load makes commits slow: nothing that a simulation is about.
    logging.disable(logging.CRITICAL)
    runner = Runner()
    if options.mutants:
        return find_mutants(runner)
    if options.seed is not None:
        kept = read_numbers(options.keep) if options.keep else None
        failure = runner.run(options.seed, kept, check_every=1)
        print(failure or f"seed {options.seed}: everything held in {runner.steps} steps")
        if options.print_digest:
            print(f"digest {runner.digest}")
        return 1 if failure else 0
    began = time.monotonic()
    failure = runner.run_until(float("inf"), 0, range(options.first, options.first + options.seeds))
    if failure is not None:
        print(runner.explain(failure, tries=1000))
        return 1
    took_s = time.monotonic() - began
    print(f"{runner.seeds} seeds, {runner.steps} steps in {took_s:.1f} s, {runner.steps / took_s:,.0f} steps a second")
    return 0


def find_mutants(runner: Runner) -> int:
    """Plant one fault after another; how many were not found."""
    missed = 0
    for mutant in MUTANTS:
        with planted(mutant):
            found = next((failure for seed in range(USUAL_SEEDS) if (failure := runner.run(seed))), None)
        missed += found is None
        where = "NOT FOUND" if found is None else f"seed {found.seed}, step {found.step}"
        print(f"{where:22} {mutant.name}", flush=True)
    return missed


if __name__ == "__main__":
    sys.exit(main())
