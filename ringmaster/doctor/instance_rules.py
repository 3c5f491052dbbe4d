"""From what the daemon knows of itself, its agents and what it keeps to findings. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ringmaster.doctor.facts import AgentFacts, KeeperFacts, LeftoverFacts, PageFacts, ProjectFacts
from ringmaster.doctor.words import duration, size
from ringmaster.protocol.database import DatabaseFacts
from ringmaster.protocol.doctor import Finding

INSTALL = {"claude": "npm install -g @anthropic-ai/claude-code", "codex": "npm install -g @openai/codex"}
LOGIN = {"claude": "claude /login", "codex": "codex login"}
SHOWN = 3
"""Things of one kind that are named on a line; the others are counted."""
NAMED = 10
"""Lines about things of one kind."""


def how_to_install(kind: str, program: str) -> str:
    """The command that brings an agent's program where the daemon finds it."""
    return INSTALL.get(kind, f"put {program} on PATH, then: rmctl daemon restart")


def how_to_log_in(kind: str, program: str, key_env: str) -> str:
    """The command that gives an agent an account. key_env: the variable that the settings name for its key."""
    if key_env:
        return f"export {key_env}=… && rmctl daemon restart"
    return LOGIN.get(kind, f"log in with {program}")


def judge_agent(agent: AgentFacts, now: float) -> Finding | None:
    """Whether an agent can work; None for one that nobody has and nobody missed."""
    seats = {0: "no seat has it", 1: "1 seat has it"}.get(agent.seats, f"{agent.seats} seats have it")
    check = f"agent {agent.name}"
    if agent.wanted and not agent.program:
        if not agent.seats and not agent.is_named:
            return None
        return Finding(
            check=check,
            level="error" if agent.seats else "warning",
            words=f"{agent.wanted} is not on the daemon's PATH; {seats}",
            mend=how_to_install(agent.kind, agent.wanted),
        )
    version = f" {agent.version}" if agent.version else ""
    if agent.needs_login and not agent.account:
        return Finding(
            check=check,
            level="error" if agent.seats else "ok",
            words=f"{agent.program}{version} has no login; {seats}",
            mend=how_to_log_in(agent.kind, agent.wanted, agent.key_env),
        )
    if agent.rests_until_at is not None and agent.rests_until_at > now:
        left = duration(agent.rests_until_at - now)
        return Finding(
            check=check,
            level="warning",
            words=f"its account ({agent.account}) rests for {left}: {agent.rests_because}; {seats}",
            mend=f"rmctl agent test {shlex.quote(agent.name)}",
        )
    pays = f", paid by {agent.account}" if agent.account else ""
    what = f"{agent.program}{version}{pays}" if agent.program else "each seat names its own program"
    return Finding(check=check, level="ok", words=f"{what}; {seats}")


def no_agent() -> Finding:
    """For a daemon that finds no agent at all, and no seat that has one."""
    words = "no agent is installed that is known by name, and no seat has another"
    return Finding(check="agents", level="warning", words=words, mend=INSTALL["claude"])


def judge_keeper(keeper: KeeperFacts) -> tuple[Finding, ...]:
    """Whether the daemon is well, and whether somebody starts it again."""
    found = []
    if keeper.state == "estop":
        found.append(
            Finding(
                check="state", level="warning", words="ESTOP is there: nothing is begun", mend="rmctl estop --clear"
            )
        )
    elif keeper.state == "degraded":
        found.append(Finding(check="state", level="error", words=keeper.words, mend="rmctl gc"))
    if keeper.is_kept:
        words = f"{keeper.unit} starts the daemon again" if keeper.unit else "a keeper starts the daemon again"
        found.append(Finding(check="keeper", level="ok", words=words))
    else:
        words = "nobody starts the daemon again after a crash"
        found.append(Finding(check="keeper", level="warning", words=words, mend="rmctl daemon start", is_safe=True))
    return tuple(found)


