"""From what the sources say now to a candidate that was judged: release, environment, row, gate, a person's word."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import trio

from ringmaster.model.decision import Decision
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.event import Event
from ringmaster.model.generation import Generation, GenerationState, Origin, Receipt, StageResult
from ringmaster.model.project import Project
from ringmaster.model.states import DecisionState
from ringmaster.proc.inotify import Watcher
from ringmaster.protocol.rollout import ReloadPlan
from ringmaster.queue import rollout
from ringmaster.queue.bad_release import settle_bad_release
from ringmaster.queue.decide import withdraw
from ringmaster.queue.release_question import ask_about_release
from ringmaster.reload.boot_contract import BootHandle
from ringmaster.reload.boot_record import read_record
from ringmaster.reload.candidate import (
    CandidateSpec,
    Verdict,
    candidate_directories,
    drop_candidate,
    find_reused,
    make_candidate_spec,
    run_candidate_gate,
)
from ringmaster.reload.candidate_spec import STAGES
from ringmaster.reload.environment import ensure_environment, environment_python
from ringmaster.reload.evidence import find_evidence
from ringmaster.reload.instance import Instance
from ringmaster.reload.release import (
    LOCK_FILE,
    RELEASES,
    Release,
    SourceFile,
    differences,
    is_installed,
    make_release,
    package_files,
    release_id,
)
from ringmaster.reload.snapshot import has_tree, open_trees, release_files
from ringmaster.reload.source import Source, find_source
from ringmaster.reload.watching import NEVER, NO_SOURCE, self_project
from ringmaster.store import decisions, generations
from ringmaster.store.connection import Connection

log = logging.getLogger("ringmaster.reload")

ACCEPT = "accept"
OF_THE_TREE = frozenset({"policy", "gate", "behaviour"})
"""Stages that judge what is no part of a release, such as tests."""


class Found(NamedTuple):
    """What may be taken. project: None for a package. release_id: what its files hash to."""

    source: Source
    project: Project | None
    files: tuple[SourceFile, ...]
    release_id: str

    @property
    def content(self) -> str:
        """What is judged: other tests may judge the same release otherwise."""
        return f"{self.release_id} {self.source.tree}"


class Nothing(NamedTuple):
    """Why there is nothing to take, in words. is_paused: it cannot be looked at now, so what there is is not known;
    is_over: what was on its way is no longer wanted."""

    words: str
    is_paused: bool = False
    is_over: bool = False


class Judged(NamedTuple):
    """What became of a candidate. is_passed: it may be tried; retry: why it could not be judged, '' when it was."""

    generation: Generation
    is_passed: bool
    retry: str = ""


class Candidates:
    """Makes and judges candidates, one at a time. decision_id: the question that one waits for, or ''."""

    def __init__(self, instance: Instance, *, watcher: Watcher, package: Path | None) -> None:
        self._store = instance.store
        self._bus = instance.bus
        self._paths = instance.paths
        self._settings = instance.settings
        self._instance_id = instance.id
        self._roots = instance.roots
        self._watcher = watcher
        self._package = package
        self._rng = instance.rng
        self.decision_id = ""

    async def find(
        self, handle: BootHandle, *, is_asked: bool = False, may_be_checkout: bool = False
    ) -> Found | Nothing:
        """What is newer than the running release; in words why there is nothing, or why it cannot be looked at now.

        A package that was installed since comes first; what was tried before with the same content is not tried again.
        is_asked: a person asked for it, who may want again what was good and gone back from, and gets the target also
        where nothing is followed. may_be_checkout: at a
        start, or on a person's word; a checkout counts as a package only then, and where no project is the daemon's
        own source: it is the tree that people edit.
        Raises RingmasterError, also retryable ones: a disk that is full, a tree that is changing.
        """
        project = await self._store.read(self_project)
        package = await self._find_package(may_be_checkout=may_be_checkout and project is None)
        if package is not None:
            return package
        follow = self._settings().own.follow
        if project is None:
            return Nothing(NO_SOURCE)
        if follow == "never" and not is_asked:
            return Nothing(NEVER)
        running = await self._store.read(generations.find_generation, handle.generation)
        commit = running.commit if running is not None and running.project_id == project.id else ""
        source = await find_source(project, follow, commit, self._paths.state)
        if isinstance(source, str):
            return Nothing(source, is_paused=True)
        files = await release_files(Path(source.trees), source.tree)
        found = Found(source, project, files, await trio.to_thread.run_sync(release_id, files))
        if running is not None and not running.tree and found.release_id == handle.release and source.kind == "target":
            # From here on it is known which tests the release came with, and a newer one is held to them.
            await self._store.write(generations.note_source, running.id, project.id, source.commit, source.tree)
        return await self._store.read(_unless_known, found, handle, is_asked)

    async def _find_package(self, *, may_be_checkout: bool) -> Found | None:
        """The package from which this daemon was started, where its content is new or was not judged to the end."""
        if self._package is None or not (may_be_checkout or await trio.to_thread.run_sync(is_installed, self._package)):
            return None
        try:
            files = await trio.to_thread.run_sync(lambda: tuple(package_files(self._package)))
        except (OSError, RingmasterError):
            # It is being replaced, or was taken away: what runs needs it no more.
            return None
        id = await trio.to_thread.run_sync(release_id, files)
        known = await self._store.read(generations.generations_of_release, id)
        if any(one.state in (GenerationState.GOOD, GenerationState.BAD, GenerationState.TRIAL) for one in known):
            return None
        return Found(Source("package", "", "", f"the package in {self._package}"), None, files, id)

    async def is_still(self, handle: BootHandle, found: Found, *, is_asked: bool) -> bool:
        """Whether the sources still say the same: its gate is worth going on with then. is_asked: as it was found."""
        now = await self.find(handle, is_asked=is_asked, may_be_checkout=found.source.kind == "package")
        return now.is_paused if isinstance(now, Nothing) else now.content == found.content

    async def plan(self, handle: BootHandle, found: Found) -> ReloadPlan:
        """What taking it would mean; changes nothing."""
        runs = await trio.to_thread.run_sync(lambda: tuple(package_files(Path(handle.root) / "ringmaster")))
        files, source = differences(runs, found.files), found.source
        return ReloadPlan(source=source.kind, commit=source.commit, tree=source.tree, files=files, stages=STAGES)

    async def make(self, handle: BootHandle, found: Found, *, is_new: bool) -> Generation:
        """Its release on disk, and its row; the row of an unsettled candidate of the same content.

        is_new: a row of its own all the same, for somebody who asked and follows the events. Candidates of other
        content are superseded, with whatever runs for them. Raises RingmasterError for no room, OSError.
        """
        state = self._paths.state
        release = await trio.to_thread.run_sync(make_release, state, found.files)
        python = environment_python(state, _lock_of(found))
        record = await trio.to_thread.run_sync(read_record, state)
        above = 0 if record is None else max(record.good.generation, record.before.generation if record.before else 0)
        made = await self._store.write(_make, found, release, str(python), handle.generation, above, is_new)
        await self._drop_others(made.id)
        return made

    async def settle_over(self, words: str) -> None:
        """What is on its way is no longer wanted: its row is superseded, and what runs for it is ended."""
        if await self._store.read(_candidates):
            await self._store.write(_supersede_all, words)
            await self._drop_others(0)

    async def _drop_others(self, kept: int) -> None:
        """End and remove what is left of every candidate but one: of a daemon that was killed, too."""
        for id in await trio.to_thread.run_sync(candidate_directories, self._paths.state):
            if id != kept:
                await drop_candidate(self._paths.state, id, instance=self._instance_id, roots=self._roots())

    async def judge(
        self, handle: BootHandle, generation: Generation, found: Found, tell: Callable[[str], None]
    ) -> Judged:
        """Make its environment, run its gate, and ask a person where that asks; the row is settled where it failed.

        tell: the stage under way, in words. Cancelled, the gate's tree is dead and the question is taken back; a
        thread that installs libraries is left to end by itself.
        Raises RingmasterError and OSError for what is not the candidate's fault: no room, or no index in reach for an
        environment that is not there.
        """
        tell("its libraries are installed")
        # Those of a newer wheel were installed with it.
        libraries = self._package.parent if found.project is None and self._package is not None else None
        await trio.to_thread.run_sync(
            ensure_environment, self._paths.state, _lock_of(found), libraries, abandon_on_cancel=True
        )
        accepted: tuple[str, ...] = ()
        while True:
            tell("its gate runs")
            verdict = await self._run_gate(handle, generation, found, accepted, tell)
            if verdict.result is StageResult.PASSED:
                return Judged(generation, True)
            if verdict.result is StageResult.FAILED:
                return Judged(await self._settle_bad(generation, verdict.summary), False)
            if verdict.result is not StageResult.ASKS:
                return Judged(generation, False, verdict.summary)
            tell("it waits for a person")
            answer = await self._ask(generation, found, verdict)
            if answer != ACCEPT:
                words = f"a person said {answer}: {verdict.summary}"
                return Judged(await self._settle_bad(generation, words), False)
            accepted = (*accepted, next(r.stage for r in verdict.receipts if r.result is StageResult.ASKS))

    async def migrate(self, generation: Generation) -> bool:
        """Take the database to its schema; False when that is refused: it is bad then. Raises DISK_FULL."""
        try:
            await self._store.migrate(self._paths.state / RELEASES / generation.release / "sql")
        except RingmasterError as error:
            if error.kind is not ErrorKind.REFUSED:
                raise
            await self._settle_bad(generation, f"{error.message}; {error.hint}" if error.hint else error.message)
            return False
        return True

    async def _settle_bad(self, generation: Generation, words: str) -> Generation:
        """It is bad, with what follows for the lane of the project that it came from."""
        evidence = await find_evidence(self._store, self._paths.state, generation)
        return await self._store.write(settle_bad_release, generation.id, words, evidence, rng=self._rng)

    async def _run_gate(
        self,
        handle: BootHandle,
        generation: Generation,
        found: Found,
        accepted: tuple[str, ...],
        tell: Callable[[str], None],
    ) -> Verdict:
        async def note(receipt: Receipt) -> None:
            tell(f"its gate runs: {receipt.stage} {receipt.result}")
            await self._store.write(rollout.note_receipt, generation.id, receipt)

        return await run_candidate_gate(
            await self._spec(handle, generation, found, accepted),
            instance=self._instance_id,
            roots=self._roots(),
            watcher=self._watcher,
            on_receipt=note,
        )

    async def _spec(
        self, handle: BootHandle, generation: Generation, found: Found, accepted: tuple[str, ...]
    ) -> CandidateSpec:
        project, source = found.project, found.source
        running = await self._store.read(generations.find_generation, handle.generation)
        running_tree, reused = "", ""
        if project is not None:
            trees = await open_trees(self._paths.state, Path(project.common_dir))
            running_tree = running.tree if running is not None and await has_tree(trees, running.tree) else ""
            reused = await self._store.read(find_reused, project, source.commit, source.tree)
        return make_candidate_spec(
            self._paths,
            generation.id,
            self._paths.state / RELEASES / generation.release,
            generation.python,
            source,
            project,
            running_root=Path(handle.root),
            running_tree=running_tree,
            digest=generation.digest,
            reused=reused,
            accepted=accepted,
        )

    async def _ask(self, generation: Generation, found: Found, verdict: Verdict) -> str:
        """Ask a person and wait for the answer, however long; the question is taken back when this is cancelled."""
        project_id = found.project.id if found.project is not None else ""
        with self._bus.open_subscription(_is_about_decisions) as answers:
            self.decision_id = await self._store.write(_ask, generation, project_id, verdict.words, self._rng)
            try:
                while True:
                    decision = await self._store.read(decisions.decision_by_id, self.decision_id)
                    if decision.state is not DecisionState.OPEN:
                        return decision.answer or "no"
                    await answers.receive_batch()
            except trio.Cancelled:
                with trio.CancelScope(shield=True):
                    await self._store.write_essential(_take_back, self.decision_id)
                raise
            finally:
                self.decision_id = ""


def _is_about_decisions(event: Event) -> bool:
    return event.type in ("decision.answered", "decision.withdrawn")


def _lock_of(found: Found) -> bytes:
    return next((file.content for file in found.files if file.path == LOCK_FILE), b"")


def _unless_known(conn: Connection, found: Found, handle: BootHandle, is_asked: bool) -> Found | Nothing:
    if found.release_id == handle.release:
        return Nothing(f"generation {handle.generation} is what there is: {found.source.words}", is_over=True)
    for known in generations.generations_of_release(conn, found.release_id):
        if known.state is GenerationState.BAD and (known.tree == found.source.tree or not _is_of_the_tree(known)):
            words = f"generation {known.id} had the same content and is bad: {known.reason}"
            return Nothing(words, is_over=True)
        if known.state is GenerationState.GOOD and known.id > handle.generation and not is_asked:
            # Otherwise going back would last until the next look.
            words = f"generation {known.id} has this content and was gone back from; rmctl reload takes it again"
            return Nothing(words, is_over=True)
    return found


def _is_of_the_tree(bad: Generation) -> bool:
    """Whether it was refused for what is beside its release: with other tests it may be judged otherwise."""
    failed = [one for one in bad.receipts if one.result not in (StageResult.PASSED, StageResult.SKIPPED)]
    return bool(failed) and all(one.stage in OF_THE_TREE for one in failed)


def _candidates(conn: Connection) -> list[Generation]:
    return [one for one in generations.unsettled(conn) if one.state is GenerationState.CANDIDATE]


def _supersede_all(conn: Connection, words: str) -> None:
    for known in _candidates(conn):
        rollout.supersede(conn, known.id, words)


def _make(
    conn: Connection, found: Found, release: Release, python: str, running: int, above: int, is_new: bool
) -> Generation:
    made: Generation | None = None
    for known in _candidates(conn):
        if not is_new and known.release == release.id and known.python == python and known.tree == found.source.tree:
            made = known
        else:
            rollout.supersede(conn, known.id, "a newer change took its place")
    if made is None:
        origin = Origin(
            release=release.id,
            digest=release.digest,
            python=python,
            parent=running,
            source=found.source.kind,
            project_id=found.project.id if found.project is not None else "",
            commit=found.source.commit,
            tree=found.source.tree,
        )
        made = rollout.make_generation(conn, origin, above=max(above, running))
    return made


def _ask(conn: Connection, generation: Generation, project_id: str, words: str, rng: random.Random) -> str:
    decision_id = ask_about_release(conn, generation.id, project_id, words, rng=rng)
    rollout.put_off(conn, generation.id, f"waits for decision {decision_id}", decision_id=decision_id)
    return decision_id


def _take_back(conn: Connection, decision_id: str) -> None:
    decision: Decision = decisions.decision_by_id(conn, decision_id)
    if decision.state is DecisionState.OPEN:
        withdraw(conn, decision)
