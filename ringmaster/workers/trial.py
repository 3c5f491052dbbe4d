"""One tiny real run of an agent, outside of any task: whether it is installed, logged in and answering."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import trio

from ringmaster.agents.base import Agent, AgentContext, AgentEnd, AgentReport
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.model.states import TaskState
from ringmaster.model.task import Limits, Task
from ringmaster.output.reports import shown_report
from ringmaster.redaction.redactor import Redactor
from ringmaster.workers.surroundings import Surroundings
from ringmaster.workspace.environment import build_environment

PROMPT = "This is a test of the connection. Use no tool. Answer with the one word: ready\n"
GRACE_S = 2.0


class Trial(msgspec.Struct, frozen=True):
    """How the run went. problem: why it could not run or did not end by itself, else ''."""

    report: AgentReport
    end: AgentEnd
    problem: str
    took_s: float


async def try_agent(sur: Surroundings, agent: Agent, limit_s: float) -> Trial:
    """Run the agent on a one-word prompt in an empty directory of the state.

    At `limit_s`, or when this is cancelled, its process group is ended. Raises RingmasterError when its command line
    cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix="trial-", dir=sur.paths.state) as name:
        place = Path(name)
        prompt = place / "prompt.md"
        workspace = place / "workspace"
        workspace.mkdir()
        prompt.write_text(PROMPT)
        ctx = AgentContext(
            task=_task(),
            attempt_id="trial/1",
            number=1,
            workspace=workspace,
            prompt_file=prompt,
            socket=sur.paths.socket,
            token="",
            command=(),
            model="",
            settings=sur.settings,
            session_id=agent.new_session_id(sur.rng),
            permissions="edit",
            agent_home=place / "home",
            environ=os.environ,
        )
        return await _run(agent, ctx, place, limit_s)


async def _run(agent: Agent, ctx: AgentContext, place: Path, limit_s: float) -> Trial:
    made = agent.command(ctx)
    # A program that is not there writes nowhere, and would leave its directory in the home of whoever tried it.
    wanted = made.directories if shutil.which(made.argv[0]) is not None else ()
    for directory in (ctx.agent_home, *wanted):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    named = {name: os.environ[name] for name in made.env_names if name in os.environ}
    env = build_environment(os.environ, ctx.agent_home, place / "caches", extra={**named, **made.env})
    began = trio.current_time()
    end, problem = AgentEnd(reason="exited"), ""
    with _open_streams(ctx.prompt_file, place) as (stdin, out, err):
        try:
            with trio.move_on_after(limit_s) as scope:
                done = await trio.run_process(
                    made.argv,
                    cwd=ctx.workspace,
                    env=env,
                    stdin=stdin,
                    stdout=out,
                    stderr=err,
                    check=False,
                    start_new_session=True,
                    deliver_cancel=_end_group,
                )
                end = AgentEnd(reason="exited", code=done.returncode)
            if scope.cancelled_caught:
                end, problem = AgentEnd(reason="wall_clock"), f"it did not answer in {limit_s:g} s"
        except FileNotFoundError:
            problem = f"{made.argv[0]} is not in the daemon's PATH"
        except OSError as error:
            problem = f"{made.argv[0]} cannot be started: {error.strerror}"
    report = await trio.to_thread.run_sync(agent.read_report, end, place / "out", place / "err", "")
    report = shown_report(report, Redactor(named.values()))
    return Trial(report, end, problem, trio.current_time() - began)


@contextlib.contextmanager
def _open_streams(prompt: Path, place: Path) -> Iterator[tuple[BinaryIO, BinaryIO, BinaryIO]]:
    with open(prompt, "rb") as stdin, open(place / "out", "wb") as out, open(place / "err", "wb") as err:
        yield stdin, out, err


async def _end_group(process: trio.Process) -> None:
    """Its tools may have processes of their own in the group; those that left it end with its pipes."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + GRACE_S):
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)


def _task() -> Task:
    return Task(
        id="trial",
        project_id="",
        title="trial",
        description="",
        priority=2,
        labels=(),
        acceptance=(),
        capabilities=(),
        agent="",
        model="",
        limits=Limits(),
        max_attempts=1,
        is_diff_needed=False,
        state=TaskState.RUNNING,
        open_blockers=0,
        not_before_at=None,
        attempt_number=1,
        counted_attempts=0,
        streak=0,
        done_by="",
        landed_commit="",
        version=1,
        created_at=0.0,
        updated_at=0.0,
    )


def version_of(program: str) -> str:
    """What `program --version` says in its first line; '' when it says nothing in time. Blocking."""
    try:
        done = subprocess.run(
            (program, "--version"), stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
    return lines[0][:80] if lines and done.returncode == 0 else ""


def refuse_programs(agent: Agent) -> None:
    """Raises USAGE for an agent without a conversation to try: a scripted or a bare command."""
    if not agent.is_resumable:
        raise RingmasterError(
            ErrorKind.USAGE,
            f"agent {agent.name} is a program and has no model to try",
            "rmctl agent list shows whether it is installed",
        )
