"""The builder: facts and a budget in, a prompt out. The same facts always give the same text."""

from __future__ import annotations

import msgspec

from ringmaster.prompt.budget import count_tokens, fit
from ringmaster.prompt.facts import PromptFacts
from ringmaster.prompt.quoting import shown
from ringmaster.prompt.sections import (
    INTRODUCTION,
    conventions_section,
    dependencies_section,
    earlier_section,
    gate_section,
    named_code_section,
    rejections_section,
    report_section,
    task_text,
)
from ringmaster.redaction.redactor import KNOWN_FORMS, Redactor


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt. tokens: estimated; more than the budget only when the task itself is longer.

    sections_cut: names of the sections that were shortened.
    """

    text: str
    tokens: int
    sections_cut: tuple[str, ...]


def build_prompt(facts: PromptFacts, *, budget_tokens: int, redactor: Redactor = KNOWN_FORMS) -> Prompt:
    """Build the prompt of one attempt. The task, its answers and how to end are never cut.

    redactor: what must not be told, whoever wrote it. It goes over the facts, before anything is made of them: the
    marks around the task hold a digest of what is between them.
    """
    facts = shown(facts, redactor)
    head = f"{INTRODUCTION}\n\n{task_text(facts)}"
    possible = (
        rejections_section(facts),
        gate_section(facts),
        earlier_section(facts),
        dependencies_section(facts),
        conventions_section(facts),
        named_code_section(facts),
        report_section(facts),
    )
    sections = tuple(section for section in possible if section is not None)
    fitted, cut = fit(sections, budget_tokens - count_tokens(head) - 1)
    text = "\n\n".join([head, *(section.render() for section in fitted)]) + "\n"
    return Prompt(text=text, tokens=count_tokens(text), sections_cut=cut)
