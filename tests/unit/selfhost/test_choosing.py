"""Which agent works: only a yes to the account and the cap, or AGENT, lets anything be spent."""

from __future__ import annotations

from typing import Any

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.agent import AgentList, AgentView
from ringmaster.selfhost.choosing import choose_agent, payer_words


def make_client(**fields: Any) -> Any:
    """A client whose every call is answered with the one agent that there is."""
    known: dict[str, Any] = {
        "name": "claude",
        "kind": "claude",
        "program": "/usr/bin/claude",
        "version": "2.1 (Claude Code)",
        "account": "claude:1",
        "account_label": "dev@example.org",
        "paused_until_at": None,
        "paused_reason": "",
        "workers": 0,
    }

    class Answering:
        def call(self, *args: object, **more: object) -> AgentList:
            return AgentList(agents=(AgentView(**(known | fields)),))

    return Answering()


PROBLEMS: list[tuple[dict[str, Any], str]] = [
    ({"program": ""}, "not installed"),
    ({"account": ""}, "nobody is logged in"),
    ({"paused_until_at": 1.0, "paused_reason": "the limit"}, "rests: the limit"),
]


def never(question: str) -> str:
    raise AssertionError(question)


def test_without_a_terminal_nobody_is_asked_and_nothing_is_spent() -> None:
    chosen = choose_agent("", make_client(), None)
    assert chosen.agent == "scripted"
    assert "no terminal" in chosen.words
    assert "spends nothing" in chosen.words


@pytest.mark.parametrize(
    ("answer", "agent"),
    [("y\n", "claude"), ("YES\n", "claude"), ("\n", "scripted"), ("", "scripted"), ("no\n", "scripted")],
)
def test_a_terminal_is_asked_once_with_account_and_cap_and_the_default_is_no(answer: str, agent: str) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return answer

    chosen = choose_agent("", make_client(), ask)
    assert chosen.agent == agent
    assert "as you answered" in chosen.words
    [question] = asked
    assert question.startswith("Claude Code 2.1, paid by dev@example.org, at most $1.00: ")
    assert question.endswith("[y/N] ")


@pytest.mark.parametrize(("fields", "words"), PROBLEMS)
def test_nobody_is_asked_where_nobody_could_pay(fields: dict[str, Any], words: str) -> None:
    chosen = choose_agent("", make_client(**fields), never)
    assert chosen.agent == "scripted"
    assert words in chosen.words


@pytest.mark.parametrize("given", ["scripted", "claude"])
def test_what_agent_says_is_not_asked_about(given: str) -> None:
    assert choose_agent(given, make_client(), never).agent == given


@pytest.mark.parametrize(("fields", "words"), PROBLEMS)
def test_claude_without_a_payer_is_refused_and_nothing_is_spent(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(RingmasterError, match=words) as caught:
        payer_words(make_client(**fields))
    assert caught.value.kind is ErrorKind.REFUSED
    assert "nothing was filed or spent" in caught.value.message
