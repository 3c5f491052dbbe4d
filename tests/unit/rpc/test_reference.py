"""The page about the wire is what the method table makes of it, and the table keeps its own rules."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from ringmaster.protocol.mutation import Mutation
from ringmaster.rpc.methods import METHODS
from ringmaster.rpc.reference import main, render
from ringmaster.rpc.rights import Right

PAGE = Path(__file__).resolve().parents[3] / "docs" / "protocol.md"


def test_the_page_is_up_to_date(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["--check", str(PAGE)]) == 0, "python -m ringmaster.rpc.reference"
    stale = tmp_path / "protocol.md"
    stale.write_text(PAGE.read_text() + "more\n")
    assert main(["--check", str(stale)]) == 1
    assert "python -m ringmaster.rpc.reference" in capsys.readouterr().err
    assert main([str(stale)]) == 0
    assert stale.read_text() == PAGE.read_text()


def test_the_page_does_not_depend_on_the_order_of_the_table():
    assert render(METHODS) == render(METHODS[::-1])


SPLIT = {"task": ("task_control", "order", "why")}
"""Nouns with more than fits a file."""


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_is_whole(method):
    noun = method.name.partition(".")[0]
    assert f"### {method.name}\n" in PAGE.read_text()
    assert method.summary.endswith(".")
    assert inspect.getdoc(method.handler), "a handler says what it does"
    assert method.handler.__module__.rpartition(".")[2] in (noun, noun.removesuffix("s"), *SPLIT.get(noun, ()))
    # A mutation can be repeated under its key, and nobody but a person or the attempt itself may begin one.
    assert method.is_mutating == issubclass(method.params, Mutation)
    assert method.is_mutating == (method.right in (Right.OPERATE, Right.ATTEMPT))
