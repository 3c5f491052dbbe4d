from __future__ import annotations

from enum import StrEnum

import msgspec
import pytest

from ringmaster.store.rows import decoder, encode_json


class Known(StrEnum):
    RED = "red"


class Tolerant(StrEnum):
    RED = "red"
    UNKNOWN = "unknown"


class Limits(msgspec.Struct, frozen=True):
    turns: int = 0


class Thing(msgspec.Struct, frozen=True):
    name: str
    is_big: bool
    color: Known
    shade: Tolerant | None
    labels: tuple[str, ...]
    limits: Limits
    data: msgspec.Raw = msgspec.Raw(b"{}")


class Pair(msgspec.Struct, kw_only=True):
    second: int
    first: int = 1


decode = decoder(Thing, "labels", "limits")
ROW = ("a", 1, "red", None, '["x","y"]', '{"turns":3}', '{"k":1}')


def test_a_row_becomes_a_struct_of_typed_fields():
    assert decode(ROW) == Thing("a", True, Known.RED, None, ("x", "y"), Limits(3), msgspec.Raw(b'{"k":1}'))
    assert decode.columns == "name, is_big, color, shade, labels, limits, data"
    assert decode.columns_of("t").startswith("t.name, t.is_big")


def test_a_row_may_be_missing_and_rows_may_be_many():
    assert decode.optional(None) is None
    assert decode.optional(ROW) == decode(ROW)
    assert decode.all([ROW, ROW]) == [decode(ROW)] * 2


def test_what_newer_code_wrote_into_an_enum_is_kept():
    thing = decode(("a", 0, "green", "green", "[]", "{}", "{}"))
    assert thing.color == "green"
    assert thing.shade is Tolerant.UNKNOWN


def test_fields_by_name_only_are_given_by_name():
    assert decoder(Pair)((5, 6)) == Pair(second=5, first=6)


def test_json_of_the_wrong_shape_is_refused():
    with pytest.raises(msgspec.ValidationError):
        decode(("a", 0, "red", None, '{"not":"a list"}', "{}", "{}"))


def test_a_json_field_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="Thing has no field lables"):
        decoder(Thing, "lables")


def test_values_are_written_as_they_are_read():
    assert decoder(Thing, "labels", "limits")((*ROW[:4], encode_json(("x", "y")), *ROW[5:])) == decode(ROW)
