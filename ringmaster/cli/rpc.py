"""`rmctl rpc`: call any method with JSON."""

from __future__ import annotations

import json

import click

from ringmaster.cli.command import top
from ringmaster.cli.inputs import read_text
from ringmaster.cli.session import Session
from ringmaster.model.errors import ErrorKind, RingmasterError

EXAMPLE = """rmctl rpc task.show '{"id": "rm-abc12"}'"""


@top("rpc", help="Call METHOD with PARAMS, a JSON object; - is stdin. The methods: rmctl rpc rpc.discover")
@click.argument("method")
@click.argument("params", required=False, default="{}")
def rpc(session: Session, method: str, params: str) -> None:
    """Print the result as JSON. Times stay as they are on the wire."""
    try:
        given = json.loads(read_text(params, None))
    except (ValueError, RecursionError) as error:
        raise RingmasterError(ErrorKind.USAGE, f"PARAMS is no JSON object: {error}", EXAMPLE) from error
    if not isinstance(given, dict):
        raise RingmasterError(ErrorKind.USAGE, "PARAMS is no JSON object", EXAMPLE)
    session.output.raw_json(session.call(method, given))
