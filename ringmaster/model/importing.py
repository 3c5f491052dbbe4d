"""Tasks of another system on their way in, whatever system that is: values, and words about them. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import msgspec

from ringmaster.model.comment import Comment
from ringmaster.model.dependency import DependencyKind
from ringmaster.model.states import TaskState
from ringmaster.model.task import Limits, TaskType

TITLE_LIMIT = 500
DESCRIPTION_LIMIT = 900_000
LIST_LIMIT = 200
ITEM_LIMIT = 10_000
HIGHEST_ATTEMPTS = 1000
CIRCLE_ENDS = 5
IDS_SHOWN = 5
NO_LIMITS = Limits()


class OldQuestion(msgspec.Struct, frozen=True):
    """What a person has still to decide before a task goes on. options: answers that were proposed."""

    question: str
    detail: str = ""
    options: tuple[str, ...] = ()


class ImportedDependency(msgspec.Struct, frozen=True, gc=False):
    """What a task has to do with another. mode: of `waits-for`, `all` or `any`."""

    other: str
    kind: str = DependencyKind.BLOCKS
    mode: str = ""


# Without the collector's attention: there are very many at once, and none leads back to itself.
class ImportedTask(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A task as it is to be stored, but for its project, which is still the old one's id.

    state: draft, open, done, failed or cancelled. depends: by the ids of the old system. questions: open ones; each
    blocks it. agent: '' takes the project's. max_attempts: 0 takes the setting. fields: a JSON object of what there is
    no column for, or ''. digest: of the whole record, to tell whether it has changed there since; '' if nobody asks.
    created_at: there; 0 for now. related: what is kept as `related`, which it was not there: pairs of id and kind.
    """

    id: str
    old_project: str
    title: str
    description: str
    priority: int
    labels: tuple[str, ...]
    acceptance: tuple[str, ...]
    capabilities: tuple[str, ...]
    max_attempts: int
    state: TaskState
    not_before_at: float | None
    depends: tuple[ImportedDependency, ...]
    questions: tuple[OldQuestion, ...] = ()
    type: str = TaskType.TASK
    deadline_at: float | None = None
    is_held: bool = False
    is_diff_needed: bool = True
    agent: str = ""
    model: str = ""
    limits: Limits = NO_LIMITS
    comments: tuple[Comment, ...] = ()
    created_at: float = 0.0
    related: tuple[tuple[str, str], ...] = ()
    source: str = ""
    fields: str = ""
    digest: str = ""

    @property
    def after(self) -> tuple[str, ...]:
        """The ids of the tasks that it waits for to be done."""
        return tuple(depend.other for depend in self.depends if depend.kind == DependencyKind.BLOCKS)


class Tally:
    """Lines about many tasks of which the same is to be said: each reason once, with some of its ids."""

    def __init__(self) -> None:
        self._told: dict[str, list[tuple[str, str]]] = {}

    def add(self, reason: str, id: str, words: str = "") -> None:
        """One more task of which this is to be said. words: in place of its id."""
        self._told.setdefault(reason, []).append((id, words or id))

    def lines(self, known: Collection[str] = ()) -> list[str]:
        """A line for each reason, in the order in which they came, without the tasks that are `known` already."""
        kept = ((reason, [words for id, words in told if id not in known]) for reason, told in self._told.items())
        return [f"{reason}: {some(words)}" for reason, words in kept if words]


class Translation(msgspec.Struct, frozen=True):
    """Everything of one file. notes: one line for each thing that is not taken as it was.

    tally: what is to be said of many. has_projects: the old ones are projects of their own, not just prefixes of ids.
    """

    tasks: tuple[ImportedTask, ...]
    notes: tuple[str, ...] = ()
    tally: Tally = msgspec.field(default_factory=Tally)
    has_projects: bool = True


def some(ids: Sequence[str]) -> str:
    """The first few of many ids, and how many there are."""
    shown = ", ".join(id[:60] for id in ids[:IDS_SHOWN])
    return shown if len(ids) <= IDS_SHOWN else f"{shown}, … ({len(ids)} in all)"


def circle_words(circle: Sequence[str]) -> str:
    """A circle for people; a long one with its middle left out."""
    shown = circle if len(circle) <= 2 * CIRCLE_ENDS else [*circle[:CIRCLE_ENDS], "…", *circle[-CIRCLE_ENDS:]]
    return " -> ".join(shown)


def project_word(name: str) -> str:
    """How a project of this name is most probably called here: its name in small letters with hyphens."""
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_")


def unix_time(text: str) -> float | None:
    """Unix seconds of a time as ISO 8601 has it, UTC where no zone is named; None for what is none."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def iso_time(at: float) -> str:
    """A time as other systems write it, in UTC; `unix_time` gives it back to the microsecond."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")
