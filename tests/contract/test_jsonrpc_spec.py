"""The examples of the JSON-RPC 2.0 specification, section 7, and its rules, against a running server."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.fakes.rpc import Number, Pair, RawClient, make_method, open_server, subtract

DATA_SUM = {"jsonrpc": "2.0", "result": 7, "id": "1"}
INVALID = (-32600, None)


class Anything(msgspec.Struct):
    """Takes up to three numbers."""

    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0
    e: int = 0


METHODS = (
    make_method("subtract", Pair, subtract),
    make_method("update", Anything, lambda context, params: 1),
    make_method("sum", Anything, lambda context, params: params.a + params.b + params.c),
    make_method("notify_hello", Anything, lambda context, params: 1),
    make_method("notify_sum", Anything, lambda context, params: 1),
    make_method("get_data", Anything, lambda context, params: ["hello", 5]),
    make_method("echo", Number, lambda context, params: params),
)


@pytest.fixture
async def client(tmp_path, nursery):
    async with open_server(tmp_path, methods=METHODS) as running:
        async with await running.connect() as client:
            yield client


async def ask(client: RawClient, line: str) -> object:
    """The answer to a line; None when the server did not answer it before a marker sent behind it."""
    await client.send(line.encode() + b"\n")
    await client.send(b'{"jsonrpc":"2.0","method":"echo","id":"marker"}\n')
    answer = await client.answer()
    if isinstance(answer, dict) and answer.get("id") == "marker":
        return None
    marker = await client.answer()
    assert marker["id"] == "marker"
    return answer


def told(answer: object) -> object:
    """An answer without the words of its error: (code, id) for an error."""
    if isinstance(answer, list):
        return [told(member) for member in answer]
    assert isinstance(answer, dict)
    assert answer["jsonrpc"] == "2.0"
    assert ("result" in answer) != ("error" in answer)
    if "error" in answer:
        assert set(answer["error"]) == {"code", "message", "data"}
        assert set(answer["error"]["data"]) >= {"kind", "retryable", "hint"}
        assert "\n" not in answer["error"]["message"]
        return answer["error"]["code"], answer["id"]
    return answer


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ("[42, 23]", 19),
        ("[23, 42]", -19),
        ('{"subtrahend": 23, "minuend": 42}', 19),
        ('{"minuend": 42, "subtrahend": 23}', 19),
    ],
)
async def test_positional_and_named_parameters(client, params, expected):
    answer = await ask(client, f'{{"jsonrpc": "2.0", "method": "subtract", "params": {params}, "id": 3}}')
    assert answer == {"jsonrpc": "2.0", "result": expected, "id": 3}


@pytest.mark.parametrize(
    "line",
    [
        '{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}',
        '{"jsonrpc": "2.0", "method": "foobar"}',
        '{"jsonrpc": "2.0", "method": "subtract", "params": {"minuend": "no"}}',
        '[{"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},'
        ' {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]}]',
    ],
)
async def test_notifications_are_never_answered(client, line):
    assert await ask(client, line) is None


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"jsonrpc": "2.0", "method": "foobar", "id": "1"}', (-32601, "1")),
        ('{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]', (-32700, None)),
        ('{"jsonrpc": "2.0", "method": 1, "params": "bar"}', INVALID),
        (
            '[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},{"jsonrpc": "2.0", "method"]',
            (-32700, None),
        ),
        ("[]", INVALID),
        ("[1]", [INVALID]),
        ("[1,2,3]", [INVALID, INVALID, INVALID]),
        ("[[]]", [INVALID]),
        ("1", INVALID),
        ("null", INVALID),
        ('"text"', INVALID),
        ("{}", INVALID),
        ('{"method": "echo", "id": 1}', (-32600, 1)),
        ('{"jsonrpc": "1.0", "method": "echo", "id": 1}', (-32600, 1)),
        ('{"jsonrpc": "2.0", "id": 7}', (-32600, 7)),
        ('{"jsonrpc": "2.0", "method": "echo", "id": [1]}', INVALID),
        ('{"jsonrpc": "2.0", "method": "echo", "id": {}}', INVALID),
        ('{"jsonrpc": "2.0", "method": "echo", "id": true}', INVALID),
        ('{"jsonrpc": "2.0", "method": "echo", "params": 5, "id": 1}', (-32600, 1)),
        ('{"jsonrpc": "2.0", "method": "echo", "params": null, "id": 1}', (-32600, 1)),
        ('{"jsonrpc": "2.0", "method": "echo", "params": {"n": "x"}, "id": 1}', (-32602, 1)),
        ('{"jsonrpc": "2.0", "method": "echo", "params": {"typo": 1}, "id": 1}', (-32602, 1)),
        ('{"jsonrpc": "2.0", "method": "echo", "params": [1, 2], "id": 1}', (-32602, 1)),
        ('{"jsonrpc": "2.0", "method": "subtract", "id": 1}', (-32602, 1)),
        ("nonsense", (-32700, None)),
        ("{", (-32700, None)),
    ],
)
async def test_what_is_refused_and_with_which_code_and_id(client, line, expected):
    assert told(await ask(client, line)) == expected


@pytest.mark.parametrize(
    "raw", ["null", "0", "-7", '"a b"', "1.5", "1e3", "123456789012345678901234567890", '"\\u00e9"']
)
async def test_the_id_comes_back_as_it_was_written(client, raw):
    await client.send(f'{{"jsonrpc":"2.0","method":"echo","id":{raw}}}\n'.encode())
    assert (await client.line()).endswith(b'"id":' + raw.encode() + b"}")


async def test_a_batch_is_answered_once_with_an_answer_for_each_call(client):
    batch = [
        {"jsonrpc": "2.0", "method": "sum", "params": [1, 2, 4], "id": "1"},
        {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},
        {"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": "2"},
        {"foo": "boo"},
        {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},
        {"jsonrpc": "2.0", "method": "get_data", "id": "9"},
    ]
    answers = told(await ask(client, json.dumps(batch)))
    assert isinstance(answers, list)
    assert sorted(answers, key=str) == sorted(
        [
            DATA_SUM,
            {"jsonrpc": "2.0", "result": 19, "id": "2"},
            INVALID,
            (-32601, "5"),
            {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"},
        ],
        key=str,
    )


async def test_params_may_be_left_out(client):
    answer = await ask(client, '{"jsonrpc":"2.0","method":"echo","id":1}')
    assert answer == {"jsonrpc": "2.0", "result": {"n": 0}, "id": 1}
