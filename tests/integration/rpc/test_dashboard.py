"""`dashboard.*` over the socket."""

from __future__ import annotations

from ringmaster.model.errors import ErrorKind
from tests.integration.rpc.harness import Table, attempt_caller


async def test_a_daemon_without_a_page_says_so_and_an_attempt_gets_no_link(table: Table):
    refused = await table.refusal("dashboard.link")
    assert (refused.kind, refused.message) == (ErrorKind.WRONG_STATE, "this daemon serves no page")
    refused = await table.refusal("dashboard.link", caller=attempt_caller("rm-x/1"))
    assert refused.kind is ErrorKind.PERMISSION
