"""`rmctl pull|prompt|heartbeat|report|ask|prime`: for agents, and for tasks that are worked on by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from ringmaster.cli import clock, terminal
from ringmaster.cli.command import top
from ringmaster.cli.holder import find_holder
from ringmaster.cli.inputs import duration_option, read_text, split_words
from ringmaster.cli.output import Column, Row
from ringmaster.cli.page import Page
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError

if TYPE_CHECKING:
    from ringmaster.model.asking import Urgency
    from ringmaster.protocol.attempt import AttemptPullParams

F = TypeVar("F", bound=Callable[..., Any])
Status = Literal["succeeded", "failed", "needs_decision", "interrupted"]

OUTCOMES: dict[str, Status] = {
    "complete": "succeeded",
    "succeeded": "succeeded",
    "failed": "failed",
    "needs_decision": "needs_decision",
    "interrupted": "interrupted",
}
"""What may be claimed, by the words people use. The others of the outcome table are the daemon's findings."""
PULLED = ("task", "attempt", "token", "workspace", "branch", "lease_s", "worker", "title")


def who(function: F) -> F:
    """The options that say who one is, where the environment and the workspace do not."""
    token = click.option("--token", default="", metavar="TOKEN", help="Its token. [RM_TOKEN, or the workspace's file]")
    return click.option("-a", "--attempt", "attempt_id", default="", metavar="TASK/N", help="Which attempt.")(
        token(function)
    )


@top("pull", help="Take the next task to work on it by hand. Its workspace is ready when this answers.")
@click.option("-w", "--worker", "worker_id", default="", metavar="NAME", help="The seat; made when there is none.")
@click.option("--wait", "is_waiting", is_flag=True, help="Wait until there is a task.")
@duration_option("--lease", "lease_s", "How long you may be silent before it is given to another. [30m]")
@click.option("--json", "is_json", is_flag=True, help="As -o json.")
def pull(session: Session, worker_id: str, is_waiting: bool, lease_s: float | None, is_json: bool) -> None:
    """Pull a task."""
    from ringmaster.protocol.attempt import AttemptPullParams

    if is_json:
        session.output.kind = "json"
    params = AttemptPullParams(worker=worker_id, lease_s=lease_s, idempotency_key=session.new_key())
    pulled = pull_task(session, params, is_waiting=is_waiting)
    row = {name: pulled[name] for name in PULLED}
    session.output.item(row, lambda: layout(session, row), id_of="attempt")


def pull_task(session: Session, params: AttemptPullParams, *, is_waiting: bool) -> Row:
    """What `attempt.pull` answers. is_waiting: when there is nothing, wait for something, for at most `--timeout`.

    Raises:
        RingmasterError: NOTHING_TO_CLAIM; TIMED_OUT; WRONG_STATE once the worker is stopped.
    """
    import msgspec

    deadline = session.deadline()
    while True:
        try:
            found: Row = session.call("attempt.pull", params, is_unbounded=True)
            return found
        except RingmasterError as error:
            if error.kind is not ErrorKind.NOTHING_TO_CLAIM or not is_waiting:
                raise
        wait_until_ready(session, params.worker, deadline.left_s())
        # Under its old key the pull would be answered as before.
        params = msgspec.structs.replace(params, idempotency_key=session.new_key())


def wait_until_ready(session: Session, worker_id: str, timeout_s: float | None) -> None:
    """Wait until a pull may find a task. Raises TIMED_OUT; REFUSED once the worker is stopped."""
    from ringmaster.protocol.worker import WorkerWaitParams

    waited = session.call("worker.wait", WorkerWaitParams(id=worker_id, timeout_s=timeout_s), is_unbounded=True)
    if waited["state"] == "stopped":
        raise RingmasterError(
            ErrorKind.REFUSED, f"worker {worker_id} is stopped", session.command(f"worker start {worker_id}")
        )
    if not waited["is_ready"]:
        raise RingmasterError(ErrorKind.TIMED_OUT, "no task came in time", session.command("task ready"))


def layout(session: Session, row: Row) -> str:
    """What was pulled, for people: without the token, which the workspace knows."""
    page = Page(session.output)
    page.title(row["attempt"], "running", row["title"])
    page.fact("worker", row["worker"])
    page.fact("workspace", row["workspace"])
    page.fact("branch", row["branch"])
    page.fact("lease", f"{clock.duration(row['lease_s'])}; each rmctl heartbeat begins it anew")
    page.fact("next", f"cd {row['workspace']} && rmctl prompt")
    return page.done()


