"""`rmctl rpc`: call any method with JSON."""

from __future__ import annotations

import click
import msgspec

from ringmaster.cli.command import top
from ringmaster.cli.inputs import read_text
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError


@top("rpc", help="Call METHOD with PARAMS, a JSON object; - is stdin. The methods: rmctl rpc rpc.discover")
@click.argument("method")
@click.argument("params", required=False, default="{}")
def rpc(session: Session, method: str, params: str) -> None:
    """Print the result as JSON. Times stay as they are on the wire."""
    try:
        given = msgspec.json.decode(read_text(params, None), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError) as error:
        raise RingmasterError(
            ErrorKind.USAGE, f"PARAMS is no JSON object: {error}", """rmctl rpc task.show '{"id": "rm-abc12"}'"""
        ) from error
    session.output.raw_json(session.call(method, given))
