"""Real CLI, scripted model: `make selfhost AGENT=claude`, with somebody who pays and with nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.test_selfhost import PLANTED, open_checkout, value_of
from tests.fakes.house import git
from tests.fakes.model_server import open_model_server
from tests.fakes.model_wire import Use
from tests.fakes.real_claude import CONFIG, DONE, bash

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
OLD = '    """Find nothing under a name."""'
NEW = '''    """Find nothing under a name.

    Raises:
        RingmasterError: NOT_FOUND, always.
    """'''


def test_claude_improves_the_tree_and_the_account_and_the_cap_are_named_first(claude_program: Path):
    with open_model_server() as model, open_checkout() as checkout:
        config = checkout.home / ".config" / "ringmaster" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text(CONFIG.format(program=claude_program))
        edit = Use("Edit", {"file_path": PLANTED, "old_string": OLD, "new_string": NEW})
        model.script("", Use("Read", {"file_path": PLANTED}), edit, bash("git diff --stat"), DONE)
        checkout.environ |= {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "k", "CLAUDE_CODE_MAX_RETRIES": "0"}
        ended = checkout(AGENT="claude")
        assert ended.code == 0, ended
        pays = value_of(ended.out, "pays")
        assert pays == "Claude Code 2.1.197, paid by the key in ANTHROPIC_API_KEY, at most $1.00"
        assert ended.out.index("at most $1.00") < ended.out.index("task ")
        commit = git("rev-parse", "selfhost", cwd=checkout.clone)
        assert NEW in git("show", f"{commit}:{PLANTED}", cwd=checkout.clone)
        assert git("log", "-1", "--format=%B", f"{commit}^2", cwd=checkout.clone).endswith("Agent: Claude Code")
        assert "$0.0" in checkout.rmctl("cost")


def test_without_anybody_who_pays_nothing_is_filed_or_spent():
    with open_checkout() as checkout:
        ended = checkout(AGENT="claude")
        assert ended.code == 6, ended
        assert "so nothing was filed or spent" in ended.err
        assert ended.err.count("\n") == 1
        assert checkout.tasks() == []
