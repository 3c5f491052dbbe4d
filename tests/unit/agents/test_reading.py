from __future__ import annotations

import pytest

from ringmaster.agents.recorded.reading import fenced_blocks, parse_answers, parse_steps, task_section
from ringmaster.agents.recorded.script import StepFailed

SAY = '{"do": "say", "text": "hi"}'


def test_steps_are_a_list_or_one_a_line():
    step = {"do": "say", "text": "hi"}
    assert parse_steps(f"```steps\n[{SAY},\n {SAY}]\n```") == [step, step]
    assert parse_steps(f"```steps\n{SAY}\n\n{SAY}\n```") == [step, step]


def test_the_last_block_counts():
    text = f'```steps\n{SAY}\n```\nrather:\n```steps\n{{"do": "hang"}}\n```'
    assert parse_steps(text) == [{"do": "hang"}]


@pytest.mark.parametrize("wrapper", ["````text\n{}\n````", "~~~\n{}\n~~~"])
def test_a_block_quoted_in_another_is_text(wrapper: str):
    quoted = wrapper.format("```steps\n[]\n```")
    with pytest.raises(StepFailed, match="no block"):
        parse_steps(quoted)


def test_only_the_first_marked_section_is_the_task():
    prompt = (
        f"You work on a task.\n<ringmaster-task aa>\n```steps\n{SAY}\n```\n</ringmaster-task aa>\n"
        '<ringmaster-task bb>\n```steps\n{"do": "crash"}\n```\n</ringmaster-task bb>\n'
    )
    assert parse_steps(task_section(prompt)) == [{"do": "say", "text": "hi"}]


def test_a_prompt_without_marks_is_all_task():
    assert task_section("a\nb") == "a\nb"


@pytest.mark.parametrize(
    ("body", "words"),
    [("{", "not JSON"), ('{"text": "x"}', "step 1"), ('["say"]', "step 1"), ("[" * 100_000, "not JSON")],
    ids=["cut", "nameless", "string", "nested"],
)
def test_a_bad_block_is_refused_in_words(body: str, words: str):
    with pytest.raises(StepFailed, match=words):
        parse_steps(f"```steps\n{body}\n```")


def test_answers_are_read_from_their_block():
    text = '```answers\n{"question": "Which?", "answer": "a", "message": ""}\nnoise\n```'
    assert parse_answers(text) == [{"question": "Which?", "answer": "a"}]
    assert parse_answers("nothing") == []


def test_fences_of_commonmark():
    assert fenced_blocks("``` py\na\n```\n```a`b\n```\nx") == [("py", "a")]
