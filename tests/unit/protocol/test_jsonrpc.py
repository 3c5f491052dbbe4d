"""Envelopes as values: what is a request, what is refused and how, what answers look like."""

from __future__ import annotations

import json

import msgspec
import pytest

from ringmaster.model.errors import ErrorKind, RingmasterError
from ringmaster.protocol.codes import MAX_BATCH, PROTOCOL_VERSION
from ringmaster.protocol.jsonrpc import (
    Fault,
    Request,
    decode_params,
    encode_batch,
    encode_fault,
    encode_notification,
    encode_result,
    parse_document,
)


class Two(msgspec.Struct, forbid_unknown_fields=True):
    """Two parameters."""

    a: int
    b: str = ""


TWO = msgspec.json.Decoder(Two)


def params_of(text: str) -> msgspec.Raw:
    request = parse_document(f'{{"jsonrpc":"2.0","method":"m","params":{text}}}'.encode())
    assert isinstance(request, Request)
    return request.params


def refusal(line: bytes) -> Fault:
    with pytest.raises(Fault) as caught:
        parse_document(line)
    return caught.value


def test_params_and_id_stay_raw():
    request = parse_document(b'{"jsonrpc":"2.0","method":"m","params":{"a" : 1.50},"id":"\\u0041"}')
    assert isinstance(request, Request)
    assert bytes(request.params) == b'{"a" : 1.50}'
    assert bytes(request.id) == b'"\\u0041"'


def test_no_id_is_not_the_same_as_a_null_id():
    without = parse_document(b'{"jsonrpc":"2.0","method":"m"}')
    null = parse_document(b'{"jsonrpc":"2.0","method":"m","id":null}')
    assert isinstance(without, Request)
    assert isinstance(null, Request)
    assert (bytes(without.id), bytes(null.id)) == (b"", b"null")


def test_a_refused_request_keeps_its_id():
    assert refusal(b'{"jsonrpc":"2.0","method":1,"id":17}').id_json == b"17"
    assert refusal(b'{"jsonrpc":"2.0","method":1,"id":[17]}').id_json == b"null"


@pytest.mark.parametrize(
    "line", [b"[" * 100_000, b'{"jsonrpc":"2.0","method":"m","params":' + b"[" * 100_000, b'[{"a":' * 50_000]
)
def test_nesting_without_end_is_said_in_words(line):
    fault = refusal(line)
    assert (fault.code, fault.message) == (-32700, "the document is nested too deeply")


def test_a_batch_is_bounded():
    assert parse_document(b"[%b]" % b",".join([b"1"] * MAX_BATCH)) == [b"1"] * MAX_BATCH
    assert refusal(b"[%b]" % b",".join([b"1"] * (MAX_BATCH + 1))).code == -32600


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a":1}', Two(1)),
        ("[1]", Two(1)),
        ('[1,"x"]', Two(1, "x")),
        ('{"b":"é","a":2}', Two(2, "é")),
    ],
)
def test_params_by_name_and_by_position(text, expected):
    assert decode_params(TWO, ("a", "b"), params_of(text)) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{}", "missing required field `a`"),
        ("[]", "missing required field `a`"),
        ('{"a":"1"}', "Expected `int`, got `str` - at `$.a`"),
        ('{"a":1,"c":2}', "unknown field `c`"),
        ('[1,"x",3]', "at most 2 by position, got 3"),
    ],
)
def test_wrong_params_are_named(text, words):
    with pytest.raises(Fault) as caught:
        decode_params(TWO, ("a", "b"), params_of(text))
    assert caught.value.code == -32602
    assert words in caught.value.message


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_an_expected_error_carries_its_kind_hint_and_whether_to_retry(kind):
    error = RingmasterError(kind, "no", "do this")
    answer = json.loads(encode_fault(Fault.from_error(error), b"5"))
    assert answer == {
        "jsonrpc": "2.0",
        "id": 5,
        "error": {
            "code": -32000,
            "message": "no",
            "data": {
                "kind": kind.value,
                "retryable": error.is_retryable,
                "hint": "do this",
                "protocol": PROTOCOL_VERSION,
            },
        },
    }


def test_each_answer_is_one_line():
    result = encode_result(b'"i\\nd"', {"text": "a\nb"})
    notification = encode_notification("m", {"text": "a\nb"})
    batch = encode_batch([result, encode_fault(Fault(-32600, "a\nb"))])
    for line in (result, notification, batch):
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        json.loads(line)
    assert json.loads(batch) == [json.loads(result), json.loads(encode_fault(Fault(-32600, "a\nb")))]
