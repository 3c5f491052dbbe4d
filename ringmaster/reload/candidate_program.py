"""The program of a candidate's gate: one process under a shim that runs the stages in order.

    python -m ringmaster.reload.candidate_program DIRECTORY

It is the running release's code in the running release's interpreter: who is judged does not judge. What is the
candidate's runs in children of it. Each receipt is on the disk before the next stage begins, and a program that is
started again in the same directory goes on behind the last receipt.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from ringmaster.model.errors import RingmasterError
from ringmaster.model.generation import Receipt, StageResult
from ringmaster.redaction.redactor import Redactor
from ringmaster.reload.behaviour import check_behaviour
from ringmaster.reload.boot_check import check_boot
from ringmaster.reload.candidate_spec import CandidateSpec, append_receipt, read_receipts, read_spec
from ringmaster.reload.gate_run import run_gate
from ringmaster.reload.importing import import_all
from ringmaster.reload.policy import Facts, Judgement, judge_policy
from ringmaster.reload.snapshot import ChangedBlob, changed_blobs, has_tree
from ringmaster.store.disk import is_disk_full
from ringmaster.store.migrate import Migration, MigrationFileError, load_migrations
from ringmaster.workspace.environment import secret_names
from ringmaster.workspace.git import GitError

GOES_ON = (StageResult.PASSED, StageResult.SKIPPED)
NICENESS = 10
Stage = Callable[[CandidateSpec, Path], Judgement]


def main(argv: Sequence[str]) -> int:
    """Run what stages are left. 0 whatever they show: the receipts say it; 1 when even those cannot be written."""
    directory = Path(argv[0])
    os.umask(0o077)
    os.nice(max(0, NICENESS - os.nice(0)))
    spec = read_spec(directory)
    scratch = directory / "scratch"
    scratch.mkdir(mode=0o700, exist_ok=True)
    if "HOME" in spec.environment:
        os.makedirs(spec.environment["HOME"], mode=0o700, exist_ok=True)
    done = {receipt.stage for receipt in read_receipts(directory) if receipt.result in GOES_ON}
    for name, stage in _STAGES:
        if name in done or name not in spec.stages:
            continue
        receipt = run_stage(name, stage, spec, scratch)
        append_receipt(directory, receipt)
        if receipt.result not in GOES_ON:
            break
    return 0


def run_stage(name: str, stage: Stage, spec: CandidateSpec, scratch: Path) -> Receipt:
    """One stage and its receipt. What is the machine's fault is `retry`; a question that a person has answered with
    yes is passed."""
    began = time.monotonic()
    try:
        judgement = stage(spec, scratch)
    except (RingmasterError, OSError) as error:
        judgement = Judgement(StageResult.RETRY, _trouble(error))
    result, words = judgement.result, judgement.words
    if result is StageResult.ASKS and name in spec.accepted:
        result, words = StageResult.PASSED, f"accepted by a person: {words.splitlines()[0]}"
    # What it said goes into rows, questions and prompts.
    shown = Redactor(spec.environment[name] for name in secret_names(spec.environment)).shown(words)
    return Receipt(stage=name, result=result, wall_s=round(time.monotonic() - began, 3), words=shown)


def _trouble(error: RingmasterError | OSError) -> str:
    if isinstance(error, GitError) and "No space left" in error.message:
        return "the disk is full"
    if isinstance(error, RingmasterError):
        return error.message
    return (
        "the disk is full" if is_disk_full(error) else f"{error.strerror or error}: {error.filename or ''}".rstrip(": ")
    )


def run_policy(spec: CandidateSpec, scratch: Path) -> Judgement:
    """The pure rules on what differs; without the running tree, on the migrations of the two releases alone."""
    facts = Facts(
        migration_problem=migration_problem(Path(spec.running_root), Path(spec.root)),
        is_landed=spec.is_landed,
        has_agent=spec.has_agent,
        answered=spec.answered,
        gate=spec.gate,
    )
    changed = trio.run(_changed, spec)
    judged = judge_policy(changed or (), facts)
    if changed is None and judged.result is StageResult.PASSED:
        return Judgement(StageResult.PASSED, "migrations alone: the running release's tree is not known")
    return judged


async def _changed(spec: CandidateSpec) -> list[ChangedBlob] | None:
    if not (spec.trees and spec.tree and spec.running_tree):
        return None
    trees = Path(spec.trees)
    return (
        await changed_blobs(trees, spec.running_tree, spec.tree) if await has_tree(trees, spec.running_tree) else None
    )


def migration_problem(running: Path, candidate: Path) -> str:
    """Why the candidate's migrations would leave a database that the running release cannot use, '' if they do not."""
    try:
        known, wanted = load_migrations(_sql_of(running)), load_migrations(_sql_of(candidate))
    except (MigrationFileError, OSError, UnicodeDecodeError) as error:
        return str(error).replace(f"{candidate}/", "")
    return _compare(known, wanted)


def _compare(known: Sequence[Migration], wanted: Sequence[Migration]) -> str:
    for old, new in zip(known, wanted, strict=False):
        if (old.name, old.statements) != (new.name, new.statements):
            return f"migration {old.number:04d} {old.name} was changed; write a new migration instead"
    if len(wanted) < len(known):
        missing = known[len(wanted)]
        return f"migration {missing.number:04d} {missing.name} was removed; write a new migration instead"
    for new in wanted[len(known) :]:
        if new.min_code_schema > len(known):
            return f"migration {new.number:04d} {new.name} locks out the running release (min_code_schema)"
    return ""


def _sql_of(root: Path) -> Path:
    inside = root / "ringmaster" / "_sql"
    return inside if inside.is_dir() else root / "sql"


def _run_import(spec: CandidateSpec, scratch: Path) -> Judgement:
    return import_all(Path(spec.root), spec.python, scratch, spec.import_limit_s)


_STAGES: tuple[tuple[str, Stage], ...] = (
    ("policy", run_policy),
    ("import", _run_import),
    ("gate", run_gate),
    ("behaviour", check_behaviour),
    ("boot", check_boot),
)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
