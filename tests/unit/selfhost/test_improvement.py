"""The task is computed from the tree, says the measure, and holds steps that really mend it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ringmaster.agents.recorded.reading import parse_steps
from ringmaster.selfhost import findings
from ringmaster.selfhost.improvement import PROGRAM, Measured, make_task, measure
from ringmaster.workspace.diff import ChangedFile
from ringmaster.workspace.protected import protected_changes

CHECKOUT = Path(__file__).resolve().parents[3]
SOURCE = 'def total() -> int:\n    """Sum."""\n    raise RingmasterError(ErrorKind.USAGE, "no rows at all")\n'
TREE = {"ringmaster/a.py": SOURCE, "ringmaster/b.py": SOURCE}
BASE = "a" * 40


def test_the_task_names_file_function_and_measure():
    task = make_task("ringmaster", BASE, measure(TREE), 0)
    assert "total" in task.title
    assert "ringmaster/a.py:1" in task.description
    assert "2 public functions" in task.description
    assert "Expected after: 1" in task.description
    assert any("gives 1 (before: 2)" in words for words in task.acceptance)
    assert (task.agent, task.labels) == ("scripted", ("selfhost",))


def test_the_same_tree_gives_the_same_task_until_one_has_been_filed():
    first, again = (make_task("ringmaster", BASE, measure(TREE), 0) for _ in range(2))
    assert first == again
    assert first.idempotency_key != make_task("ringmaster", BASE, measure(TREE), 1).idempotency_key
    assert first.idempotency_key != make_task("ringmaster", "b" * 40, measure(TREE), 0).idempotency_key


def test_a_clean_tree_has_no_task():
    mended = {path: finding.mend(SOURCE) for path in TREE for finding in findings.find_in(path, SOURCE)}
    assert measure(mended) == (0, None)


def test_the_scripted_agent_does_the_steps_and_commits_one_docstring(tmp_path: Path):
    for path, text in {**TREE, PROGRAM: (CHECKOUT / PROGRAM).read_text(), "README": "x\n"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    def git(*args: str) -> str:
        return subprocess.run(["git", *args], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("add", "-A")
    git("commit", "-q", "-m", "Begin")
    task = make_task("ringmaster", BASE, measure(TREE), 0, python=sys.executable)
    agent = CHECKOUT / "ringmaster" / "agents" / "scripted_program.py"
    argv = [sys.executable, "-I", "-S", str(agent)]
    done = subprocess.run(argv, cwd=tmp_path, input=task.description, capture_output=True, text=True, check=True)
    assert '"status": "succeeded"' in done.stdout
    assert "mended; 1 left" in done.stdout
    assert git("diff", "--name-only", "HEAD~1").split() == ["ringmaster/a.py"]
    assert git("log", "-1", "--format=%B").rstrip().endswith("Agent: scripted (recorded steps, no model)")


def test_no_finding_of_this_tree_touches_what_judges_it():
    found = [f for f in findings.find_all(findings.read_tree(str(CHECKOUT))) if f.is_mendable]
    changed = [ChangedFile(path=finding.path, status="M", added=3, deleted=1) for finding in found]
    assert protected_changes(changed, findings.JUDGES, ["make gate"]) == []


def test_every_mending_of_this_tree_keeps_it_parsed_and_in_the_house_style():
    sources = findings.read_tree(str(CHECKOUT))
    found = findings.find_all(sources)
    for finding in found:
        if not finding.is_mendable:
            continue
        mended = finding.mend(sources[finding.path])
        lines = mended.splitlines()
        assert len(lines) <= findings.LONGEST_FILE
        assert max(map(len, lines)) <= findings.LINE_LENGTH
        assert finding.id not in [left.id for left in findings.find_in(finding.path, mended)]
        description = make_task("p", BASE, Measured(len(found), finding), 0).description
        assert [step["do"] for step in parse_steps(description)] == ["say", "run", "edit", "run", "git", "commit"]


def test_another_agent_is_told_what_is_wanted_without_recorded_steps():
    task = make_task("ringmaster", BASE, measure(TREE), 0, agent="claude", budget_usd=1.0)
    assert "```steps" not in task.description
    assert (task.agent, task.limits.budget_usd) == ("claude", 1.0)
