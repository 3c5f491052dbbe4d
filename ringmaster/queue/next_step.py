"""What comes next with a task, or what a person must do, in one line of words with the command. Pure."""

from __future__ import annotations

import shlex

from ringmaster.model.project import Project
from ringmaster.protocol.why import Obstacle, ObstacleKind, TaskWhy


def parked_command(project: Project) -> str:
    """The one command that takes landed work into the user's checkout."""
    path = shlex.quote(project.path)
    branch = shlex.quote(f"ringmaster/landed/{project.target}")
    return f"git -C {path} merge --ff-only {branch}"


def words_of(why: TaskWhy) -> str:
    """The first thing to know of a task. why: all of it but `first`."""
    if why.obstacles:
        first = why.obstacles[0]
        if first.kind == ObstacleKind.DEPENDENCY:
            return _with_command(_counted(first, why.obstacles), first.command)
        return _with_command(first.words, first.command)
    if why.doing is not None:
        return _with_command(why.doing.words, why.doing.command)
    if why.ending is not None:
        return _with_command(why.ending.words, why.ending.command)
    return "a worker takes it now" if why.state == "open" else f"it is {why.state}"


def _counted(first: Obstacle, obstacles: tuple[Obstacle, ...]) -> str:
    more = sum(obstacle.kind == ObstacleKind.DEPENDENCY for obstacle in obstacles) - 1
    return first.words + (f", and for {more} more" if more else "")


def _with_command(words: str, command: str) -> str:
    if not command:
        return words
    return f"{words} {command}" if words.endswith(("?", ", or")) else f"{words}: {command}"
