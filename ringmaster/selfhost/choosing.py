"""Which agent does the self-host, and who pays: nothing is spent that a person has not agreed to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ringmaster.client import Client
from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.agent import AgentList, AgentView

CLAUDE_BUDGET_USD = 1.0
FREE = "recorded steps, no model, spends nothing"
GIVEN = {
    "scripted": f"scripted: as AGENT says; {FREE}",
    "claude": "claude: as AGENT says",
}


class Choice(NamedTuple):
    """The agent, and the line that says why it is that one."""

    agent: str
    words: str


class Payer(NamedTuple):
    """Claude Code as the daemon finds it. problem: why it cannot be had, '' when it can; then words say who pays."""

    words: str
    problem: str


def check_agent(given: str) -> None:
    """Refuse a value of AGENT that means nothing.

    Raises:
        RingmasterError: USAGE for an unknown name.
    """
    if given and given not in GIVEN:
        raise RingmasterError(ErrorKind.USAGE, f"no agent {given!r} for a self-host", "make selfhost AGENT=scripted")


def choose_agent(given: str, client: Client, ask: Callable[[str], str] | None) -> Choice:
    """The agent: as given, else Claude Code where somebody at the terminal says yes to its account and cap.

    ask: puts a question and returns the answer; None where there is no terminal.
    Raises RingmasterError: what the daemon refused.
    """
    if given:
        return Choice(given, GIVEN[given])
    if ask is None:
        return Choice("scripted", f"scripted: no terminal to ask on; {FREE} (AGENT=claude takes Claude Code)")
    payer = find_payer(client)
    if payer.problem:
        return Choice("scripted", f"scripted: {payer.problem}; {FREE}")
    answer = ask(f"{payer.words}: shall it do the task? Otherwise the scripted agent does, which is free. [y/N] ")
    if answer.strip().lower() in ("y", "yes"):
        return Choice("claude", "claude: as you answered")
    return Choice("scripted", f"scripted: as you answered; {FREE}")


def find_payer(client: Client) -> Payer:
    """Who pays for Claude Code, and up to what, as the daemon would start it."""
    agents = client.call("agent.list", None, AgentList, is_repeatable=True).agents
    claude = next(view for view in agents if view.name == "claude")
    version = claude.version.partition(" (")[0]
    cap = f"at most ${CLAUDE_BUDGET_USD:.2f}"
    return Payer(f"Claude Code {version}, paid by {claude.account_label}, {cap}", _problem_of(claude))


def _problem_of(claude: AgentView) -> str:
    if not claude.program:
        return "Claude Code is not installed where the daemon looks"
    if not claude.account:
        return "nobody is logged in to Claude Code, and settings name no key"
    if claude.paused_until_at is not None:
        return f"the account of Claude Code rests: {claude.paused_reason}"
    return ""


def payer_words(client: Client) -> str:
    """Who pays, for a self-host that Claude Code is to do.

    Raises:
        RingmasterError: REFUSED when it is not installed, nobody is logged in, or its account rests.
    """
    payer = find_payer(client)
    if payer.problem:
        raise RingmasterError(
            ErrorKind.REFUSED,
            f"{payer.problem}, so nothing was filed or spent",
            "rmctl agent list; without it: make selfhost",
        )
    return payer.words
