"""Steps that talk: to the log, to the daemon, to a person."""

from __future__ import annotations

import json
import os

from ringmaster.agents.recorded.script import Ended, Script, StepObject, show, text_of

TYPE_CHECKING = False  # the real one costs milliseconds of every start
if TYPE_CHECKING:
    from typing import Any

RPC_LIMIT_S = 30.0


def do_say(script: Script, step: StepObject) -> None:
    """Its text is in the `step` line already."""


def do_env(script: Script, step: StepObject) -> None:
    names = step.get("names", ())
    show(script, "\n".join(f"{name}={os.environ.get(name, '')}" for name in names))


def call_daemon(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """One JSON-RPC call, one line each way. OSError when the daemon cannot be reached."""
    import socket

    own = {"attempt_id": os.environ.get("RM_ATTEMPT", ""), "token": os.environ.get("RM_TOKEN", "")}
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": own | params}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(RPC_LIMIT_S)
        connection.connect(os.environ.get("RMCTL_SOCKET", ""))
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as replies:
            reply = json.loads(replies.readline() or b'{"error": {"message": "the connection was closed"}}')
    return dict(reply)


def call_in_words(script: Script, method: str, params: dict[str, Any]) -> None:
    """Call and show the answer. A daemon that is away is no failure: the result line says the same."""
    try:
        reply = call_daemon(method, params)
    except (OSError, ValueError) as error:
        show(script, f"{method}: the daemon did not answer: {error}")
        return
    if "error" in reply:
        show(script, f"{method}: refused: {reply['error'].get('message', '')}")
    else:
        show(script, f"{method}: {json.dumps(reply.get('result'))}")


ADVICE = ("recommendation", "urgency", "default_answer", "default_after_s")
"""What a step may say besides about its question."""


def do_ask(script: Script, step: StepObject) -> None:
    """Ask a person and end, unless the prompt holds the answer."""
    question = text_of(step, "question")
    answer = script.answer_to(question)
    if answer is not None:
        show(script, f"answered: {answer}")
        return
    fields = {"question": question, "detail": text_of(step, "detail", ""), "options": step.get("options", [])}
    advice = {name: step[name] for name in ADVICE if name in step}
    key = f"{os.environ.get('RM_ATTEMPT', '')}:ask:{script.number}"
    call_in_words(script, "attempt.ask", {"idempotency_key": key, **fields, **advice})
    raise Ended("needs_decision", question, **fields)


def do_report(script: Script, step: StepObject) -> None:
    fields = {"status": text_of(step, "status"), "summary": text_of(step, "summary", "")}
    key = f"{os.environ.get('RM_ATTEMPT', '')}:report:{script.number}"
    call_in_words(script, "attempt.report", {"idempotency_key": key, **fields})
