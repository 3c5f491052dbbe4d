"""The project's gate on a revert, in a job of its own as for a candidate, before it lands."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

import trio

from ringmaster.model.generation import Receipt, StageResult
from ringmaster.model.project import Project
from ringmaster.proc.identity import ProcessIdentity
from ringmaster.proc.job import Job
from ringmaster.queue.bad_release import Closed
from ringmaster.reload.candidate import end_gate, find_reused, gate_environment, start_or_adopt
from ringmaster.reload.candidate_spec import CandidateSpec, read_receipts
from ringmaster.reload.release import package_root
from ringmaster.reload.reverted import Reverted
from ringmaster.reload.snapshot import CANDIDATES
from ringmaster.settings import Paths
from ringmaster.store import Store
from ringmaster.workspace.git_directory import remove_tree

STAGE = "gate"


class RevertGate(NamedTuple):
    """What its job needs."""

    store: Store
    paths: Paths
    instance_id: str
    roots: tuple[ProcessIdentity, ...]


async def judge_revert(gate: RevertGate, closed: Closed, made: Reverted) -> Receipt:
    """Run the gate on a revert, or go on with the run that an earlier daemon left; its receipt.

    Not run where it passed on this tree, or where the tree is the one that was the target's before the commits.
    Cancellation: the job's tree is dead when it leaves. Raises OSError, and RingmasterError for another instance's job.
    """
    project = closed.project
    if not project.config.gate:
        return Receipt(STAGE, StageResult.SKIPPED, words="the project has no gate")
    if made.is_whole:
        return Receipt(STAGE, StageResult.PASSED, words="reused: its content is what the target had before the commit")
    reused = await gate.store.read(find_reused, project, made.commit, made.tree)
    if reused:
        return Receipt(STAGE, StageResult.PASSED, words=reused)
    directory = gate.paths.state / CANDIDATES / f"revert-{closed.generation.id}"
    job = await start_or_adopt(directory, _spec(gate.paths, project, closed, made), gate.instance_id, gate.roots)
    if isinstance(job, Job):
        is_over = False
        try:
            await job.wait()
            is_over = True
        finally:
            if not is_over:
                with trio.CancelScope(shield=True):
                    await end_gate(job)
    found = [one for one in await trio.to_thread.run_sync(read_receipts, directory) if one.stage == STAGE]
    await trio.to_thread.run_sync(remove_tree, directory)
    return found[-1] if found else Receipt(STAGE, StageResult.RETRY, words="its run was killed; answer again")


def _spec(paths: Paths, project: Project, closed: Closed, made: Reverted) -> CandidateSpec:
    config = project.config
    return CandidateSpec(
        generation=closed.generation.id,
        root=str(package_root().parent),
        python=sys.executable,
        running_root=str(package_root().parent),
        state=str(paths.state),
        database=str(paths.database),
        trees=str(paths.repository(project.id)),
        tree=made.tree,
        gate=config.gate,
        setup=config.setup,
        cache=config.cache,
        environment=gate_environment(paths, project, os.environ),
        checkout=str(paths.state / CANDIDATES / "revert"),
        setup_limit_s=config.setup_limit_s,
        gate_limit_s=config.gate_limit_s,
        stages=(STAGE,),
    )
