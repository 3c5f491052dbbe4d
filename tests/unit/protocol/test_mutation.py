"""Parameters of methods that change something, as they go over the wire."""

from __future__ import annotations

import msgspec
import pytest

from ringmaster.protocol.mutation import Mutation
from ringmaster.protocol.task import TaskAddParams
from ringmaster.rpc.methods import METHODS

MUTATIONS = sorted(
    {method.params for method in METHODS if issubclass(method.params, Mutation)}, key=lambda params: params.__name__
)


@pytest.mark.parametrize("params", MUTATIONS)
def test_what_is_not_set_is_not_sent(params: type[Mutation]):
    assert params.__struct_config__.omit_defaults, "an older daemon may not know the value of a newer default"


def test_a_newer_field_leaves_the_digest_of_a_repeat_as_it_was():
    sent = msgspec.json.decode(msgspec.json.encode(TaskAddParams(title="t", idempotency_key="k")))
    assert sent == {"title": "t", "idempotency_key": "k"}
