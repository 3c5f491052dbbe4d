"""Which agent, which state, which words: what is settled before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.agent import AgentList, AgentView
from ringmaster.selfhost.main import agent_line, main
from ringmaster.selfhost.preparing import find_payer, find_site, wanted_config


def test_the_default_agent_spends_nothing_and_says_why_it_was_taken():
    assert "scripted" in agent_line("")
    assert "spends nothing" in agent_line("")


def make_agent(**fields: object) -> AgentList:
    known: dict[str, object] = {
        "name": "claude",
        "kind": "claude",
        "program": "/usr/bin/claude",
        "version": "2.1",
        "account": "claude:1",
        "account_label": "dev@example.org",
        "paused_until_at": None,
        "paused_reason": "",
        "workers": 0,
    }
    return AgentList(agents=(AgentView(**(known | fields)),))  # type: ignore[arg-type]


class Answering:
    """A client whose every call has one answer."""

    def __init__(self, answer: AgentList) -> None:
        self.answer = answer

    def call(self, *args: object, **more: object) -> AgentList:
        return self.answer


def test_claude_is_taken_with_the_account_and_the_cap_named():
    words = find_payer(Answering(make_agent()))  # type: ignore[arg-type]
    assert words == "Claude Code 2.1, paid by dev@example.org, at most $1.00"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"program": ""}, "not installed"),
        ({"account": ""}, "nobody is logged in"),
        ({"paused_until_at": 1.0, "paused_reason": "the limit"}, "rests: the limit"),
    ],
)
def test_claude_without_a_payer_is_refused_and_nothing_is_spent(fields: dict[str, object], words: str):
    with pytest.raises(RingmasterError, match=words) as caught:
        find_payer(Answering(make_agent(**fields)))  # type: ignore[arg-type]
    assert caught.value.kind is ErrorKind.REFUSED
    assert "nothing was filed or spent" in caught.value.message


@pytest.mark.parametrize(("argv", "agent"), [(["bogus"], ""), ([], "bogus")])
def test_an_unknown_word_is_refused(
    argv: list[str], agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("AGENT", agent)
    assert main(argv, tmp_path) == 2
    assert "bogus" in capsys.readouterr().err


def test_a_target_makes_this_checkout_the_project_and_never_moves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    clone, own = find_site(Path("/checkout"), ""), find_site(Path("/checkout"), "main")
    assert (clone.branch, own.branch) == ("selfhost", "main")
    assert clone.repository == tmp_path / "ringmaster" / "selfhost" / "clones" / "ringmaster"
    assert own.repository == Path("/checkout")
    assert clone.project_id != own.project_id
    assert wanted_config(own)["update_checkout"] == "never"
    assert wanted_config(clone)["update_checkout"] == "clean"
    assert wanted_config(clone)["gate"] == wanted_config(own)["gate"] == "make gate"


def test_commands_of_the_daemon_are_told_so_that_they_work_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    site = find_site(Path("/checkout"), "")
    assert site.rmctl == "/checkout/bin/rmctl -s selfhost"
    assert site.in_place("see: rmctl show x") == "see: /checkout/bin/rmctl -s selfhost show x"
    assert site.in_place("see: rmctl -s selfhost show x") == "see: /checkout/bin/rmctl -s selfhost show x"
    assert site.in_place(f"see: {site.rmctl} show x") == f"see: {site.rmctl} show x"
    assert site.in_place("what this rmctl expects") == "what this rmctl expects", "words about it are no command"


def test_a_state_whose_socket_would_not_fit_is_refused_in_words(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/" + "x" * 120)
    with pytest.raises(RingmasterError, match="socket path") as caught:
        find_site(Path("/checkout"), "")
    assert caught.value.kind is ErrorKind.USAGE
