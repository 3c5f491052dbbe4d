"""The daemon that the tests of one file share; a test that breaks its daemon opens its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.operator import Operator, open_operator


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with open_operator(tmp_path_factory.mktemp("op")) as made:
        yield made
