"""The gate of one candidate, seen from the daemon: a job that is started or adopted, its receipts as they come."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import trio

from ringmaster.model.errors import RingmasterError
from ringmaster.model.generation import Receipt, StageResult
from ringmaster.model.project import Project
from ringmaster.model.receipt import GateResult
from ringmaster.proc.identity import ProcessIdentity
from ringmaster.proc.inotify import Watcher
from ringmaster.proc.job import Job, adopt_job, start_job
from ringmaster.proc.job_files import ExitReason, JobExit, JobLost, JobSpec, write_durably
from ringmaster.reload.candidate_spec import RECEIPTS, SPEC, STAGES, CandidateSpec, read_receipts
from ringmaster.reload.children import tail
from ringmaster.reload.release import package_root
from ringmaster.reload.snapshot import CANDIDATES
from ringmaster.reload.source import Source
from ringmaster.settings import Paths
from ringmaster.store import receipts
from ringmaster.store.connection import Connection
from ringmaster.workspace.environment import CacheKind, build_environment, find_pip_config
from ringmaster.workspace.git_directory import remove_tree

KIND = "candidate"
CANCEL_GRACE_S = 1.0
CANCEL_LIMIT_S = 10.0
SPARE_S = 120.0
"""Beside the limits of its stages: what the job as a whole may take."""
OUTPUT_BYTES = 256 * 1024 * 1024
_PROGRAM = (
    # Of a wheel it is site-packages, which has its place behind the standard library.
    "import sys; root = sys.argv[1]; root in sys.path or sys.path.insert(0, root); "
    "from ringmaster.reload.candidate_program import main; sys.exit(main(sys.argv[2:]))"
)
OnReceipt = Callable[[Receipt], Awaitable[None]]


class Verdict(msgspec.Struct, frozen=True):
    """What the gate shows. result: passed, failed, retry or asks; words: of the stage that decided it."""

    receipts: tuple[Receipt, ...]
    result: StageResult
    words: str

    @property
    def summary(self) -> str:
        """The line that rows, events and questions carry; the rest is in the receipts."""
        return self.words.partition("\n")[0]

    @property
    def is_passed(self) -> bool:
        """Whether the candidate may be tried."""
        return self.result is StageResult.PASSED


def candidate_directory(state: Path, generation: int) -> Path:
    """Where a candidate's spec, receipts and job lie."""
    return state / CANDIDATES / str(generation)


def candidate_directories(state: Path) -> list[int]:
    """The generations of which something lies there. Blocking."""
    try:
        return sorted(int(name) for name in os.listdir(state / CANDIDATES) if name.isdigit())
    except FileNotFoundError:
        return []


