"""Set-up, prompt and agent of one attempt: what runs while it holds its seat."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, cast

import msgspec
import trio

from ringmaster.agents.base import Agent, AgentContext, AgentEnd, EndReason, ExplicitReport
from ringmaster.model.attempt import Attempt
from ringmaster.model.errors import RingmasterError
from ringmaster.model.project import ProjectConfig
from ringmaster.model.task import Limits
from ringmaster.model.worker import HAND
from ringmaster.output.secrets import find_redactor
from ringmaster.proc.job_files import ExitReason, JobExit, JobLost, JobSpec, write_durably
from ringmaster.prompt.build import build_prompt
from ringmaster.redaction.redactor import Redactor
from ringmaster.settings import Settings
from ringmaster.store import workers
from ringmaster.store.connection import Connection
from ringmaster.workers.control import AttemptControl
from ringmaster.workers.conversation import Conversation, open_conversation
from ringmaster.workers.gathering import gather_facts
from ringmaster.workers.jobs import is_place, make_spec, run_job
from ringmaster.workers.metering import watch_agent
from ringmaster.workers.preparing import Bench
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workers.walls import walls_of
from ringmaster.workspace.environment import CacheKind, agent_home, build_environment, find_pip_config, secret_names
from ringmaster.workspace.git import run_git
from ringmaster.workspace.guard import Fingerprint, describe_changes, take_fingerprint
from ringmaster.workspace.refs import is_ancestor, target_ref
from ringmaster.workspace.sandbox import sandboxed

log = logging.getLogger("ringmaster.attempt")


def filled_limits(limits: Limits, settings: Settings) -> Limits:
    """A task's limits with the daemon's settings where it names none."""
    default = settings.limits
    return Limits(
        wall_s=limits.wall_s if limits.wall_s is not None else default.wall_s,
        idle_s=limits.idle_s if limits.idle_s is not None else default.idle_s,
        output_bytes=limits.output_bytes if limits.output_bytes is not None else default.output_bytes,
        turns=limits.turns,
    )


def child_environment(
    sur: Surroundings, bench: Bench, kind: CacheKind, home: Path, extra: dict[str, str]
) -> dict[str, str]:
    """The environment of a setup, gate or agent of a project; its directories are made."""
    caches = sur.paths.caches / str(kind) / bench.project.id
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    caches.mkdir(parents=True, exist_ok=True, mode=0o700)
    return build_environment(
        os.environ,
        home,
        caches,
        bench.project.config.env,
        pip_config=find_pip_config(os.environ),
        extra=extra,
    )


async def run_setup(
    sur: Surroundings, bench: Bench, control: AttemptControl, directory: Path, cwd: Path, kind: CacheKind
) -> JobExit | JobLost | None:
    """Run the project's set-up commands in `cwd`; None when it has none. Re-enterable, as `run_job` is."""
    commands = bench.project.config.setup
    if not commands and not (directory / "run.json").exists():
        return None

    async def make() -> JobSpec:  # noqa: ASYNC124 (run_job awaits what makes a spec; others have to)
        env = child_environment(sur, bench, kind, bench.directory / "home", {"CI": "1"})
        return make_spec(
            sur,
            kind=directory.name,
            label=bench.attempt.id,
            argv=("/bin/sh", "-euc", "\n".join(("exec 2>&1", *commands))),
            cwd=cwd,
            env=env,
            secret_names=secret_names(env, allowed=bench.project.config.env),
            wall_s=bench.project.config.setup_limit_s,
        )

    return await run_job(sur, bench.attempt, control, directory, make)


