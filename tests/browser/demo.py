"""A small project with agents at work on it, as it looks in the middle of an evening: what the pictures show.

The agents do recorded steps; everything else is real: the daemon, git, the gate, the landings, the questions.
"""

from __future__ import annotations

from typing import Any

from tests.e2e.operator import Operator
from tests.fakes.house import make_repository, steps

PROJECT = "kitchen"
GATE = "python3 -m unittest -q"
UNITS = '''"""Amounts of a recipe, in the units that cooks use."""

from fractions import Fraction

GRAMS = {"g": 1, "kg": 1000}


def parse_amount(text):
    """The number at the beginning of a line of a recipe."""
    return Fraction(text.split()[0])
'''
TESTS = """import unittest

from units import parse_amount


class Amounts(unittest.TestCase):
    def test_whole_numbers(self):
        self.assertEqual(parse_amount("2 eggs"), 2)
"""
FILES = {
    ".gitignore": "__pycache__/\n",
    "README.md": "# kitchen\n\nRecipes, scaled.\n",
    "units.py": UNITS,
    "test_units.py": TESTS,
}
MIXED = '''    """The number at the beginning of a line of a recipe; `1 1/2 cups` is one and a half."""
    words = text.split()
    amount = Fraction(words[0])
    if len(words) > 1 and "/" in words[1]:
        amount += Fraction(words[1])
    return amount
'''
PLAIN = '''    """The number at the beginning of a line of a recipe."""
    return Fraction(text.split()[0])
'''
MIXED_TEST = """
    def test_mixed_numbers(self):
        self.assertEqual(parse_amount("1 1/2 cups of flour"), 1.5)
"""
CUPS = '''

def cups_to_grams(cups, density):
    """Grams of an ingredient. density: grams in a cup of it."""
    return float(cups) * density
'''
WRONG = '''

def scale(amounts, servings):
    """Amounts for another number of servings."""
    return [amount * servings for amount in amounts]
'''
WRONG_TEST = """
    def test_scaling(self):
        from units import scale

        self.assertEqual(scale([2, 4], 1, servings_before=2), [1, 2])
"""
WEIGH = """for one in flour:120 sugar:200 rice:185 oats:90 butter:227 honey:340 milk:245 cocoa:85; do
  echo "a cup of ${one%:*} weighs ${one#*:} g"
done"""
STILL_MISSING = "densities.txt"


class Demo:
    """The project and its tasks. ids: of the tasks, by a short name. decision_id: of the question that is open."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.ids: dict[str, str] = {}
        self.decision_id = ""

    def begin(self) -> None:
        """Set everything up and return once each task is where the pictures want it."""
        repository = make_repository(self.operator.root / PROJECT, FILES)
        call = self.operator.daemon.call
        config = {"gate": GATE, "update_checkout": "clean", "history": "merge"}
        call("project.add", path=str(repository), id=PROJECT, config=config)
        for name in ("ada", "grace", "linus"):
            call("worker.spawn", id=name, agent="scripted", project_id=PROJECT)
        self._add_ended()
        self._add_live()

    def _add(self, name: str, title: str, *recorded: dict[str, Any], prose: str = "", **fields: Any) -> str:
        description = f"{prose}\n\n{steps(*recorded)}" if prose else steps(*recorded)
        after = [self.ids[one] for one in fields.pop("after", ())]
        added = self.operator.daemon.call(
            "task.add", title=title, description=description, project_id=PROJECT, after=after, **fields
        )
        self.ids[name] = str(added["view"]["task"]["id"])
        return self.ids[name]

    def _add_ended(self) -> None:
        self._add(
            "mixed",
            "Read mixed numbers: 1 1/2 cups",
            {"do": "read", "path": "units.py"},
            {"do": "say", "text": "A mixed number is two words, so parse_amount reads half of it."},
            {"do": "edit", "path": "units.py", "old": PLAIN, "new": MIXED},
            {"do": "write", "path": "test_units.py", "text": MIXED_TEST, "append": True},
            {"do": "run", "shell": GATE},
            {"do": "commit", "message": "Read mixed numbers"},
            prose="Recipes say `1 1/2 cups`; only the 1 is read.",
            acceptance=["1 1/2 cups is one and a half"],
            labels=["parsing"],
            priority=1,
        )
        self.operator.landed(self.ids["mixed"])
        self._add(
            "readme",
            "Show in the README how a recipe is scaled",
            {"do": "write", "path": "README.md", "text": "\n    scale cake.txt --servings 8\n", "append": True},
            {"do": "commit", "message": "Show how a recipe is scaled"},
            labels=["docs"],
        )
        self.operator.landed(self.ids["readme"])
        self._add(
            "scale",
            "Scale a recipe to another number of servings",
            {"do": "write", "path": "units.py", "text": WRONG, "append": True},
            {"do": "write", "path": "test_units.py", "text": WRONG_TEST, "append": True},
            {"do": "commit", "message": "Scale a recipe"},
            max_attempts=1,
        )
        self.operator.settled(self.ids["scale"])

    def _add_live(self) -> None:
        self._add(
            "rounding",
            "Round grams the way cooks do",
            {"do": "read", "path": "units.py"},
            {
                "do": "ask",
                "question": "Round grams to 5 or to 10?",
                "detail": "Scales of kitchens show single grams, recipes in print nearly always 5 or 10.",
                "options": ["5", "10"],
                "recommendation": "5",
            },
        )
        self.operator.event("decision.opened", self.ids["rounding"])
        (opened,) = self.operator.detail(self.ids["rounding"])["decisions"]
        self.decision_id = str(opened["id"])
        self._add(
            "cups",
            "Convert between cups and grams",
            {"do": "read", "path": "units.py"},
            {"do": "say", "text": "A cup has no weight of its own: it needs a density for each ingredient."},
            {"do": "write", "path": "units.py", "text": CUPS, "append": True},
            {"do": "run", "shell": WEIGH},
            {"do": "run", "shell": GATE},
            {"do": "say", "text": "The tests pass. Now the densities, from the table of the flour mill."},
            {"do": "wait_for", "path": STILL_MISSING},
            labels=["units"],
            priority=1,
        )
        self._add("shop", "Make a shopping list of several recipes", after=("cups",), labels=["lists"])
        self._add("group", "Group the shopping list by aisle", after=("shop",), labels=["lists"])
        self._add("print", "Print the list on one page", after=("group", "rounding"), labels=["lists"])
        self._add("menu", "Plan a week of dinners", after=("print",), priority=3)
        self.operator.event("attempt.started", self.ids["cups"])
        self._wait_for_words(self.ids["cups"], STILL_MISSING)

    def _wait_for_words(self, task_id: str, words: str) -> None:
        """Return once a task's agent has said this."""
        with self.operator.daemon.client() as client:
            seen = ""
            for chunk in client.stream("logs.follow", {"id": task_id, "stream": "stdout"}):
                seen += str(chunk.get("text", ""))
                if words in seen:
                    return
        raise AssertionError(f"{task_id} never said {words!r}")
