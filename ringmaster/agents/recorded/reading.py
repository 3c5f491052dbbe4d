"""Finding the steps and the answers in a prompt."""

from __future__ import annotations

import json

from ringmaster.agents.recorded.script import StepFailed, StepObject

TASK_MARK = "<ringmaster-task "


def task_section(prompt: str) -> str:
    """What lies between the first task mark and its end; the whole prompt when it has no mark.

    The builder always writes the mark first, and its name is the digest of the section: text
    that is quoted later can hold other marks, but none before the first.
    """
    lines = prompt.split("\n")
    for start, line in enumerate(lines):
        if line.startswith(TASK_MARK) and line.endswith(">"):
            end = "</" + line[1:]
            stop = lines.index(end, start) if end in lines[start:] else len(lines)
            return "\n".join(lines[start + 1 : stop])
    return prompt


def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """(info, body) of each fenced block; a fence inside a longer fence is text (CommonMark 4.5)."""
    blocks: list[tuple[str, str]] = []
    fence = info = ""
    body: list[str] = []
    for line in text.split("\n"):
        bare = line.strip()
        run = bare[: len(bare) - len(bare.lstrip(bare[:1]))] if bare[:1] in ("`", "~") and bare else ""
        if fence:
            if run == bare and run[:1] == fence[:1] and len(run) >= len(fence):
                blocks.append((info, "\n".join(body)))
                fence = ""
            else:
                body.append(line)
        elif len(run) >= 3 and "`" not in bare[len(run) :]:
            fence, info, body = run, bare[len(run) :].strip(), []
    return blocks


def parse_steps(section: str) -> list[StepObject]:
    """The steps of the last block that is called `steps`."""
    bodies = [body for info, body in fenced_blocks(section) if info.split(" ")[0] == "steps"]
    if not bodies:
        raise StepFailed("the task holds no block ```steps, and the scripted agent can only do recorded steps")
    body = bodies[-1]
    try:
        if body.lstrip().startswith("["):
            steps = json.loads(body)
        else:
            steps = [json.loads(line) for line in body.split("\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        raise StepFailed(f"the block of steps is not JSON: {error}") from error
    for number, step in enumerate(steps, 1):
        if not isinstance(step, dict) or not isinstance(step.get("do"), str):
            raise StepFailed(f"step {number} is no object with a string 'do'")
    return list(steps)


def parse_answers(section: str) -> list[dict[str, str]]:
    """The answers of the last block that is called `answers`, which the prompt's builder writes."""
    bodies = [body for info, body in fenced_blocks(section) if info == "answers"]
    answers = []
    for line in bodies[-1].split("\n") if bodies else []:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            answers.append({"question": str(entry.get("question")), "answer": str(entry.get("answer"))})
    return answers
