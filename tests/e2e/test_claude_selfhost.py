"""Real CLI, scripted model: `make selfhost` by Claude Code, with AGENT, with a yes on a terminal, and with nobody."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_selfhost import PLANTED, Checkout, check_live, open_checkout, value_of
from tests.fakes.house import git
from tests.fakes.model_server import ModelServer, open_model_server
from tests.fakes.model_wire import Use
from tests.fakes.real_claude import DONE, KEY, RETRIES, URL, agent_table, bash

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
OLD = '    """Find nothing under a name."""'
NEW = '''    """Find nothing under a name.

    Raises:
        RingmasterError: NOT_FOUND, always.
    """'''


PROBATION = "\n[self]\nprobation_s = 0.3\n"
QUESTION = "[y/N] "
LOGIN = '{"oauthAccount": {"accountUuid": "u", "emailAddress": "dev@example.org"}}'


@contextmanager
def open_scripted(program: Path) -> Iterator[tuple[ModelServer, Checkout]]:
    """A checkout whose daemon finds Claude Code and a key, and the model that mends what is planted in it."""
    with open_model_server() as model, open_checkout() as checkout:
        config = checkout.home / ".config" / "ringmaster" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(agent_table("claude", program, URL, RETRIES, key_env=KEY) + PROBATION)
        edit = Use("Edit", {"file_path": PLANTED, "old_string": OLD, "new_string": NEW})
        model.script("", Use("Read", {"file_path": PLANTED}), edit, bash("git diff --stat"), DONE)
        checkout.environ |= {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "k", "CLAUDE_CODE_MAX_RETRIES": "0"}
        yield model, checkout


def on_terminal(checkout: Checkout, answer: str) -> tuple[int, str]:
    """Run it on a terminal of its own, where the question is answered; the exit status and all that was shown."""
    ours, theirs = pty.openpty()
    environ = {**checkout.environ, "TERM": "xterm"}
    program = checkout.path / "bin" / "selfhost"
    with subprocess.Popen([program], env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown, is_answered = b"", False
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # a terminal that nobody holds any more
                break
            shown += part
            if not is_answered and QUESTION.encode() in shown:
                is_answered = True
                os.write(ours, answer.encode())
        os.close(ours)
        code = process.wait(30)
    # As it would lie in a file: no colours, and no line that the next one was written over.
    return code, re.sub(r"\r|\x1b\[[0-9;]*[mK]", "", shown.decode())


def check_landed_by_claude(checkout: Checkout, out: str) -> None:
    commit = git("rev-parse", "selfhost", cwd=checkout.clone)
    assert NEW in git("show", f"{commit}:{PLANTED}", cwd=checkout.clone), out
    assert git("log", "-1", "--format=%B", f"{commit}^2", cwd=checkout.clone).endswith("Agent: Claude Code")
    check_live(checkout, out, 2, commit)
    assert "$0.0" in checkout.rmctl("cost")


def test_claude_improves_the_tree_and_the_account_and_the_cap_are_named_first(claude_program: Path):
    with open_scripted(claude_program) as (_, checkout):
        ended = checkout(AGENT="claude")
        assert ended.code == 0, ended
        pays = value_of(ended.out, "pays")
        assert pays == "Claude Code 2.1.197, paid by the key in ANTHROPIC_API_KEY, at most $1.00"
        assert ended.out.index("at most $1.00") < ended.out.index("task ")
        check_landed_by_claude(checkout, ended.out)


def test_a_yes_on_the_terminal_lets_claude_do_it(claude_program: Path):
    with open_scripted(claude_program) as (_, checkout):
        code, out = on_terminal(checkout, "y\n")
        assert code == 0, out
        assert out.count(QUESTION) == 1
        assert "Claude Code 2.1.197, paid by the key in ANTHROPIC_API_KEY, at most $1.00: shall it" in out
        assert value_of(out, "agent") == "claude: as you answered"
        check_landed_by_claude(checkout, out)


def test_without_a_terminal_a_login_alone_spends_nothing(claude_program: Path):
    with open_scripted(claude_program) as (model, checkout):
        ended = checkout()
        assert ended.code == 0, ended
        assert value_of(ended.out, "agent").startswith("scripted: no terminal to ask on; ")
        assert model.served == []


def test_an_empty_answer_to_the_question_about_the_own_login_spends_nothing():
    with open_checkout() as checkout:
        programs = checkout.root / "programs"
        programs.mkdir()
        (programs / "claude").write_text("#!/bin/sh\necho '2.1.9 (Claude Code)'\n")
        (programs / "claude").chmod(0o755)
        (checkout.home / ".claude").mkdir()
        (checkout.home / ".claude" / ".credentials.json").write_text("{}")
        (checkout.home / ".claude.json").write_text(LOGIN)
        checkout.environ["PATH"] = f"{programs}:{checkout.environ['PATH']}"
        checkout.settle_soon()
        code, out = on_terminal(checkout, "\n")
        assert code == 0, out
        assert "Claude Code 2.1.9, paid by dev@example.org, at most $1.00: shall it do the task?" in out
        assert value_of(out, "agent").startswith("scripted: as you answered; ")
        body = git("log", "-1", "--format=%B", "selfhost^2", cwd=checkout.clone).rstrip()
        assert body.endswith("Agent: scripted (recorded steps, no model)")


def test_without_anybody_who_pays_nothing_is_filed_or_spent():
    with open_checkout() as checkout:
        ended = checkout(AGENT="claude")
        assert ended.code == 6, ended
        assert "so nothing was filed or spent" in ended.err
        assert ended.err.count("\n") == 1
        assert checkout.tasks() == []