def judge_database(database: DatabaseFacts) -> Finding:
    """Whether the database is whole, and one that this version can use."""
    if database.min_code_schema > database.known_schema:
        return Finding(
            check="database",
            level="error",
            words=f"{database.path} was written by newer code: it needs schema {database.min_code_schema},"
            f" this one knows {database.known_schema}",
            mend="use the newer version, or put a copy from before it (ringmaster.db.before-*) in its place",
        )
    if database.problems:
        return Finding(
            check="database",
            level="error",
            words=f"{database.path} is damaged, a backup must take its place: {database.problems[0]}",
            mend="rmctl db check",
        )
    words = f"whole, schema {database.schema} of {database.known_schema}, {size(database.bytes)}"
    return Finding(check="database", level="ok", words=words)


def judge_projects(projects: Sequence[ProjectFacts]) -> tuple[Finding, ...]:
    """Whether repositories are where they were, and sandboxes can be made."""
    found = []
    for project in projects:
        name = shlex.quote(project.id)
        check = f"project {project.id}"
        if not project.is_there:
            words = f"its repository {project.path} is gone: nothing of it can land"
            mend = f"put it back, or: rmctl project remove {name}"
            found.append(Finding(check=check, level="error", words=words, mend=mend))
        elif project.is_sandboxed and not project.has_sandbox_program:
            words = "it asks for a sandbox, and bwrap is not on the daemon's PATH: its agents cannot start"
            found.append(Finding(check=check, level="error", words=words, mend="sudo apt install bubblewrap"))
    count = "1 repository is" if len(projects) == 1 else f"{len(projects)} repositories are"
    words = f"{count} in place" if projects else "none yet: rmctl project add PATH"
    return tuple(found) or (Finding(check="projects", level="ok", words=words),)


def judge_leftovers(leftovers: LeftoverFacts) -> tuple[Finding, ...]:
    """What lies about that nobody needs, or that belongs to nobody."""
    found = []
    if leftovers.due:
        words = f"{_some(leftovers.due)}: past their time, {size(leftovers.due_bytes)}"
        found.append(Finding(check="leftovers", level="ok", words=words, mend="rmctl gc", is_safe=True))
    if leftovers.stale:
        words = f"{_some(leftovers.stale)}: what a kill cut short"
        mend = f"rm -r {' '.join(map(shlex.quote, leftovers.stale))}"
        found.append(Finding(check="leftovers", level="warning", words=words, mend=mend, is_safe=True))
    if leftovers.unknown:
        words = f"the kept work of {_some(leftovers.unknown)}, which no task here knows; it goes when its time is over"
        found.append(Finding(check="leftovers", level="ok", words=words, mend="rmctl gc"))
    for job in leftovers.running[:NAMED]:
        words = f"a job of {job.attempt_id} still runs, though the attempt has ended"
        mend = f"kill {job.pid}" if job.pid else "rmctl daemon restart"
        found.append(Finding(check="leftovers", level="warning", words=words, mend=mend))
    for names in (leftovers.unowned, leftovers.kept):
        if len(names) > NAMED:
            words = f"{len(names)} of these, the first {NAMED} follow"
            found.append(Finding(check="leftovers", level="warning", words=words, mend="rmctl gc --dry-run"))
    found += [
        Finding(
            check="leftovers",
            level="warning",
            words=f"{path} belongs to no project or task; it may hold work",
            mend=f"ls -la {shlex.quote(path)}   # look, then remove it by hand",
        )
        for path in leftovers.unowned[:NAMED]
    ]
    found += [
        Finding(check="leftovers", level="warning", words=words, mend="rmctl gc --dry-run   # after you looked")
        for words in leftovers.kept[:NAMED]
    ]
    return tuple(found) or (Finding(check="leftovers", level="ok", words="none"),)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def judge_page(page: PageFacts) -> Finding:
    """Whether the page is served as it is wanted, and whose processes its clients are is known."""
    if not page.is_enabled:
        return Finding(check="page", level="ok", words="none is wanted: is_enabled of [stream] is false")
    if not page.url:
        return Finding(
            check="page", level="warning", words=f"there is none: {page.why_not}", mend="rmctl daemon restart"
        )
    if page.why_not:
        words = f"at {page.url}, and not where [stream] says: {page.why_not}"
        return Finding(check="page", level="warning", words=words, mend="rmctl config show")
    if page.unseen:
        words = f"at {page.url}; of a client {page.unseen}: an agent that has read the token may pass for a person"
        return Finding(check="page", level="warning", words=words, mend="sudo mount -o remount,hidepid=0 /proc")
    return Finding(check="page", level="ok", words=f"at {page.url}")
