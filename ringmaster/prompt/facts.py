"""What a prompt is made from: values that the supervisor has gathered before."""

from __future__ import annotations

import msgspec

from ringmaster.model.task import Limits, Task


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A person's answer to a question of this task, oldest first. message: words they added."""

    question: str
    answer: str
    message: str = ""


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """Work of an earlier attempt that a person looked at and sent back."""

    number: int
    words: str


class DependencyResult(msgspec.Struct, frozen=True, kw_only=True):
    """A task that had to be done before this one. landed_commit: empty when a person closed it."""

    task_id: str
    title: str
    landed_commit: str = ""
    summary: str = ""


class EarlierAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """What was tried before. gate_output: the end of what the gate said; last_words: of what the agent said.

    branch: where its work is kept, when it was kept.
    """

    number: int
    outcome: str
    reason: str = ""
    branch: str = ""
    diffstat: str = ""
    gate_output: str = ""
    last_words: str = ""


class Excerpt(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a file in the workspace. first_line: number of its first line, from 1.

    is_cut: the file has more than this. why: what named it, such as "`load` is defined here".
    """

    path: str
    text: str
    first_line: int = 1
    is_cut: bool = False
    why: str = ""


class PromptFacts(msgspec.Struct, frozen=True, kw_only=True):
    """All facts of one prompt.

    limits: with the daemon's settings filled in. protected: patterns whose change needs a person.
    lease_s: of who works by hand, and so reports; 0 for an agent that is started.
    conventions_note: words of the project's own setting; conventions: files of the workspace.
    """

    task: Task
    attempt_id: str
    number: int
    target: str
    gate: str = ""
    limits: Limits = Limits()
    lease_s: float = 0.0
    protected: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    dependencies: tuple[DependencyResult, ...] = ()
    earlier: tuple[EarlierAttempt, ...] = ()
    conventions_note: str = ""
    conventions: tuple[Excerpt, ...] = ()
    named_code: tuple[Excerpt, ...] = ()
