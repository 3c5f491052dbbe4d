"""The one screen: what there is, what runs, what needs a person; read in one snapshot."""

from __future__ import annotations

import msgspec

from ringmaster.model.project import Project
from ringmaster.model.states import ProjectState
from ringmaster.protocol.daemon import Overview, ParkedView, PausedView, QueueCounts, RestingView
from ringmaster.protocol.queue import QueuePauseView
from ringmaster.queue.budget import used_up_budgets
from ringmaster.queue.next_step import parked_command
from ringmaster.queue.view import worker_view
from ringmaster.store import accounts, decisions, events, generations, pauses, projects, tasks, workers
from ringmaster.store.connection import Connection

SHOWN_DECISIONS = 100


def count_queue(conn: Connection) -> QueueCounts:
    """Tasks by what a person sees. Looks at indexes, never at rows one by one."""
    by_state: dict[str, int] = {row[0]: row[1] for row in conn.rows(tasks.queries.count_by_state)}
    work = tasks.count_open_work(conn)
    blocked = by_state.pop("open", 0) - work.ready - work.scheduled - work.waiting
    return QueueCounts(
        ready=work.ready,
        scheduled=work.scheduled,
        waiting=work.waiting,
        blocked=blocked,
        **{name: count for name, count in by_state.items() if name in QueueCounts.__struct_fields__},
    )


def queue_pause_view(conn: Connection) -> QueuePauseView | None:
    """The pause of the queue as a whole, while there is one."""
    found = pauses.queue_pause(conn)
    return None if found is None else QueuePauseView(**msgspec.structs.asdict(found))


def _why_parked(project: Project) -> str:
    if project.config.update_checkout == "never":
        return f"{project.target} is checked out, and the project's update_checkout is never"
    return f"{project.target} cannot be moved now: its checkout has changes or git is at work in it"


def read_overview(conn: Connection) -> Overview:
    """Everything at one moment."""
    known = projects.salvaged_projects(conn)
    return Overview(
        queue=count_queue(conn),
        workers=tuple(worker_view(conn, worker) for worker in workers.all_workers(conn)),
        decisions=tuple(decisions.salvaged_open(conn, SHOWN_DECISIONS)),
        parked=tuple(
            ParkedView(
                project_id=project.id,
                ref=f"ringmaster/landed/{project.target}",
                commit=project.parked_commit,
                reason=_why_parked(project),
                command=parked_command(project),
            )
            for project in known
            if project.parked_commit
        ),
        paused=tuple(
            PausedView(project_id=project.id, reason=project.paused_reason)
            for project in known
            if project.state is ProjectState.PAUSED
        ),
        projects=len(known),
        cursor=events.last_seq(conn),
        resting=tuple(
            RestingView(
                account=account.id,
                agent=account.agent,
                label=account.label,
                until_at=account.paused_until_at or conn.now,
                reason=account.paused_reason,
            )
            for account in accounts.paused_accounts(conn)
        ),
        last_reload=generations.last_reload(conn),
        budgets=used_up_budgets(conn),
        queue_pause=queue_pause_view(conn),
    )
