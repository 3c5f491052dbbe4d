"""A project: a git repository the daemon works on, with its gate, target branch and limits."""

from __future__ import annotations

from typing import Literal

import msgspec

from ringmaster.model.states import ProjectState

Approve = Literal["auto", "ask"]
History = Literal["merge", "squash"]
TestChanges = Literal["allow", "ask"]
UpdateCheckout = Literal["clean", "never"]
Permissions = Literal["edit", "run", "full"]
Sandbox = Literal["none", "bwrap"]
GateReuse = Literal["commit", "tree"]


class ProjectConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What a person sets on a project with `rmctl project edit`. It lives in the database, never in the repository.

    gate: shell command that must pass on the commit that would become the tip; empty means that
        every landing asks.
    gate_limit_s, setup_limit_s: wall-clock limits of one run.
    setup: shell commands that make a fresh checkout usable.
    cache: directories of the gate's checkout that are kept between gates, `.venv` or `node_modules`.
    copy: ignored files of the user's checkout to bring into each workspace.
    env: names of environment variables handed to agent, setup and gate.
    agent_env: names of environment variables handed to the agent only, such as its API key.
    permissions: what an agent that asks for permissions may do unasked: edit files; run commands too; or
        everything, which takes a sandbox.
    sandbox: what holds agents in: nothing, or bubblewrap.
    protected: paths to protect besides the defaults; a leading `!` frees one.
    max_running: seats that may work on the project at once.
    keep_days: how long ended attempts' work is kept.
    is_self: whether it is Ringmaster's own source, whose commits become releases. Only a person sets it: methods that
        take settings are the operator's.
    """

    gate: str = ""
    gate_limit_s: float = 1800.0
    setup: tuple[str, ...] = ()
    setup_limit_s: float = 900.0
    cache: tuple[str, ...] = ()
    copy: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    agent_env: tuple[str, ...] = ()
    approve: Approve = "auto"
    history: History = "merge"
    test_changes: TestChanges = "allow"
    update_checkout: UpdateCheckout = "never"
    gate_reuse: GateReuse = "commit"
    protected: tuple[str, ...] = ()
    max_running: int = 8
    keep_days: float = 30.0
    agent: str = ""
    conventions: str = ""
    permissions: Permissions = "run"
    sandbox: Sandbox = "none"
    is_self: bool = False


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A project's row. `id` is the name a person gave it.

    parked_commit: landed work that waits for the target, '' for none. parked_at: since when there has been some.
    """

    id: str
    path: str
    common_dir: str
    target: str
    state: ProjectState
    paused_reason: str
    parked_commit: str
    parked_at: float | None
    config: ProjectConfig
    version: int
    created_at: float
