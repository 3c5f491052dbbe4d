"""From a row of the database to a struct of the model, and from values to JSON columns."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Generic, TypeVar

import msgspec

from ringmaster.store.connection import Row

S = TypeVar("S", bound=msgspec.Struct)


class RowDecoder(Generic[S]):
    """Builds structs of one type from rows whose columns are the struct's fields, in their order.

    `columns` is that column list as SQL text; `columns_of("t")` has it with a table alias.
    """

    def __init__(self, struct: type[S], json_fields: Iterable[str]) -> None:
        hints = self._hints = typing.get_type_hints(struct)
        self.names = struct.__struct_fields__
        self.columns = ", ".join(self.names)
        unknown = set(json_fields) - set(self.names)
        if unknown:
            raise ValueError(f"{struct.__name__} has no field {', '.join(sorted(unknown))}")
        self._converters = [
            (index, converter)
            for index, name in enumerate(self.names)
            if (converter := _converter(hints[name], name in json_fields)) is not None
        ]
        self._build = _builder(struct, self.names)

    def __call__(self, row: Row) -> S:
        """The struct of one row."""
        if not self._converters:
            return self._build(*row)
        values = list(row)
        for index, convert in self._converters:
            if values[index] is not None:
                values[index] = convert(values[index])
        return self._build(*values)

    def salvage(self, row: Row) -> tuple[S, tuple[str, ...]]:
        """The struct of a row that may be damaged, and the fields that could not be read.

        Those hold their defaults: for looking at the row and putting it aside, never for working with it.
        """
        values = list(row)
        unread: list[str] = []
        for index, convert in self._converters:
            try:
                if values[index] is not None:
                    values[index] = convert(values[index])
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                unread.append(self.names[index])
                values[index] = self._empty(self.names[index])
        return self._build(*values), tuple(unread)

    def _empty(self, name: str) -> Any:
        hint = self._hints[name]
        return None if _without_none(hint) is not hint else (typing.get_origin(hint) or hint)()

    def optional(self, row: Row | None) -> S | None:
        """The struct of a row that may not be there."""
        return None if row is None else self(row)

    def all(self, rows: Iterable[Row]) -> list[S]:
        """The structs of many rows."""
        return [self(row) for row in rows]

    def columns_of(self, alias: str) -> str:
        """The column list for a table alias, as `t.id, t.title`."""
        return ", ".join(f"{alias}.{name}" for name in self.names)


def decoder(struct: type[S], *json_fields: str) -> RowDecoder[S]:
    """A decoder for `struct`; the columns of `json_fields` hold JSON text of the field's type.

    INTEGER columns of `bool` fields become bools. A value that an enum does not know, left by
    newer code, becomes its `UNKNOWN` member, or stays the bare text where it has none. NULL stays
    None. A JSON column that does not fit its type raises msgspec.ValidationError.
    """
    return RowDecoder(struct, json_fields)


def encode_json(value: object) -> str:
    """The text for a JSON column."""
    return msgspec.json.encode(value).decode()


def _converter(hint: Any, is_json: bool) -> Callable[[Any], Any] | None:
    if is_json:
        return msgspec.json.Decoder(hint).decode
    bare = _without_none(hint)
    if bare is bool:
        return bool
    if bare is msgspec.Raw:
        return _raw
    if isinstance(bare, type) and issubclass(bare, Enum):
        return _enum_converter(bare)
    return None


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        return members[0] if len(members) == 1 else hint
    return hint


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _enum_converter(enum: type[Enum]) -> Callable[[Any], Any]:
    known: dict[Any, Any] = {member.value: member for member in enum}
    unknown = enum.__members__.get("UNKNOWN")

    def convert(value: Any) -> Any:
        return known.get(value, value if unknown is None else unknown)

    return convert


def _builder(struct: type[S], names: tuple[str, ...]) -> Callable[..., S]:
    parameters = inspect.signature(struct).parameters.values()
    if all(parameter.kind is not parameter.KEYWORD_ONLY for parameter in parameters):
        return struct

    def build(*values: Any) -> S:
        return struct(**dict(zip(names, values, strict=True)))

    return build
