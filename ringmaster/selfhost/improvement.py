"""The self-host task: one measured finding of the tree, with the recorded steps that mend it."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Mapping
from typing import NamedTuple

from ringmaster.model.task import Limits
from ringmaster.protocol.task import TaskAddParams
from ringmaster.selfhost.findings import Finding, choose, find_all

LABEL = "selfhost"
PROGRAM = "ringmaster/selfhost/findings.py"
MEASURE = f"python3 -I -S {PROGRAM}"
WHAT = "public functions raise errors that their docstring does not tell"


class Measured(NamedTuple):
    """A tree's findings. chosen: the one to mend now, None when none is left that can be mended mechanically."""

    total: int
    chosen: Finding | None


def measure(sources: Mapping[str, str]) -> Measured:
    """Measure a tree. sources: text by path from its top.

    Raises:
        SyntaxError: a file of it is no Python.
    """
    findings = find_all(sources)
    chosen = choose(findings)
    if chosen is not None:
        mended = chosen.mend(sources[chosen.path])
        left = find_all({**sources, chosen.path: mended})
        assert len(left) == len(findings) - 1, f"the edit does not mend {chosen.id}"
    return Measured(len(findings), chosen)


def make_task(
    project_id: str,
    base: str,
    measured: Measured,
    earlier: int,
    *,
    python: str = sys.executable,
    agent: str = "scripted",
    budget_usd: float | None = None,
) -> TaskAddParams:
    """The task that mends the chosen finding.

    agent: the scripted one gets the steps recorded for it; any other is told what is wanted and no more.
    budget_usd: all that the task may spend.

    base: the commit that was measured. earlier: self-host tasks of this project so far; with the base it makes the
    idempotency key, so that a run that died before the answer, or two at once, file one task. python: the
    interpreter the agent measures with.
    """
    finding = measured.chosen
    assert finding is not None, "only called with a finding"
    title = f"Say in the docstring of {finding.name} what it raises"
    after = measured.total - 1
    errors = ", ".join(dict.fromkeys(told.error for told in finding.raised))
    description = (
        f"`{finding.name}` in {finding.path}:{finding.line} raises {errors}, and its docstring does not say so. "
        f"The house style has a public docstring name its errors: whoever calls the function has to handle them.\n\n"
        f"Measured on {base[:12]}: {measured.total} {WHAT}. Expected after: {after}. Measure: `{MEASURE} --count`.\n"
    )
    if agent == "scripted":
        description += f"\n```steps\n{_steps(finding, title, measured.total, python)}\n```\n"
    return TaskAddParams(
        title=title,
        project_id=project_id,
        description=description,
        labels=(LABEL,),
        acceptance=(
            f"The docstring of {finding.name} in {finding.path} has a section `Raises:`; its code is as it was.",
            f"`{MEASURE} --count` gives {after} (before: {measured.total}).",
            "`make gate` passes.",
        ),
        agent=agent,
        limits=Limits(budget_usd=budget_usd),
        idempotency_key=f"selfhost/{project_id}/{base}/{earlier}",
    )


def _steps(finding: Finding, title: str, total: int, python: str) -> str:
    # By path and isolated: the tree in the workspace is measured, whatever this interpreter has installed.
    program = [python, "-I", "-S", PROGRAM]
    body = textwrap.fill(f"It raises already; now a caller can read it. Measured before: {total} {WHAT}.", 72)
    steps: list[dict[str, object]] = [
        {"do": "say", "text": f"{finding.path}:{finding.line} {finding.name}: one of {total}"},
        {"do": "run", "argv": [*program, "--count"]},
        {"do": "edit", "path": finding.path, "old": finding.old, "new": finding.new},
        {"do": "run", "argv": [*program, "--mended", finding.id]},
        {"do": "git", "argv": ["diff", "--stat"]},
        {"do": "commit", "message": f"{title}\n\n{body}"},
    ]
    return "\n".join(json.dumps(step) for step in steps)
