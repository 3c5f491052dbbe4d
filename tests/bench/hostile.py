"""How long output that is meant to keep the daemon busy holds its loop: one turn of the reader that renders it.

Each text is one line of 96 KiB without an end, and again as lines, both in the pieces in which the feed's reader takes
them. What is counted is processor time, of this process alone.
"""

from __future__ import annotations

import random
import time

from ringmaster.feed.reader import LONGEST_BYTES, PIECE_BYTES
from ringmaster.output.rendering import LinesRenderer
from ringmaster.redaction.redactor import Redactor
from tests.bench.figures import Report

AIM_MS = 10.0
SIZE = 96 * 1024
SECRETS = tuple(f"a-value-that-was-handed-over-{number}" for number in range(8))
LETTERS = {
    "words": "the quick brown fox ",
    "backslashes": "\\",
    "escaped backslashes": "\\u005c",
    "escaped letters": "\\u0067",
    "escaped newlines": "\\\\\\\\n",
    "escapes of JSON in JSON": "\\u001b[",
    "joiners": "a\u200d",
    "ESC": "\x1b",
    "begun sequences": "\x1b[1;",
    "begun titles": "\x1b]a",
    "returns": "\r",
    "NUL": "\0",
    "ey": "ey",
    "tokens' heads": "eyJhbGci.",
    "blocks' heads": "-----BEGIN A PRIVATE KEY-----AAAA",
    "dashes": "-",
    "assignments": "TOKEN=",
    "colons": ":",
    "addresses": "://a:",
    "digits": "0123456789",
    "most of a value": SECRETS[0][:-1],
}


def turns_of(data: bytes) -> list[float]:
    """Milliseconds of each turn."""
    renderer = LinesRenderer(Redactor(SECRETS))
    at, piece, found = 0, PIECE_BYTES, []
    while at < len(data):
        given = data[at : at + piece]
        began = time.thread_time()
        rendered = renderer.take(given, is_last=at + len(given) == len(data), is_brief=True)
        found.append((time.thread_time() - began) * 1000)
        at += rendered.length
        piece = PIECE_BYTES if rendered.length else min(piece * 4, LONGEST_BYTES + PIECE_BYTES)
    return found


def run(report: Report) -> None:
    """The longest turn for each text, the worst first."""
    report.head("hostile output: the longest turn of a reader, processor time")
    rounds = 1 if report.is_quick else 3
    rng = random.Random(6)
    texts = {name: (letters.encode() * SIZE)[:SIZE] for name, letters in LETTERS.items()}
    texts |= {f"{name}, in lines": (f"{letters}\n".encode() * SIZE)[:SIZE] for name, letters in LETTERS.items()}
    texts["a block of empty lines"] = (b"-----BEGIN PRIVATE KEY-----\n" + b"\n" * 200) * 420
    texts |= {"bytes that are no text": b"\xff" * SIZE, "any bytes": rng.randbytes(SIZE)}
    worst = {name: [max(turns_of(data)) for _ in range(rounds)] for name, data in texts.items()}
    for name, values in sorted(worst.items(), key=lambda one: -min(one[1]))[:12]:
        report.figure(name, values, "ms", at_most=AIM_MS)
    report.figure("words", worst["words"], "ms")