@top("prompt", help="What is to be done, for the attempt whose workspace this is.")
@who
def prompt(session: Session, attempt_id: str, token: str) -> None:
    """Print the prompt."""
    from ringmaster.protocol.attempt import AttemptTokenParams

    holder = find_holder(session, attempt_id, token)
    found = session.call("attempt.prompt", AttemptTokenParams(attempt_id=holder.attempt_id, token=holder.token))
    session.output.item(found, lambda: terminal.harmless(found["prompt"]), id_of="attempt_id")


@top("heartbeat", help="Say that you are still at it: the lease begins anew.")
@who
def heartbeat(session: Session, attempt_id: str, token: str) -> None:
    """Renew the lease."""
    from ringmaster.protocol.attempt import AttemptHeartbeatParams

    holder = find_holder(session, attempt_id, token)
    params = AttemptHeartbeatParams(attempt_id=holder.attempt_id, token=holder.token, idempotency_key=session.new_key())
    found = session.call("attempt.heartbeat", params)
    shape = (Column("ATTEMPT", "attempt_id"), Column("LEASE", "lease_s"))
    note = f"yours for another {clock.duration(found['lease_s'])}"
    session.output.changed(found, shape, id_of="attempt_id", note=note)


@top("report", help="Hand your work in: the daemon tests and lands it. The first report counts.")
@click.option("-m", "--message", default="", metavar="WORDS", help="What was done, or why not; - is stdin.")
@click.option("--outcome", type=click.Choice(tuple(OUTCOMES)), default="complete", help="What you claim. [complete]")
@who
def report(session: Session, message: str, outcome: str, attempt_id: str, token: str) -> None:
    """Report an attempt."""
    from ringmaster.protocol.attempt import AttemptReportParams

    holder = find_holder(session, attempt_id, token)
    params = AttemptReportParams(
        attempt_id=holder.attempt_id,
        token=holder.token,
        status=OUTCOMES[outcome],
        summary=read_text(message, None).strip(),
        idempotency_key=session.new_key(),
    )
    found = session.call("attempt.report", params)
    task_id = holder.attempt_id.rpartition("/")[0]
    note = "noted; end now" if not found["is_final"] else f"handed in; see: {session.command(f'task show {task_id}')}"
    session.output.changed(found, (Column("ATTEMPT", "attempt_id"),), id_of="attempt_id", note=note)


@top("ask", help="Ask a person. The answer is in the prompt of the next attempt.")
@click.argument("question", metavar="QUESTION…", nargs=-1, required=True)
@click.option("--option", "options", multiple=True, metavar="WORD", help="An answer they may choose; repeatable.")
@click.option("--recommend", "recommendation", default="", metavar="WORD", help="Which of them you would take.")
@click.option("--urgency", type=click.Choice(("low", "normal", "high")), default="normal", help="How urgent. [normal]")
@click.option("--default", "default_answer", default="", metavar="WORD", help="The option taken if nobody answers.")
@duration_option("--after", "default_after_s", "When the default is taken, from now; 1m at least.")
@click.option("-m", "--message", "detail", default="", metavar="WORDS", help="What they should know; - is stdin.")
@who
def ask(
    session: Session,
    question: tuple[str, ...],
    options: tuple[str, ...],
    recommendation: str,
    urgency: Urgency,
    default_answer: str,
    default_after_s: float | None,
    detail: str,
    attempt_id: str,
    token: str,
) -> None:
    """Open a decision."""
    from ringmaster.protocol.attempt import AttemptAskParams

    if not " ".join(question).strip():
        raise RingmasterError(ErrorKind.USAGE, "the question is empty", session.command("ask QUESTION"))
    holder = find_holder(session, attempt_id, token)
    params = AttemptAskParams(
        attempt_id=holder.attempt_id,
        token=holder.token,
        question=" ".join(question).strip(),
        detail=read_text(detail, None).strip(),
        options=split_words(options),
        recommendation=recommendation.strip(),
        urgency=urgency,
        default_answer=default_answer.strip(),
        default_after_s=default_after_s,
        idempotency_key=session.new_key(),
    )
    found = session.call("attempt.ask", params)
    session.output.changed(
        found,
        (Column("DECISION", "decision_id"),),
        id_of="decision_id",
        note="asked; end now: rmctl report --outcome needs_decision",
    )


@top("prime", help="The words an agent needs to report, ask and stay alive; for its instructions.")
def prime(session: Session) -> None:
    """Print how to end. Asks no daemon."""
    from ringmaster.model.ending import DEFAULT_LEASE_S, how_to_end

    # Below a shim the end of the process is the report.
    is_started = "RM_PROMPT_FILE" in session.environ
    session.output.text(how_to_end(lease_s=0.0 if is_started else DEFAULT_LEASE_S) + "\n")
