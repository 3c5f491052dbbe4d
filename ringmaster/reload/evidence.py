"""What git says of the commits that a bad generation was made of."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path

import trio

from ringmaster.model.errors import RingmasterError
from ringmaster.model.generation import Generation, GenerationState
from ringmaster.model.project import Project
from ringmaster.queue.bad_release import Evidence
from ringmaster.redaction.redactor import KNOWN_FORMS
from ringmaster.reload.release import release_id
from ringmaster.reload.snapshot import open_trees, release_files
from ringmaster.store import Store, generations, projects
from ringmaster.workspace.git import run_git, run_git_capped

log = logging.getLogger("ringmaster.reload")

DIFF_BYTES = 12_000
LIMIT_S = 10.0
FAR = 20
"""Commits back in which the last good content is looked for."""


async def find_evidence(store: Store, state: Path, generation: Generation) -> Evidence:
    """The commits, the head of their diff, and what reverts them by hand. Empty where git does not answer: it is
    wanted for the telling alone."""
    if generation.source != "target" or not generation.commit:
        return Evidence()
    try:
        with trio.move_on_after(LIMIT_S):
            project = await store.read(projects.salvaged_project, generation.project_id)
            trees = await open_trees(state, Path(project.common_dir))
            return await _describe(store, trees, project, generation.commit)
    except (RingmasterError, OSError) as error:
        log.warning("there is no evidence of generation %d from git: %s", generation.id, error)
    return Evidence()


async def _describe(store: Store, trees: Path, project: Project, commit: str) -> Evidence:
    commits = await find_commits(store, trees, commit)
    subject = (await run_git("show", "-s", "--format=%s", commit, git_dir=trees)).text
    if len(commits) > 1:
        subject += f" (and {len(commits) - 1} before it, since the last good one)"
    words = ["git", "-C", project.path, "revert", "--no-edit"]
    if any([await is_merge(trees, one) for one in commits]):
        words += ["-m", "1"]
    diff = await run_git_capped(
        "diff", "--stat", "--patch", f"{commits[-1]}^1", commit, git_dir=trees, max_bytes=DIFF_BYTES
    )
    text = KNOWN_FORMS.shown(diff.decode(errors="replace"))
    if len(diff) == DIFF_BYTES:
        text += f"\n… (cut; git -C {shlex.quote(project.path)} show {commit[:12]})"
    return Evidence(subject=KNOWN_FORMS.shown(subject), command=shlex.join([*words, *commits]), diff=text)


async def is_merge(git_dir: Path, commit: str) -> bool:
    """Whether a commit has more than one parent. Raises GitError."""
    return len((await run_git("rev-list", "--parents", "-n1", commit, git_dir=git_dir)).text.split()) > 2


async def find_commits(store: Store, trees: Path, commit: str) -> tuple[str, ...]:
    """The commits to revert, the newest first: back to the nearest content that was good, else that commit alone.

    Nearly always it is one. They are more where a newer commit superseded the candidate of an older one, so that what
    is bad may be either's. Raises GitError.
    """
    listing = await run_git("rev-list", "--first-parent", f"-n{FAR + 1}", commit, git_dir=trees)
    line = listing.text.split()
    for place, before in enumerate(line[1:], start=1):
        if await find_good(store, trees, before) is not None:
            return tuple(line[:place])
    return (commit,)


async def find_good(store: Store, trees: Path, commit: str) -> Generation | None:
    """The good generation with the content of a commit. Raises GitError."""
    files = await release_files(trees, f"{commit}^{{tree}}")
    id = await trio.to_thread.run_sync(release_id, files)
    known = await store.read(generations.generations_of_release, id)
    return next((one for one in known if one.state is GenerationState.GOOD), None)
