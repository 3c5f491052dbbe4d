"""Adding, editing and removing projects: the look at the user's repository, the owner mark, the daemon's copy."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.project import Project, ProjectConfig
from ringmaster.protocol.mutation import Mutation
from ringmaster.protocol.project import ProjectAddParams, ProjectEditParams, ProjectRemoveParams, Removed
from ringmaster.queue import registry
from ringmaster.queue.lookup import resolve_project
from ringmaster.store import projects
from ringmaster.store.connection import Connection
from ringmaster.store.idempotency import answered, once
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.ownership import Owner, claim_ownership, release_ownership
from ringmaster.workspace.repository import ensure_repository, fetch_target
from ringmaster.workspace.user_repository import UserRepository, inspect_user_repository

T = TypeVar("T")

UNDO_LIMIT_S = 10.0


class Projects:
    """One per daemon. What touches git is done for one project after the other.

    Each method looks at git first, so that errors are told at once, and then makes one transaction;
    under its idempotency key it gives the first answer again. Cancelled or failed before the
    transaction, it leaves the user's repository as it was.
    """

    def __init__(self, sur: Surroundings) -> None:
        self._sur = sur
        self._lock = trio.Lock()

    async def add(self, params: ProjectAddParams, *, actor: str) -> Project:
        """Take a repository on: mark it as ours, copy it, store it. Minutes for a large one.

        Raises:
            RingmasterError: USAGE for a bad setting, name or path; REFUSED or NOT_FOUND for a repository
                that cannot be worked on, another daemon's included; CONFLICT when it is a project already.
        """
        config = registry.merged_config(ProjectConfig(), params.config)
        path = Path(params.path)
        if not path.is_absolute():
            raise RingmasterError(
                ErrorKind.USAGE, f"{params.path[:200]!r} is not an absolute path", "give the whole path"
            )
        async with self._lock:
            earlier = await self._answered("project.add", params, Project)
            if earlier is not None:
                return earlier
            user = await inspect_user_repository(path, params.target or None)
            name = params.id or registry.name_for(user.path.name)
            registry.check_name(name)
            await self._sur.store.read(registry.refuse_taken, name, str(user.common_dir))
            async with self._sur.repository_lock(name):
                return await self._take_on(params, user, name, config, actor)

    async def _take_on(
        self, params: ProjectAddParams, user: UserRepository, name: str, config: ProjectConfig, actor: str
    ) -> Project:
        paths = self._sur.paths
        owner = Owner(self._sur.instance_id, paths.name, str(paths.state))
        await trio.to_thread.run_sync(claim_ownership, user.common_dir, owner)
        is_added = False
        try:
            bare = paths.repository(name)
            await ensure_repository(bare, user)
            # A copy that is left from an earlier project of this name may know an older target.
            await fetch_target(bare, user, user.target)
            store_row = functools.partial(
                registry.add_project,
                name=name,
                path=str(user.path),
                common_dir=str(user.common_dir),
                target=user.target,
                config=config,
                actor=actor,
            )
            added = await self._sur.store.write(
                once, params.idempotency_key, "project.add", msgspec.json.encode(params), Project, store_row
            )
            is_added = True
            return added
        finally:
            if not is_added:
                # Shielded inside, with a deadline.
                await self._release(user.common_dir)  # noqa: ASYNC102

    async def edit(self, params: ProjectEditParams, *, actor: str) -> Project:
        """Change settings, target or state. A new target is looked up in the user's repository.

        Raises:
            RingmasterError: USAGE; NOT_FOUND for the project or the branch; WRONG_STATE for a new target while
                work for the old one is under way.
        """
        earlier = await self._answered("project.edit", params, Project)
        if earlier is not None:
            return earlier
        project = await self._sur.store.read(_salvaged, params.id)
        registry.merged_config(project.config, params.config)
        if params.target in ("", project.target):
            return await self._store_edit(project.id, params, actor)
        async with self._lock, self._sur.repository_lock(project.id):
            user = await inspect_user_repository(Path(project.path), params.target)
            bare = self._sur.paths.repository(project.id)
            await ensure_repository(bare, user)
            await fetch_target(bare, user, params.target)
            return await self._store_edit(project.id, params, actor)

    async def _store_edit(self, name: str, params: ProjectEditParams, actor: str) -> Project:
        store_row = functools.partial(
            registry.edit_project,
            name=name,
            changes=params.config,
            target=params.target,
            state=params.state,
            actor=actor,
        )
        return await self._sur.store.write(
            once, params.idempotency_key, "project.edit", msgspec.json.encode(params), Project, store_row
        )

    async def remove(self, params: ProjectRemoveParams, *, actor: str) -> Removed:
        """Make a project history and take the owner mark away. The user's repository keeps its branches.

        Raises:
            RingmasterError: NOT_FOUND; WRONG_STATE while a task of it has not ended.
        """
        async with self._lock:
            earlier = await self._answered("project.remove", params, Removed)
            if earlier is not None:
                return earlier
            project = await self._sur.store.read(_salvaged, params.id)

            def store_row(conn: Connection) -> Removed:
                return Removed(id=project.id, note=registry.remove_project(conn, project.id, actor=actor))

            async with self._sur.repository_lock(project.id):
                removed = await self._sur.store.write(
                    once, params.idempotency_key, "project.remove", msgspec.json.encode(params), Removed, store_row
                )
                await self._release(Path(project.common_dir))
            return removed

    async def _answered(self, method: str, params: Mutation, result: type[T]) -> T | None:
        document = msgspec.json.encode(params)
        return await self._sur.store.read(answered, params.idempotency_key, method, document, result)

    async def _release(self, common_dir: Path) -> None:
        with trio.move_on_after(UNDO_LIMIT_S, shield=True):
            await trio.to_thread.run_sync(release_ownership, common_dir, self._sur.instance_id)


def _salvaged(conn: Connection, text: str) -> Project:
    return projects.salvaged_project(conn, resolve_project(conn, text))
