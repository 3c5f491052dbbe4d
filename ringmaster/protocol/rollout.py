"""Methods about reloads: asking for one, where it stands, what generations there were, and going back."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from ringmaster.model.decision import Decision
from ringmaster.model.generation import Generation
from ringmaster.protocol.mutation import Mutation

RequestState = Literal["requested", "under_way", "nothing_new", "paused", "looked"]


class ReloadRequestParams(Mutation, frozen=True, kw_only=True):
    """Look for newer code now. is_dry_run: say what would be taken, change nothing."""

    is_dry_run: bool = False


class ReloadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a reload would take. source: `package`, `target` or `worktree`; commit, tree: of the self project.

    files: paths that differ from the running release, each after its letter `A`, `M` or `D`. stages: of the gate, in
    their order.
    """

    source: str
    commit: str = ""
    tree: str = ""
    files: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()


class ReloadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What was requested, at once; what becomes of it is in the events after `cursor`.

    state: `requested` (newer code was found or is being looked for; `reload.found_nothing` says when there was
    none), `under_way` (generation `generation` is on its way already), `nothing_new` (what runs is what there is),
    `paused` (nothing can be taken now; words say why), `looked` (a dry run). generation: the one it is about,
    0 where none is made yet. running: the generation that answers. plan: of a dry run that found something.
    stages: of the gate that it has to pass, in their order; none for going back. probation_s: how long it is watched
    then; 0 where nothing was requested.
    """

    state: RequestState
    words: str
    running: int
    generation: int = 0
    plan: ReloadPlan | None = None
    cursor: int = 0
    stages: tuple[str, ...] = ()
    probation_s: float = 0.0


class RolloutStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where reloading stands. running: the generation that answers; good: the one that a start boots.

    release, commit: of what runs. before: what a rollback of a damaged good release boots, 0 for none. step: what is
    going on, in words, empty when nothing is. candidate: the generation on its way, 0 for none; decision_id: the
    question it waits for. is_watching: changes are taken by themselves; words: what is watched, or why nothing is.
    last: the newest generation that was ever tried or refused. bad_release: the open question about what the target
    holds, which closes its lane; None while nothing is asked.
    """

    running: int
    good: int
    release: str = ""
    commit: str = ""
    before: int = 0
    candidate: int = 0
    decision_id: str = ""
    step: str = ""
    is_watching: bool = False
    words: str = ""
    last: Generation | None = None
    bad_release: Decision | None = None


class RolloutHistoryParams(msgspec.Struct, frozen=True, kw_only=True):
    """The newest generations, at most `limit`."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 20


class GenerationView(msgspec.Struct, frozen=True, kw_only=True):
    """A generation with what follows from its measures. is_running: it answers; is_good: a start boots it."""

    generation: Generation
    is_running: bool
    is_good: bool
    success_rate: float | None = None
    cost_per_success_usd: float | None = None
    work_per_success_s: float | None = None


class RolloutHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Generations, the newest first."""

    generations: tuple[GenerationView, ...]


class RolloutUndoParams(Mutation, frozen=True, kw_only=True):
    """Go back to a good generation. generation: which; None for the good one before the one that runs."""

    generation: Annotated[int, msgspec.Meta(ge=1)] | None = None