def gate_environment(paths: Paths, project: Project, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment of set-up and gate of a candidate: from the allow-list, with the caches of the project's gate."""
    caches = paths.caches / CacheKind.GATE / project.id
    home = paths.state / CANDIDATES / "home"
    return build_environment(inherited, home, caches, project.config.env, pip_config=find_pip_config(inherited))


def gate_checkout(state: Path) -> Path:
    """The one path at which gates of candidates run: what set-up builds there works at no other."""
    return state / CANDIDATES / "checkout"


def find_reused(conn: Connection, project: Project, commit: str, tree: str) -> str:
    """Why the gate need not run on a candidate, in words: a green receipt of its commit or of its tree; '' for none."""
    gate = project.config.gate
    found = receipts.receipt_of_commit(conn, project.id, commit, gate) if commit else None
    if found is not None and found.tree == tree and found.result is GateResult.GREEN:
        return f"reused: `{gate}` passed on {commit[:9]}"
    found = receipts.green_receipt_of_tree(conn, project.id, tree, gate) if tree else None
    return f"reused: `{gate}` passed on the same tree ({found.commit[:9]})" if found is not None else ""


def make_candidate_spec(
    paths: Paths,
    generation: int,
    release: Path,
    python: str,
    source: Source,
    project: Project | None,
    *,
    running_root: Path,
    running_tree: str,
    digest: str = "",
    reused: str = "",
    accepted: tuple[str, ...] = (),
) -> CandidateSpec:
    """The spec of a candidate. release, digest: the root of its release and its hash; project: the self project, None
    for a package.

    running_root, running_tree: of the generation that runs, '' where no tree of it is known. reused: see
    `find_reused`. accepted: stages to whose question a person said yes.
    """
    spec = CandidateSpec(
        generation=generation,
        root=str(release),
        digest=digest,
        python=python,
        running_root=str(running_root),
        state=str(paths.state),
        database=str(paths.database),
        config=str(paths.config),
        accepted=accepted,
    )
    if project is None:
        return spec
    config = project.config
    return msgspec.structs.replace(
        spec,
        trees=source.trees,
        tree=source.tree,
        running_tree=running_tree,
        gate=config.gate,
        setup=config.setup,
        cache=config.cache,
        environment=gate_environment(paths, project),
        checkout=str(gate_checkout(paths.state)),
        test_pythons=(str(paths.gate_checkout(project.id) / ".venv" / "bin" / "python"),),
        reused=reused,
        is_landed=source.is_landed,
        has_agent=source.has_agent,
        answered=config.protected,
        setup_limit_s=config.setup_limit_s,
        gate_limit_s=config.gate_limit_s,
    )


async def run_candidate_gate(
    spec: CandidateSpec,
    *,
    instance: str,
    roots: Sequence[ProcessIdentity],
    watcher: Watcher,
    on_receipt: OnReceipt | None = None,
) -> Verdict:
    """Run the gate of a candidate, or go on with the one that an earlier daemon left in its directory.

    instance, roots: as for every job. on_receipt: awaited for each receipt, in order; again for those of an adopted
    job, so it must take a repeat. A job that ended without a verdict is `retry`: the next call goes on behind the
    receipts that passed, and so does one for which a person has said yes, with the stage in `accepted` of the spec.
    Cancellation means that the candidate is superseded: the job's tree is dead when it leaves. A daemon that crashes
    leaves the job running. Raises OSError, RingmasterError for a job of another instance, and what `on_receipt` raises:
    no group of errors, and the job's tree is dead.
    """
    directory = candidate_directory(Path(spec.state), spec.generation)
    job = await start_or_adopt(directory, spec, instance, roots)
    is_over = False
    try:
        if isinstance(job, Job):
            ended = await _follow(job, directory, watcher, on_receipt)
        else:
            ended = job
            await _tell(directory, 0, on_receipt)
        is_over = True
    finally:
        if isinstance(job, Job) and not is_over:
            with trio.CancelScope(shield=True):
                await end_gate(job)
    found = await trio.to_thread.run_sync(read_receipts, directory)
    return judge(found, ended, await trio.to_thread.run_sync(tail, directory / "job" / "stderr", 1_000))


async def _follow(job: Job, directory: Path, watcher: Watcher, on_receipt: OnReceipt | None) -> JobExit | JobLost:
    """Tell each receipt as it comes, until the job has ended."""
    ended: JobExit | JobLost | None = None
    trouble: RingmasterError | OSError | None = None
    told = 0
    with watcher.watch(directory) as changes:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                nonlocal ended, trouble
                try:
                    ended = await job.wait()
                except OSError as error:
                    trouble = error
                changes.notify()

            nursery.start_soon(wait)
            try:
                while ended is None and trouble is None:
                    told = await _tell(directory, told, on_receipt)
                    await changes.wait()
            except (RingmasterError, OSError) as error:
                trouble = error
            nursery.cancel_scope.cancel()
    # Behind the nursery, which would wrap it and so end the daemon: a full disk is a reason to wait.
    if trouble is not None:
        raise trouble
    await _tell(directory, told, on_receipt)
    assert ended is not None
    return ended


async def _tell(directory: Path, told: int, on_receipt: OnReceipt | None) -> int:
    found = await trio.to_thread.run_sync(read_receipts, directory)
    for receipt in found[told:]:
        if on_receipt is not None:
            await on_receipt(receipt)
    return len(found)


def judge(found: Sequence[Receipt], ended: JobExit | JobLost | None, said: str) -> Verdict:
    """What receipts and the end of the job show together. Pure."""
    newest = {receipt.stage: receipt for receipt in found}
    ordered = tuple(newest[stage] for stage in STAGES if stage in newest)
    for receipt in ordered:
        if receipt.result not in (StageResult.PASSED, StageResult.SKIPPED):
            return Verdict(ordered, receipt.result, f"{receipt.stage}: {receipt.words}")
    if len(ordered) == len(STAGES):
        return Verdict(ordered, StageResult.PASSED, "every stage passed")
    at = STAGES[len(ordered)]
    if isinstance(ended, JobExit) and ended.reason is not ExitReason.EXITED:
        words = f"its gate was ended ({ended.error or ended.reason})"
    elif isinstance(ended, JobExit):
        last = said.splitlines()[-1] if said else f"exit status {ended.code}, signal {ended.signal}"
        words = f"its gate broke off: {last}"
    else:
        words = "its gate was killed"
    return Verdict(ordered, StageResult.RETRY, f"{at}: {words}")


async def start_or_adopt(
    directory: Path, spec: CandidateSpec, instance: str, roots: Sequence[ProcessIdentity]
) -> Job | JobExit | JobLost:
    """The running job of a candidate: an earlier daemon's, or a new one for what stages are left.

    Raises OSError, and RingmasterError for a job of another instance.
    """
    job_directory = directory / "job"
    found = await adopt_job(job_directory, instance=instance, roots=roots)
    if isinstance(found, Job):
        return found
    # What ended before is in the receipts: those that passed stand, for the same release.
    await trio.to_thread.run_sync(_prepare, directory, spec)
    if judge(await trio.to_thread.run_sync(read_receipts, directory), None, "").is_passed:
        return JobLost()
    return await start_job(job_directory, _job_spec(directory, spec, instance), roots=roots)


def _prepare(directory: Path, spec: CandidateSpec) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_same(directory / SPEC, spec):
        (directory / RECEIPTS).unlink(missing_ok=True)
    remove_tree(directory / "job")
    write_durably(directory / SPEC, msgspec.json.encode(spec))


def _is_same(path: Path, spec: CandidateSpec) -> bool:
    """Whether the spec of an earlier try is about the same files under the same commands."""
    try:
        before = msgspec.json.decode(path.read_bytes(), type=CandidateSpec)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return False
    names = ("root", "running_root", "tree", "running_tree", "python", "gate", "setup")
    return all(getattr(before, name) == getattr(spec, name) for name in names)


def _job_spec(directory: Path, spec: CandidateSpec, instance: str) -> JobSpec:
    stages_s = spec.setup_limit_s * len(spec.setup) + 2 * spec.gate_limit_s
    stages_s += spec.behaviour_limit_s + spec.boot_limit_s + 8 * spec.answer_limit_s
    environment = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith("LC_")}
    return JobSpec(
        argv=(sys.executable, "-I", "-c", _PROGRAM, str(package_root().parent), str(directory)),
        cwd=str(directory),
        env=environment,
        nonce=secrets.token_hex(16),
        wall_s=stages_s + SPARE_S,
        output_bytes=OUTPUT_BYTES,
        grace_s=CANCEL_GRACE_S,
        estop=str(Path(spec.state) / "ESTOP"),
        instance=instance,
        kind=KIND,
        label=str(spec.generation),
    )


