"""What people pass in: text from an argument, a file or stdin; lists; durations; `key=value`."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

from ringmaster.cli.clock import parse_duration
from ringmaster.model.errors import ErrorKind, RingmasterError


class DurationType(click.ParamType[float]):
    """`90`, `15m`, `1h30m` as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse, and refuse zero."""
        seconds = float(value) if isinstance(value, (int, float)) else parse_duration(value)
        if seconds <= 0:
            raise RingmasterError(ErrorKind.USAGE, f"{value!r} is no positive duration", "write 90, 15m or 1h30m")
        return seconds


DURATION = DurationType()


class DollarsType(click.ParamType[float]):
    """A number of dollars above 0. What float() takes besides, such as nan, cannot be sent."""

    name = "dollars"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        try:
            number = float(str(value).removeprefix("$"))
        except ValueError:
            number = 0.0
        if not 0 < number < math.inf:
            self.fail(f"{str(value)[:40]!r} is no number of dollars above 0", param, ctx)
        return number


def duration_option(flag: str, name: str, words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option that takes a duration; None when it is not given."""
    return click.option(flag, name, type=DURATION, default=None, metavar="S", help=words)


def read_text(argument: str | None, path: str | None) -> str:
    """The text of an argument or of a file; `-` is stdin; neither is empty.

    Raises:
        RingmasterError: USAGE for a file that cannot be read or is no UTF-8.
    """
    if path is None and argument != "-":
        return argument or ""
    source = path or "-"
    try:
        if source == "-":
            return sys.stdin.buffer.read().decode()
        with open(source, "rb") as file:
            return file.read().decode()
    except OSError as error:
        raise RingmasterError(ErrorKind.USAGE, f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RingmasterError(ErrorKind.USAGE, f"{source} is no UTF-8 text (byte {error.start})") from error


def split_words(values: Iterable[str]) -> tuple[str, ...]:
    """Repeated and comma-separated words as one tuple."""
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())


def keyed(pairs: Iterable[str]) -> dict[str, list[str]]:
    """`key=value` arguments; a repeated key gathers its values.

    Raises:
        RingmasterError: USAGE for one without `=`.
    """
    found: dict[str, list[str]] = {}
    for pair in pairs:
        key, mark, value = pair.partition("=")
        if not mark or not key:
            raise RingmasterError(ErrorKind.USAGE, f"{pair!r} is no key=value", "write for example gate='make test'")
        found.setdefault(key.replace("-", "_"), []).append(value)
    return found