async def write_prompt(sur: Surroundings, bench: Bench) -> Path:
    """Gather the facts, build the prompt and store it beside the attempt's jobs. An existing one is kept."""
    prompt_file = bench.directory / "prompt.md"
    if prompt_file.exists():
        return prompt_file
    # Nothing is enforced on who works by hand but the lease.
    limits = Limits() if bench.attempt.agent == HAND else filled_limits(bench.task.limits, sur.settings)
    facts = await gather_facts(sur, bench, limits)
    redactor = await trio.to_thread.run_sync(prompt_redactor, bench.directory, bench.project.config, dict(os.environ))
    prompt = build_prompt(facts, budget_tokens=sur.settings.daemon.prompt_tokens, redactor=redactor)
    await trio.to_thread.run_sync(_write_whole, prompt_file, prompt.text.encode("utf-8", "replace"))
    return prompt_file


def prompt_redactor(directory: Path, config: ProjectConfig, environ: Mapping[str, str]) -> Redactor:
    """By what the attempt's jobs have been handed so far, and what the project hands over. Blocking.

    directory: the attempt's. environ: the daemon's own environment, where the values come from.
    """
    handed = (environ[name] for name in secret_names(environ, config.agent_env, config.env))
    return find_redactor(directory, (value for value in handed if not is_place(value)))