# Git and Python need these; what else the children get is in the spec or made there.
_PASSED = frozenset({"PATH", "LANG", "LANGUAGE", "TZ", "HOME", "USER", "LOGNAME", "TMPDIR"})


async def end_gate(job: Job) -> None:
    """End a candidate's job; its tree is dead when this returns, at most some seconds later. Not cancelled half-way."""
    with trio.move_on_after(CANCEL_LIMIT_S, shield=True):
        job.cancel(CANCEL_GRACE_S)
        with contextlib.suppress(OSError):
            await job.wait()


async def drop_candidate(state: Path, generation: int, *, instance: str, roots: Sequence[ProcessIdentity]) -> None:
    """End what still runs for a candidate that nobody wants any more, and remove its directory. May be repeated.

    Raises RingmasterError for a job of another instance: nothing is ended or removed then.
    """
    directory = candidate_directory(state, generation)
    found = await adopt_job(directory / "job", instance=instance, roots=roots)
    if isinstance(found, Job):
        await end_gate(found)
    await trio.to_thread.run_sync(lambda: shutil.rmtree(directory, ignore_errors=True))


__all__ = [
    "CandidateSpec",
    "Verdict",
    "candidate_directories",
    "candidate_directory",
    "drop_candidate",
    "end_gate",
    "find_reused",
    "gate_checkout",
    "gate_environment",
    "judge",
    "make_candidate_spec",
    "run_candidate_gate",
    "start_or_adopt",
]