def _write_whole(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # Durably: an existing one is kept, and after a power cut an empty one would be.
    write_durably(path, content)


async def run_agent(sur: Surroundings, bench: Bench, control: AttemptControl, agent: Agent) -> AgentEnd:
    """Run the agent in the workspace under its limits and say how its process ended. Re-enterable, as `run_job` is.

    Raises RingmasterError when its command line cannot be made.
    """
    make = functools.partial(make_agent_spec, sur, bench, agent)
    beside = functools.partial(watch_agent, sur, bench, agent) if agent.is_resumable else None
    return agent_end(await run_job(sur, bench.attempt, control, bench.directory / "agent", make, beside))


async def make_agent_spec(sur: Surroundings, bench: Bench, agent: Agent) -> JobSpec:
    """What runs the agent: prompt written, conversation chosen, the user's repository looked at before.

    Raises RingmasterError when its command line cannot be made.
    """
    await note_checkout(bench)
    command = await sur.store.read(_command_of, bench.attempt.worker_id)
    prompt_file = await write_prompt(sur, bench)
    conversation = await open_conversation(sur, bench, agent)
    return await trio.to_thread.run_sync(_agent_spec, sur, bench, agent, command, prompt_file, conversation)


def _command_of(conn: Connection, worker_id: str) -> tuple[str, ...]:
    return workers.worker_by_id(conn, worker_id).command


def _agent_spec(
    sur: Surroundings,
    bench: Bench,
    agent: Agent,
    command: tuple[str, ...],
    prompt_file: Path,
    conversation: Conversation,
) -> JobSpec:
    attempt, task, config = bench.attempt, bench.task, bench.project.config
    home = agent_home(sur.paths.caches, bench.project.id, bench.task.id)
    made = agent.command(
        AgentContext(
            task=task,
            attempt_id=attempt.id,
            number=attempt.number,
            workspace=bench.workspace,
            prompt_file=prompt_file,
            socket=sur.paths.socket,
            token=attempt.token,
            command=command,
            model=task.model,
            settings=sur.settings,
            session_id=conversation.session_id,
            is_resumed=conversation.is_resumed,
            permissions=config.permissions,
            budget_usd=conversation.budget_usd,
            is_sandboxed=config.sandbox == "bwrap",
            agent_home=home,
            environ=os.environ,
        )
    )
    handed = (*made.env_names, *config.agent_env)
    named = {name: os.environ[name] for name in handed if name in os.environ}
    limits = filled_limits(task.limits, sur.settings)
    env = child_environment(sur, bench, CacheKind.AGENT, home, {**named, **made.env})
    argv = made.argv
    for directory in made.directories:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if config.sandbox == "bwrap":
        walls = walls_of(sur, bench, home=home, directories=made.directories, program=argv[0], environ=os.environ)
        argv = sandboxed(argv, walls)
    return make_spec(
        sur,
        kind="agent",
        label=attempt.id,
        argv=argv,
        cwd=bench.workspace,
        env=env,
        stdin=prompt_file,
        wall_s=limits.wall_s,
        idle_s=limits.idle_s,
        output_bytes=limits.output_bytes,
        secret_names=secret_names(env, handed, config.env),
    )


def agent_end(ended: JobExit | JobLost) -> AgentEnd:
    """How the job ended, in the words of `agents/`."""
    if isinstance(ended, JobLost):
        return AgentEnd(reason="lost")
    reason = "lost" if ended.reason is ExitReason.UNKNOWN else str(ended.reason)
    return AgentEnd(
        reason=cast(EndReason, reason),
        code=ended.code,
        signal=ended.signal,
        error=ended.error or "",
        is_memory_short=ended.oom_kills > 0,
    )


def explicit_report(attempt: Attempt) -> ExplicitReport | None:
    """What the attempt said over the socket, if anything: a question counts as needing a decision."""
    asked = attempt.report.get("asked") or ()
    if asked:
        return ExplicitReport(status="needs_decision", summary="", decision_id=str(asked[-1]))
    said = attempt.report.get("said")
    if isinstance(said, dict) and said.get("status") in ("succeeded", "failed", "needs_decision"):
        status = cast(Literal["succeeded", "failed", "needs_decision"], said["status"])
        return ExplicitReport(status=status, summary=str(said.get("summary", "")))
    return None


async def note_checkout(bench: Bench) -> None:
    """Remember what the user's repository looks like before the agent runs; an earlier note is kept."""
    note = bench.directory / "checkout.json"
    if note.exists():
        return
    try:
        fingerprint = await take_fingerprint(bench.user)
    except (RingmasterError, OSError) as error:
        # Only what is named later hangs on it, not the work.
        log.warning("attempt %s: the user's repository could not be looked at: %s", bench.attempt.id, error)
        return
    await trio.to_thread.run_sync(_write_whole, note, msgspec.json.encode(fingerprint))


async def checkout_changes(bench: Bench) -> list[str]:
    """What changed in the user's repository while the agent ran, a line each; one line where it cannot be told."""
    try:
        before = msgspec.json.decode((bench.directory / "checkout.json").read_bytes(), type=Fingerprint)
    except (OSError, msgspec.MsgspecError):
        return []
    try:
        return await _changes_since(bench, before)
    except (RingmasterError, OSError) as error:
        # The agent has ended well: its work is not given up because the user's repository is away.
        return [f"whether it changed could not be told: {error}"]


async def _changes_since(bench: Bench, before: Fingerprint) -> list[str]:
    """The target and the checkouts of it are left out where landings moved it: those are the daemon's own."""
    after = await take_fingerprint(bench.user)
    target = target_ref(bench.project.target)
    was, now = before.refs.get(target), after.refs.get(target)
    if was != now and await _is_landing(bench, was, now):
        moved = {tree for tree, head in after.heads.items() if head == target}
        before = msgspec.structs.replace(
            before,
            refs={**before.refs, target: now or ""},
            files={tree: files for tree, files in before.files.items() if tree not in moved},
            indexes={tree: index for tree, index in before.indexes.items() if tree not in moved},
        )
    return describe_changes(before, after)


async def _is_landing(bench: Bench, was: str | None, now: str | None) -> bool:
    """Whether landings alone moved the target: forward, and each step a commit that the daemon made.

    By their trailers, which an agent that means harm could forge; a confused one that pushes its own commits does not.
    """
    if was is None or now is None or not await is_ancestor(bench.user.common_dir, was, now):
        return False
    listing = await run_git(
        "rev-list",
        "--first-parent",
        "--no-commit-header",
        "--format=%h %(trailers:key=Ringmaster-Attempt,key=Ringmaster-Project,separator=%x20)",
        f"{was}..{now}",
        git_dir=bench.user.common_dir,
        is_user=True,
    )
    return all("Ringmaster-" in commit for commit in listing.text.split("\n"))
